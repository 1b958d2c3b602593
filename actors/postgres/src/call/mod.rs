//! Calls: one statement each, a transaction, or a stream.

mod query;

pub use query::{Execute, Query, QueryOne, QueryOpt};
