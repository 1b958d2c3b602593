//! What the tests look at.

use seawall::{
    Runtime,
    policy::breaker::{BreakerSnapshot, State},
    runtime::CallSnapshot,
    telemetry::{EventStream, What},
};

/// One failure is enough, as in opossum, and nothing is random.
pub(crate) const AT_ONCE: &str =
    "retry = false\nbreaker = { minimum_calls = 1, error_threshold = \"10%\", reset_jitter = \"0%\" }";

/// The first service's breaker.
pub(crate) fn breaker(runtime: &Runtime) -> BreakerSnapshot {
    runtime.snapshot().services[0].breaker.expect("it has one")
}

pub(crate) fn state(runtime: &Runtime) -> State {
    breaker(runtime).state
}

/// What the first service's call of this name has done.
pub(crate) fn call(runtime: &Runtime, name: &str) -> CallSnapshot {
    runtime.snapshot().services[0].call(name).cloned().expect("it was called")
}

/// The states that the breaker came to by now.
pub(crate) fn turns(events: &mut EventStream) -> Vec<State> {
    let turn = |what| if let What::Breaker { transition, .. } = what { Some(transition.to) } else { None };
    std::iter::from_fn(|| events.try_next()).filter_map(|event| turn(event.what)).collect()
}
