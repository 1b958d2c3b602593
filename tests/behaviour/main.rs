//! How a runtime behaves when its downstreams do not: one module for each behaviour, on scripted downstreams.

mod basics;
mod breaker;
mod cache;
mod callers;
mod cancel;
mod defaults;
mod drain;
mod endpoints;
mod fallback;
mod faults;
mod nested;
mod overload;
mod overrides;
mod pitfalls;
mod rate;
mod reload;
mod restart;
mod retry;
mod review;
mod shadow;
mod support;
mod telemetry;
mod user_code;
