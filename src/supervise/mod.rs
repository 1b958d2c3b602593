//! Who owns the services, watches their shards, and restarts what dies.
//!
//! actix's own `Supervisor` restarts only what stops, not what panics, knows no backoff, and gives up when its arbiter
//! dies. Ours: each thread's shard has a keeper ([`keeper`]) on the same thread that awaits the join handle of the
//! actor's context, so a panic is seen; it opens the pool anew and swaps the address, after a growing, jittered backoff.
//! One supervisor actor owns all services: it checks their health and asks keepers to reopen. A watchdog names threads
//! that something blocks.

mod keeper;
mod supervisor;
mod watchdog;

pub(crate) use keeper::keep;
pub(crate) use supervisor::{Adopt, Alarm, Supervised, Supervisor};
pub(crate) use watchdog::Watchdog;
