use serde::Serialize;

use crate::{
    policy::breaker::BreakerSnapshot,
    service::{CallState, State},
    telemetry::Lookup,
};

/// What a service that keeps other services' replies is doing as such.
#[derive(Clone, Debug, Serialize)]
pub struct TierSnapshot {
    /// Its breaker as a tier, by which look-ups pass or do not.
    pub breaker: BreakerSnapshot,
    /// Whether it is heard now what other processes invalidate.
    pub heard: bool,
    /// Invalidations that it has not heard of yet: what they are about is neither read from it nor kept in it.
    pub pending: usize,
    /// Invalidations that it told of, this process's own included.
    pub news: u64,
    /// How often all that is kept in memory of its went, since some may have been missed.
    pub flushes: u64,
}

/// What a call's look-ups in its shared tier came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SharedSnapshot {
    /// Entries that were fresh, those that say "there is none" included.
    pub hits: u64,
    /// Entries past their time, served while a newer one was loaded, or kept for when that fails.
    pub stale: u64,
    /// Look-ups that found nothing to serve.
    pub misses: u64,
    /// Loads without a look: the tier's breaker is open, or it has not heard yet of what was invalidated.
    pub bypassed: u64,
    /// Questions that the tier did not answer in time, or at all.
    pub failed: u64,
    /// Entries of another version, or damaged; replies that could not be written.
    pub unreadable: u64,
    /// Entries and replies above `cache.max_entry`.
    pub oversized: u64,
    /// Entries that had been invalidated when they were read, and replies that had been before they were kept.
    pub outdated: u64,
    /// Loads that waited for another process's.
    pub waited: u64,
    /// Replies that the tier took.
    pub kept: u64,
}

pub(super) fn of_service(state: &State) -> Option<TierSnapshot> {
    let environment = &state.environment;
    let standing = environment.tiers.find(&state.name)?.standing(environment.now());
    Some(TierSnapshot {
        breaker: standing.breaker,
        heard: standing.is_heard,
        pending: standing.waiting,
        news: standing.news,
        flushes: standing.flushes,
    })
}

pub(super) fn of_call(call: &CallState) -> Option<SharedSnapshot> {
    let figures = &call.tier.as_ref()?.figures;
    Some(SharedSnapshot {
        hits: figures.lookups(Lookup::Fresh) + figures.lookups(Lookup::Negative),
        stale: figures.lookups(Lookup::Stale),
        misses: figures.lookups(Lookup::Miss),
        bypassed: figures.lookups(Lookup::Bypass),
        failed: figures.failed.get(),
        unreadable: figures.unreadable.get(),
        oversized: figures.oversized.get(),
        outdated: figures.outdated.get(),
        waited: figures.waited.get(),
        kept: figures.kept.get(),
    })
}
