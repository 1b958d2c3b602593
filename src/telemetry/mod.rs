//! The recording side of what people and machines see: counts, durations, events and log lines.
//!
//! Counts live in our own atomics, so that a snapshot works with no recorder installed; exporters read them. All names
//! are a public contract and stand in [`names`].

mod events;
mod log;
mod metrics;
pub mod names;
pub(crate) mod spans;

pub use events::{Cause, Ended, Event, EventStream, What};

pub(crate) use events::EventBus;
pub(crate) use log::Log;
pub(crate) use metrics::{
    AttemptResult, CallMetrics, Counter, FALLBACK_REASONS, FALLBACK_SOURCES, Injected, Lookup, Outcome,
    REFUSING, ServiceMetrics, Try,
};
