use tracing::{info, warn};

use super::{Ended, Event, What};
use crate::policy::breaker::State;

/// Writes an event's line: a warning where things got worse.
pub(crate) fn log(event: &Event) {
    let service = event.service.as_deref().unwrap_or("");
    match &event.what {
        What::Breaker { scope, shadow, transition, last_error } => {
            let (scope, last_error) = (&**scope, last_error.as_deref().unwrap_or(""));
            let t = transition;
            match t.to {
                State::Open => warn!(
                    service,
                    scope,
                    shadow,
                    cause = t.cause.word(),
                    error_ratio = t.error_ratio,
                    failures = t.failures,
                    calls = t.calls,
                    threshold = t.threshold,
                    slow = t.slow,
                    last_error,
                    retry_after = ?t.retry_after,
                    open_count = t.open_count,
                    generation = t.generation,
                    "breaker opened"
                ),
                State::HalfOpen => {
                    info!(service, scope, shadow, open_for = ?t.lasted, generation = t.generation, "breaker half-opened")
                }
                State::Closed => info!(
                    service,
                    scope,
                    shadow,
                    cause = t.cause.word(),
                    open_for = ?t.lasted,
                    rejected = t.rejected,
                    generation = t.generation,
                    "breaker closed"
                ),
                State::ForcedOpen => warn!(service, scope, generation = t.generation, "breaker forced open"),
                State::Disabled => warn!(service, scope, generation = t.generation, "breaker disabled"),
            }
        }
        What::Saturated => warn!(service, "bulkhead saturated"),
        What::Relieved => info!(service, "bulkhead relieved"),
        What::BudgetExhausted => warn!(service, "retry budget exhausted"),
        What::PoolOpened { thread } => info!(service, thread = &**thread, "pool opened"),
        What::PoolFailed { thread, error, retry_in } => {
            warn!(service, thread = &**thread, error = &**error, ?retry_in, "pool failed");
        }
        What::ShardRestarted { thread, cause } => {
            warn!(service, thread = &**thread, cause = cause.word(), "shard restarted");
        }
        What::ServiceFailed { error, probe_in } => {
            warn!(service, error = &**error, ?probe_in, "service failed");
        }
        What::ServiceRecovered => info!(service, "service recovered"),
        What::ThreadStalled { thread, blocked } => {
            warn!(thread = &**thread, ?blocked, "thread stalled");
        }
        What::ThreadRecovered { thread, blocked } => {
            info!(thread = &**thread, ?blocked, "thread recovered");
        }
        What::Reloaded { generation } => info!(generation, "settings reloaded"),
        What::ReloadRefused { errors } => warn!(errors = &**errors, "reload refused"),
        What::OverrideSet { key, value, by, because, lasting } => {
            let (key, value, by, because) = (&**key, &**value, &**by, &**because);
            warn!(service, key, value, by, because, ?lasting, "setting overridden");
        }
        What::OverrideExpired { key, by, cause: cause @ Ended::Contradicts } => {
            warn!(service, key = &**key, by = &**by, cause = cause.word(), "override ended");
        }
        What::OverrideExpired { key, by, cause } => {
            info!(service, key = &**key, by = &**by, cause = cause.word(), "override ended");
        }
        What::FaultsOn { scope, faults } => {
            warn!(service, scope = &**scope, faults = &**faults, "faults are injected on purpose");
        }
        What::FaultsOff { scope } => info!(service, scope = &**scope, "faults are injected no more"),
        What::DrainStarted => info!("drain started"),
        What::DrainEnded { cut_off: 0 } => info!("drain ended"),
        What::DrainEnded { cut_off } => warn!(cut_off, "drain ended with calls cut off"),
        What::Unanswered(error) => {
            warn!(service, call = error.call(), error = crate::call::chain(error), "unanswered call failed");
        }
        What::Lagged(_) => {}
    }
}
