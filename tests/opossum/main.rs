//! opossum's documented behaviour, case by case and trap by trap, through the public API: what somebody who comes from
//! there relies on is here, or differs on purpose. `docs/opossum.md` numbers the cases and says what each option and event
//! is called here; the module `account` checks that it names each case and each of these tests.

// The behaviour tests use more of it.
#[allow(dead_code)]
#[path = "../behaviour/support.rs"]
mod support;

mod account;
mod cache;
mod coalesce;
mod counting;
mod fallback;
mod lifecycle;
mod options;
mod shop;
mod states;
mod traps;
mod watch;
