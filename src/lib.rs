//! A resilient client runtime for Rust services built on actix.

mod cache;
pub mod call;
pub mod config;
pub mod downstream;
pub mod policy;
pub mod runtime;
pub mod service;
mod supervise;
pub mod telemetry;
pub mod units;
#[cfg(feature = "actix-web")]
pub mod web;

pub use call::{Answer, Call, CallError, Context, Origin, Priority, spawn, within};
pub use downstream::{Downstream, Failure};
pub use runtime::{Runtime, Services};
pub use seawall_macros::Services;
pub use service::{Sending, Service};
