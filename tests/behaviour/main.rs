//! How a runtime behaves when its downstreams do not: one module for each behaviour, on scripted downstreams.

mod support;

mod basics;
mod breaker;
mod cache;
mod callers;
mod cancel;
mod defaults;
mod drain;
mod fallback;
mod faults;
mod freshness;
mod hedge;
mod negative;
mod overrides;
mod pitfalls;
mod reload;
mod restart;
mod retry;
mod review;
mod stampede;
mod telemetry;
mod throttle;
mod unknown_write;
mod user_code;
