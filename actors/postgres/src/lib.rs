//! PostgreSQL downstreams for seawall, on tokio-postgres and deadpool: the kind `"postgres"`.
//!
//! A call is a statement with its parameters ([`Query`], [`QueryOne`], [`QueryOpt`], [`Execute`]), a [`Transaction`], a stream
//! ([`CopyIn`], [`CopyOut`], [`Listen`]), or a type of your own that
//! implements [`Call`](seawall::Call) with a [`Session`]. Rows are read by serde. An error becomes a
//! [`Failure`](seawall::Failure) that says whose fault it was and whether trying again can help:
//!
#![doc = include_str!("failure/table.md")]
//!
//! A failure's code is the SQLSTATE (`23505`), or one word: `dns`, `refused`, `tls`, `network`, `local`, `setup`, `pool`,
//! `connect_timeout`, `reset`, `protocol`, `request`, `row`, `too_large`, `commit_unknown`.
//!
//! What a service is, its settings say: [`PostgresSettings`].

mod call;
mod downstream;
mod failure;
mod params;
mod pool;
mod row;
mod session;
mod settings;
mod wire;

pub use call::{
    CopyIn, CopyOut, Execute, Isolation, Listen, Notifications, Notified, Query, QueryOne, QueryOpt,
    Transaction, Tx,
};
pub use downstream::Postgres;
pub use params::Parameter;
pub use session::{Access, Session};
pub use settings::PostgresSettings;
pub use tokio_postgres::types;
