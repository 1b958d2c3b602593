//! A resilient client runtime for Rust services built on actix.
//!
//! A service that calls other services embeds a [`Runtime`]. Each downstream is owned by supervised actors that hold its
//! connections; callers send typed messages through a [`Service`] handle, and policies stand in between: deadlines, circuit
//! breaker, bulkhead, retries within a budget, a cache that coalesces, fallbacks. Layered settings say how each is treated.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use seawall::{Runtime, service::Func};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().load("config")?.start().await?;
//! let storage = runtime.guard("storage")?; // [services.storage] kind = "func"
//! let size = storage
//!     .run(|| async { std::fs::metadata("data").map(|data| data.len()) })
//!     .deadline(Duration::from_millis(300))
//!     .fallback(|_| 0)
//!     .await?;
//! println!("{} bytes, {:?}", *size, size.origin());
//! # Ok(())
//! # }
//! ```
//!
//! Kinds of downstreams come as crates of their own (`seawall-http`), and anybody can write one: see [`Downstream`].

mod cache;
pub mod call;
pub mod config;
pub mod downstream;
pub mod policy;
pub mod runtime;
pub mod service;
mod supervise;
mod sync;
pub mod telemetry;
pub mod units;
#[cfg(feature = "actix-web")]
pub mod web;

pub use call::{Answer, Call, CallError, Context, Origin, Priority, spawn, within};
pub use downstream::{Downstream, Failure};
pub use runtime::{Runtime, Services};
pub use seawall_macros::Services;
pub use service::{Sending, Service};

/// The README's code, which compiles like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
