//! How a runtime behaves when its downstreams do not: one module for each behaviour, on scripted downstreams.

mod support;

mod basics;
mod breaker;
mod cache;
mod callers;
mod cancel;
mod drain;
mod fallback;
mod restart;
mod retry;
