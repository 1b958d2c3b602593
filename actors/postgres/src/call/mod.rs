//! Calls: one statement each, a transaction, or a stream.

mod copy;
mod listen;
mod query;
mod transaction;

pub use copy::{CopyIn, CopyOut};
pub use listen::{Listen, Notifications, Notified};
pub use query::{Execute, Query, QueryOne, QueryOpt};
pub use transaction::{Isolation, Transaction, Tx};
