//! Calls: one statement each, a transaction, or a stream.

mod query;
mod transaction;

pub use query::{Execute, Query, QueryOne, QueryOpt};
pub use transaction::{Isolation, Transaction, Tx};
