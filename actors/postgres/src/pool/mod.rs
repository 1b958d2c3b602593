//! A service's connections: made, kept, healed and closed.
//!
//! Each shard has a deadpool of its own, whose connections live and die with its thread; how many there may be is the
//! process's ([`Shared`]). The bulkhead in front is as wide as the pool, so that who waits, waits there.

mod connection;
mod lease;
mod manager;
mod places;
mod shared;
mod statements;

pub(crate) use connection::Prepared;
pub(crate) use lease::Lease;
pub(crate) use places::{Listening, Places};
pub(crate) use shared::Shared;
pub(crate) use statements::{commits, leaves};
