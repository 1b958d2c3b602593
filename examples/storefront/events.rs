//! Events in words.

use std::panic;
use std::sync::mpsc::{Receiver, sync_channel};

use seawall::{
    policy::breaker::{State, Transition},
    telemetry::What,
};

use crate::shop;

/// Panics of calls that are kept until they are shown; what comes on top of them is lost.
const KEPT: usize = 64;

/// One line, for those that say more than a count does.
pub(crate) fn describe(what: &What) -> Option<String> {
    Some(match what {
        What::Breaker { transition, last_error, .. } => {
            let error = last_error.as_deref().map(|error| format!("; last: {error}")).unwrap_or_default();
            breaker(transition, &error)
        }
        What::Saturated => "bulkhead full: calls are refused".into(),
        What::Relieved => "bulkhead admits calls again".into(),
        What::BudgetExhausted => "retry budget spent: failures are not retried".into(),
        What::PoolFailed { error, retry_in, .. } => {
            format!("pool failed: {error}; next try in {retry_in:.1?}")
        }
        What::ShardRestarted { thread, cause } => format!("pool of {thread} reopened: {}", cause.word()),
        What::ServiceFailed { probe_in, .. } => format!("service failed; next probe in {probe_in:.1?}"),
        What::ServiceRecovered => "service recovered".into(),
        What::ThreadStalled { thread, blocked } => format!("thread {thread} blocked for {blocked:.1?}"),
        What::ThreadRecovered { thread, .. } => format!("thread {thread} goes on"),
        What::DrainStarted => "no new calls: draining".into(),
        What::DrainEnded { cut_off } => format!("drained, {cut_off} calls cut off"),
        What::Lagged(lost) => format!("{lost} events lost"),
        _ => return None,
    })
}

fn breaker(t: &Transition, error: &str) -> String {
    match t.to {
        State::Open => format!(
            "breaker opened ({}): {} of {} failed; next probe in {:.1?}{error}",
            t.cause.word(),
            t.failures,
            t.calls,
            t.retry_after
        ),
        State::HalfOpen => "breaker half open: probing".into(),
        State::Closed => format!("breaker closed, {} calls refused meanwhile", t.rejected),
        State::ForcedOpen | State::Disabled => format!("breaker {}", t.to.word()),
    }
}

/// Keeps the panics that the script asks for from being printed amid the table; all others are printed as ever.
pub(crate) fn catch_panics() -> Receiver<String> {
    let (sender, caught) = sync_channel(KEPT);
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text != shop::BUG {
            return print(info);
        }
        let thread = std::thread::current();
        let _ =
            sender.try_send(format!("a call panicked on {}: {text}", thread.name().unwrap_or("a thread")));
    }));
    caught
}
