//! opossum's documented behaviour, case by case and trap by trap, through the public API: what somebody who comes from
//! there relies on is here, or differs on purpose. A test's number is the case's in `docs/opossum.md`, which says what
//! each option and event is called here.

// The behaviour tests use more of it.
#[allow(dead_code)]
#[path = "../behaviour/support.rs"]
mod support;

mod breaker;
mod cache;
mod calls;
mod fallback;
mod options;
mod traps;
