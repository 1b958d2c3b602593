//! Misbehaving servers, fault proxies, scripted downstreams and mocks for tests with seawall.
//!
//! A resilient client is proved against what goes wrong, and what goes wrong must be there on demand:
//!
//! - [`virtual_time`] an hour of backoff in milliseconds, with actors.

mod clock;

pub use clock::virtual_time;
