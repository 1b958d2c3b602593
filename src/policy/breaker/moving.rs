use std::time::Duration;

use crate::{
    policy::blame::Verdict,
    sync::atomic::{AtomicU64, Ordering},
    units::Tick,
};

/// How long a downstream may be on the move before that counts as a failure.
///
/// A failover of Redis or PostgreSQL and a rolling restart take some seconds, are nobody's fault, and are healed by trying
/// again elsewhere. What has sent everybody elsewhere for longer has no elsewhere.
pub const LONGEST_MOVE: Duration = Duration::from_secs(10);

/// Since when all that came of attempts was that the downstream had moved.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// The first such outcome since there was a success; 0 for none.
    since: AtomicU64,
}

impl Moving {
    /// What a move says about the downstream: nothing, unless it lasts.
    pub(super) fn judge(&self, now: Tick) -> Verdict {
        let first = now.as_nanos().max(1);
        match self.since.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed) {
            Err(since) if now.since(Tick::from_nanos(since)) >= LONGEST_MOVE => Verdict::Failure,
            _ => Verdict::Neutral,
        }
    }

    /// It answered, so it is where it is looked for.
    #[inline]
    pub(super) fn end(&self) {
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// For how long it has been moving; zero if it is not.
    pub(super) fn lasts(&self, now: Tick) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => now.since(Tick::from_nanos(since)),
        }
    }
}
