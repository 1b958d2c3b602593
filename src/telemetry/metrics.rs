//! Counts and durations of services and their calls.
//!
//! All are atomics of ours, made once for each service and call and never looked up by name on the way of a call.
//! Histograms are made when the first duration comes: an idle service has none.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    call::{Origin, Priority},
    policy::latency::Histogram,
    telemetry::Cause,
};

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a call ended: exactly one each, so that they sum to the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok(Origin),
    Error,
    Timeout,
    Rejected,
    Cancelled,
}

impl Outcome {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ok(Origin::Fresh),
        Self::Ok(Origin::Cached),
        Self::Ok(Origin::Stale),
        Self::Ok(Origin::Fallback),
        Self::Error,
        Self::Timeout,
        Self::Rejected,
        Self::Cancelled,
    ];

    fn index(self) -> usize {
        match self {
            Self::Ok(origin) => origin as usize,
            Self::Error => 4,
            Self::Timeout => 5,
            Self::Rejected => 6,
            Self::Cancelled => 7,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn origin(self) -> &'static str {
        match self {
            Self::Ok(origin) => origin.word(),
            _ => "none",
        }
    }
}

/// Which try an attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    First,
    Retry,
    Hedge,
}

impl Try {
    pub(crate) const ALL: [Self; 3] = [Self::First, Self::Retry, Self::Hedge];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::Hedge => "hedge",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    Success,
    Failure,
    Overload,
    Ignored,
    Cancelled,
}

impl AttemptResult {
    pub(crate) const ALL: [Self; 5] =
        [Self::Success, Self::Failure, Self::Overload, Self::Ignored, Self::Cancelled];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Overload => "overload",
            Self::Ignored => "ignored",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a look-up in the cache found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Fresh,
    Stale,
    Miss,
    Negative,
    Bypass,
}

impl Lookup {
    pub(crate) const ALL: [Self; 5] = [Self::Fresh, Self::Stale, Self::Miss, Self::Negative, Self::Bypass];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Negative => "negative",
            Self::Bypass => "bypass",
        }
    }
}

/// A histogram that is made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Lazy(OnceLock<Box<Histogram>>);

impl Lazy {
    pub(crate) fn record(&self, duration: Duration) {
        self.0.get_or_init(Box::default).record(duration);
    }

    pub(crate) fn record_none(&self) {
        self.0.get_or_init(Box::default).record_none();
    }

    pub(crate) fn get(&self) -> Option<&Histogram> {
        self.0.get().map(|histogram| &**histogram)
    }
}

/// Why an answer came from a fallback, as metrics name it.
pub(crate) const FALLBACK_REASONS: [&str; 3] = ["error", "timeout", "rejected"];

/// Where a fallback's answer came from, as metrics name it.
pub(crate) const FALLBACK_SOURCES: [&str; 2] = ["stale", "caller"];

/// One call's.
#[derive(Debug, Default)]
pub(crate) struct CallMetrics {
    durations: [[Lazy; Priority::ALL.len()]; Outcome::ALL.len()],
    attempts: [[Lazy; AttemptResult::ALL.len()]; Try::ALL.len()],
    lookups: [Counter; Lookup::ALL.len()],
    fallbacks: [[Counter; FALLBACK_REASONS.len()]; FALLBACK_SOURCES.len()],
    pub(crate) loads: Counter,
    pub(crate) coalesced: Counter,
}

impl CallMetrics {
    pub(crate) fn ended(&self, outcome: Outcome, priority: Priority, took: Duration) {
        self.durations[outcome.index()][priority as usize].record(took);
    }

    /// A call that was answered in its first poll took no time: less than its clock takes to be read, a few times over.
    pub(crate) fn ended_at_once(&self, outcome: Outcome, priority: Priority) {
        self.durations[outcome.index()][priority as usize].record_none();
    }

    pub(crate) fn attempted(&self, which: Try, result: AttemptResult, took: Duration) {
        self.attempts[which as usize][result as usize].record(took);
    }

    pub(crate) fn looked_up(&self, found: Lookup) {
        self.lookups[found as usize].add_one();
    }

    /// A call that would have ended as `instead_of` was answered by a fallback, `stale` or the caller's own.
    pub(crate) fn fell_back(&self, stale: bool, instead_of: Outcome) {
        let reason = match instead_of {
            Outcome::Timeout => 1,
            Outcome::Rejected => 2,
            _ => 0,
        };
        self.fallbacks[usize::from(!stale)][reason].add_one();
    }

    pub(crate) fn duration(&self, outcome: Outcome, priority: Priority) -> Option<&Histogram> {
        self.durations[outcome.index()][priority as usize].get()
    }

    pub(crate) fn attempt_duration(&self, which: Try, result: AttemptResult) -> Option<&Histogram> {
        self.attempts[which as usize][result as usize].get()
    }

    pub(crate) fn lookups(&self, found: Lookup) -> u64 {
        self.lookups[found as usize].get()
    }

    pub(crate) fn fallbacks(&self, source: usize, reason: usize) -> u64 {
        self.fallbacks[source][reason].get()
    }

    /// Calls that ended so, whatever their priority.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        Priority::ALL
            .into_iter()
            .filter_map(|priority| self.duration(outcome, priority))
            .map(Histogram::count)
            .sum()
    }

    /// Attempts of this try that ended so.
    pub(crate) fn attempts(&self, which: Try, result: AttemptResult) -> u64 {
        self.attempt_duration(which, result).map_or(0, Histogram::count)
    }

    /// All attempts, however they ended.
    pub(crate) fn all_attempts(&self) -> u64 {
        self.attempts.as_flattened().iter().filter_map(Lazy::get).map(Histogram::count).sum()
    }
}

/// The policies that refuse calls, as metrics name them.
pub(crate) const REFUSING: [&str; 8] =
    ["breaker", "bulkhead", "rate", "throttle", "deadline", "drain", "failed", "faults"];

/// What attempts suffer on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injected {
    Fail,
    Delay,
    Hang,
    Reject,
}

impl Injected {
    pub(crate) const ALL: [Self; 4] = [Self::Fail, Self::Delay, Self::Hang, Self::Reject];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Delay => "delay",
            Self::Hang => "hang",
            Self::Reject => "reject",
        }
    }
}

/// One service's.
#[derive(Debug, Default)]
pub(crate) struct ServiceMetrics {
    rejections: [[[Counter; Priority::ALL.len()]; 2]; REFUSING.len()],
    restarts: [Counter; Cause::ALL.len()],
    injected: [Counter; Injected::ALL.len()],
    pub(crate) queue_wait: Lazy,
    pub(crate) context_missing: Counter,
    transitions: parking_lot::Mutex<Vec<(TransitionLabels, u64)>>,
}

/// From, to and cause, as metrics name them: closed sets, so that there are few.
pub(crate) type TransitionLabels = (&'static str, &'static str, &'static str);

impl ServiceMetrics {
    pub(crate) fn rejected(&self, policy: &str, shadow: bool, priority: Priority) {
        if let Some(policy) = REFUSING.iter().position(|known| *known == policy) {
            self.rejections[policy][usize::from(shadow)][priority as usize].add_one();
        }
    }

    pub(crate) fn rejections(&self, policy: usize, shadow: bool, priority: Priority) -> u64 {
        self.rejections[policy][usize::from(shadow)][priority as usize].get()
    }

    pub(crate) fn injected(&self, what: Injected) {
        self.injected[what as usize].add_one();
    }

    pub(crate) fn injections(&self, what: Injected) -> u64 {
        self.injected[what as usize].get()
    }

    pub(crate) fn restarted(&self, cause: Cause) {
        self.restarts[cause as usize].add_one();
    }

    pub(crate) fn restarts(&self, cause: Cause) -> u64 {
        self.restarts[cause as usize].get()
    }

    pub(crate) fn transition(&self, labels: TransitionLabels) {
        let mut transitions = self.transitions.lock();
        match transitions.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, count)) => *count += 1,
            None => transitions.push((labels, 1)),
        }
    }

    pub(crate) fn transitions(&self) -> Vec<(TransitionLabels, u64)> {
        self.transitions.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who counts by label counts on these: a word that changes is a breaking change.
    #[test]
    fn the_words_of_labels_are_pinned() {
        let refusing = ["breaker", "bulkhead", "rate", "throttle", "deadline", "drain", "failed", "faults"];
        assert_eq!(REFUSING, refusing);
        assert_eq!(Try::ALL.map(Try::word), ["first", "retry", "hedge"]);
        let results = ["success", "failure", "overload", "ignored", "cancelled"];
        assert_eq!(AttemptResult::ALL.map(AttemptResult::word), results);
        assert_eq!(Lookup::ALL.map(Lookup::word), ["fresh", "stale", "miss", "negative", "bypass"]);
    }
}
