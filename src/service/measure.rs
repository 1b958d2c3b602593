use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::CallState;
use crate::{
    downstream::{Blame, Failure, Symptom},
    policy::adaptive::{Adaptive, AdaptiveSettings, Sample},
    telemetry::What,
    units::Tick,
};

/// A measured limit in its place: what outcomes it counts, and who is told that it changed.
pub(crate) struct Measure {
    adaptive: Adaptive,
    /// The limit as it was last told, and when.
    told: AtomicU32,
    told_at: AtomicU64,
    current: AtomicU32,
    /// Whose limit it is; `None` where nobody is told.
    scope: Option<Arc<str>>,
}

/// A change is told once in this time: a limit that is measured moves all the time.
const SILENCE_NANOS: u64 = 1_000_000_000;

impl Measure {
    pub(crate) fn new(settings: AdaptiveSettings, scope: Option<Arc<str>>) -> Self {
        let adaptive = Adaptive::new(settings);
        let limit = adaptive.limit();
        let (told, current) = (AtomicU32::new(limit), AtomicU32::new(limit));
        Self { adaptive, told, told_at: AtomicU64::new(0), current, scope }
    }

    /// The same by other settings.
    pub(crate) fn by(&self, settings: AdaptiveSettings) -> Self {
        let adaptive = self.adaptive.by(settings);
        Self {
            told: AtomicU32::new(self.told.load(Ordering::Relaxed)),
            told_at: AtomicU64::new(self.told_at.load(Ordering::Relaxed)),
            current: AtomicU32::new(adaptive.limit()),
            adaptive,
            scope: self.scope.clone(),
        }
    }

    pub(crate) fn settings(&self) -> &AdaptiveSettings {
        self.adaptive.settings()
    }

    pub(crate) fn limit(&self) -> u32 {
        self.adaptive.limit()
    }

    /// Takes note of how an attempt ended; whether the limit changed by it.
    ///
    /// A failure that came at once tells nothing of how long work takes, and what was the caller's fault or ours nothing
    /// of the downstream.
    pub(crate) fn record(
        &self,
        call: &CallState,
        outcome: &Result<(), Option<Failure>>,
        in_flight: u32,
        started: Tick,
        now: Tick,
    ) -> bool {
        let lost = match outcome {
            Ok(()) => false,
            Err(Some(failure)) => match (failure.blame(), failure.looked_like()) {
                (Blame::Overload, _) | (Blame::Downstream, Symptom::Timeout(_)) => true,
                _ => return false,
            },
            Err(None) => return false,
        };
        let limit = self.adaptive.record(Sample { rtt: now.since(started), in_flight, lost }, now);
        self.tell(call, limit, now);
        self.current.swap(limit, Ordering::Relaxed) != limit
    }

    fn tell(&self, call: &CallState, limit: u32, now: Tick) {
        let Some(scope) = &self.scope else { return };
        let told = self.told.load(Ordering::Relaxed);
        let at = self.told_at.load(Ordering::Relaxed);
        if limit == told || (at != 0 && now.as_nanos().saturating_sub(at) < SILENCE_NANOS) {
            return;
        }
        // Of several who see that it is due, one tells.
        let swapped =
            self.told_at.compare_exchange(at, now.as_nanos().max(1), Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_ok() {
            self.told.store(limit, Ordering::Relaxed);
            let what = What::LimitChanged { scope: Arc::clone(scope), from: told, to: limit };
            call.environment.events.emit(Some(&call.service), what);
        }
    }
}
