//! What came about in runs: a simulation in which nothing happens proves nothing.

use std::collections::BTreeMap;

use seawall::{
    call::Reason,
    telemetry::{Cause, What},
};

/// What came about, and how often.
pub type Sights = BTreeMap<&'static str, u64>;

/// What has to come about in some run of many: where one of these never does, the runs miss what they are there for.
pub const EXPECTED: [&str; 37] = [
    "call: fresh",
    "call: cached",
    "call: stale",
    "call: fallback",
    "call: error",
    "call: timeout",
    "call: rejected",
    "call: cancelled",
    "refused: breaker",
    "refused: bulkhead full",
    "refused: queue timeout",
    "refused: shed",
    "refused: deadline",
    "refused: unavailable",
    "refused: service failed",
    "breaker: open",
    "breaker: half open",
    "breaker: closed",
    "saturated",
    "relieved",
    "retry budget spent",
    "pool failed",
    "shard panicked",
    "shard unhealthy",
    "attempts panicked",
    "reopened",
    "service failed",
    "service recovered",
    "reloaded",
    "reload refused",
    "refused: rate",
    "told",
    "tried again by its caller",
    "endpoint ejected",
    "endpoint returned",
    "override set",
    "override ended",
];

/// The sight that an event is.
pub(super) fn of_event(what: &What) -> Option<&'static str> {
    Some(match what {
        What::Breaker { transition, .. } => match transition.to.word() {
            "open" => "breaker: open",
            "half_open" => "breaker: half open",
            _ => "breaker: closed",
        },
        What::Saturated => "saturated",
        What::Relieved => "relieved",
        What::BudgetExhausted => "retry budget spent",
        What::PoolFailed { .. } => "pool failed",
        What::ShardRestarted { cause: Cause::Panic, .. } => "shard panicked",
        What::ShardRestarted { cause: Cause::Unhealthy, .. } => "shard unhealthy",
        What::ShardRestarted { cause: Cause::AttemptPanics, .. } => "attempts panicked",
        What::ShardRestarted { cause: Cause::Requested, .. } => "reopened",
        What::Ejected { .. } => "endpoint ejected",
        What::Returned { .. } => "endpoint returned",
        What::OverrideSet { .. } => "override set",
        What::OverrideExpired { .. } => "override ended",
        What::ServiceFailed { .. } => "service failed",
        What::ServiceRecovered => "service recovered",
        What::Reloaded { .. } => "reloaded",
        What::ReloadRefused { .. } => "reload refused",
        _ => return None,
    })
}

/// The sight that a refusal is.
pub(super) fn of_refusal(reason: &Reason) -> &'static str {
    match reason {
        Reason::Breaker(_) => "refused: breaker",
        Reason::BulkheadFull { .. } => "refused: bulkhead full",
        Reason::QueueTimeout(_) => "refused: queue timeout",
        Reason::Rate { .. } => "refused: rate",
        Reason::Shed => "refused: shed",
        Reason::DeadlinePassed => "refused: deadline",
        Reason::Unavailable { .. } => "refused: unavailable",
        Reason::ServiceFailed { .. } => "refused: service failed",
        _ => "refused: other",
    }
}
