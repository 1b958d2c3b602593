//! Seawall in an actix-web service: contexts of requests, error responses, pages to watch it by, and shutting down.
//!
//! ```no_run
//! use actix_web::{App, HttpServer};
//! use seawall::{Runtime, web};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().load("config")?.start().await?;
//! let served = runtime.clone();
//! let server = HttpServer::new(move || {
//!     App::new().wrap(web::RequestContext::new()).configure(web::pages(&served))
//! })
//! .disable_signals() // they are `serve`'s
//! .bind("127.0.0.1:8080")?
//! .run();
//! web::serve(server, runtime).await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`RequestContext`] is a middleware: what the calls made for a request inherit from it, the deadline first of all.
//! - [`CallError`](crate::CallError) is an actix-web error, so that a handler may end with `?`; `error.rs` has the table.
//! - [`pages`] mounts `/health` and `/metrics`.
//! - [`serve`] runs the server until a signal comes, and then lets requests and calls end in the right order.

mod context;
mod error;
pub mod headers;
mod pages;
mod serve;

pub use context::RequestContext;
pub use pages::{health, metrics, pages};
pub use serve::serve;
