use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};
use tracing::{debug, info, warn};

use super::{Ended, Event, What};
use crate::{call::CallError, policy::breaker::State};

/// The time from one line about unanswered calls to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes events as lines.
///
/// Each change is a line. An unanswered call that fails is no change but a call, of which there may be a hundred
/// thousand in a second: it is a line once a second at most, which says how many others there were. The last of them are
/// told by a line of their own once the second is over, or when the runtime has drained. As events they are all told.
#[derive(Debug, Default)]
pub(crate) struct Log {
    unanswered: Arc<Mutex<Unwritten>>,
}

/// Unanswered calls that failed and have no line.
#[derive(Debug, Default)]
struct Unwritten {
    count: u64,
    next_line: Option<Instant>,
}

impl Log {
    pub(crate) fn write(&self, event: &Event) {
        match &event.what {
            What::Unanswered(error) => self.unanswered(event.service.as_deref().unwrap_or(""), error),
            What::DrainEnded { .. } => {
                rest(&self.unanswered);
                write(event);
            }
            _ => write(event),
        }
    }

    fn unanswered(&self, service: &str, error: &CallError) {
        let (others, waits_until) = {
            let mut unanswered = self.unanswered.lock();
            (unanswered.write(Instant::now()), unanswered.next_line.filter(|_| unanswered.count == 1))
        };
        match (others, waits_until) {
            (Some(others), _) => {
                let (call, error) = (error.call(), crate::call::chain(error));
                warn!(service, call, error, others, "unanswered call failed");
            }
            // The first that has no line sees to it that it is told of; off any async runtime the next line tells.
            (None, Some(due)) => {
                if let Ok(runtime) = Handle::try_current() {
                    let unanswered = Arc::clone(&self.unanswered);
                    runtime.spawn(async move {
                        sleep_until(due).await;
                        rest(&unanswered);
                    });
                }
            }
            (None, None) => {}
        }
    }
}

/// Tells of those that have no line yet.
fn rest(unanswered: &Mutex<Unwritten>) {
    let others = std::mem::take(&mut unanswered.lock().count);
    if others > 0 {
        warn!(others, "unanswered calls failed");
    }
}

impl Unwritten {
    /// Whether one more is written, and for how many others.
    fn write(&mut self, now: Instant) -> Option<u64> {
        if self.next_line.is_some_and(|next| now < next) {
            self.count += 1;
            return None;
        }
        self.next_line = now.checked_add(PAUSE);
        Some(std::mem::take(&mut self.count))
    }
}

/// Writes an event's line: a warning where things got worse.
fn write(event: &Event) {
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
        What::Ejected { endpoint, shadow, ejection } => warn!(
            service,
            %endpoint,
            shadow,
            cause = ejection.cause.word(),
            consecutive_failures = ejection.consecutive_failures,
            failures = ejection.failures,
            calls = ejection.calls,
            ejected_for = ?ejection.lasts,
            row = ejection.row,
            "endpoint ejected"
        ),
        What::Returned { endpoint, shadow, after } => {
            info!(service, %endpoint, shadow, ejected_for = ?after, "endpoint returned");
        }
        What::AllEjected { ejected, endpoints } => {
            warn!(service, ejected, endpoints, "so many endpoints are ejected that all are used");
        }
        // Neither better nor worse, and it never ends.
        What::LimitChanged { scope, from, to } => {
            debug!(service, scope = &**scope, from, to, "limit changed");
        }
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
        What::Unanswered(_) | What::Lagged(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_in_a_second_one_is_written_and_the_others_counted() {
        let (mut unwritten, start) = (Unwritten::default(), Instant::now());
        assert_eq!(unwritten.write(start), Some(0));
        for millis in 0..1000 {
            assert_eq!(unwritten.write(start + Duration::from_millis(millis)), None);
        }
        assert_eq!(unwritten.write(start + PAUSE), Some(1000));
        assert_eq!(unwritten.write(start + PAUSE * 3), Some(0));
    }
}
