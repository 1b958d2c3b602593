use crate::telemetry::{Counter, Lookup};

/// What a call's look-ups in its tier came to.
#[derive(Debug, Default)]
pub(crate) struct TierFigures {
    lookups: [Counter; Lookup::ALL.len()],
    /// Look-ups that the tier did not answer in time, or at all.
    pub(crate) failed: Counter,
    /// Entries of another version, or damaged.
    pub(crate) unreadable: Counter,
    /// Entries that were too large, either way.
    pub(crate) oversized: Counter,
    /// Entries that had been invalidated when they were read, or before they could be kept.
    pub(crate) outdated: Counter,
    /// Loads that waited for another process's.
    pub(crate) waited: Counter,
    /// Replies that the tier took.
    pub(crate) kept: Counter,
}

impl TierFigures {
    pub(crate) fn looked_up(&self, found: Lookup) {
        self.lookups[found as usize].add_one();
    }

    pub(crate) fn lookups(&self, found: Lookup) -> u64 {
        self.lookups[found as usize].get()
    }
}
