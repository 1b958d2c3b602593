//! A resilient client runtime for Rust services built on actix.

pub mod config;
pub mod policy;
pub mod units;
