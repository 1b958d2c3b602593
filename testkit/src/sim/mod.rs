//! A whole runtime in virtual time: an hour of outages in seconds, and every failure replayed by its seed.
//!
//! Policies, cache, shards and supervisors are each tested by themselves. What goes wrong in production goes wrong between
//! them: a caller who leaves in the moment in which the breaker opens, while the settings are reloaded and the pool is
//! not there. Nobody thinks of all of these, so here chance does. A seed makes a [`Plan`]: services, their settings,
//! their callers, and what befalls them. [`run`] lets it happen on one thread, under tokio's paused clock, to a runtime
//! that is in no way special, and holds what it saw against the rules that hold always: every call ends in time, no
//! answer is another's, nothing is held in the end, the runtime's figures are the downstream's own.
//!
//! All chance comes from the seed and all that happens is in one order, which a hash of every step proves: two runs of
//! a seed are the same to the byte. So a seed that failed once fails again, in a debugger too.
//!
//! In the manner of FoundationDB's simulation (Zhou et al., SIGMOD 2021) and TigerBeetle's VOPR, which has the liveness
//! check from there too: after all faults but one have ended, everything else must be well within ten seconds.
//!
//! What it cannot see: threads, sockets, and the real clock. For these there are [`TestServer`](crate::TestServer) and
//! [`FaultProxy`](crate::FaultProxy).

mod books;
mod callers;
mod extras;
mod kind;
mod latency;
mod log;
mod overrides;
mod panics;
mod plan;
mod random;
mod reload;
mod rules;
mod run;
mod settings;
mod sights;
mod stages;
mod weather;
mod world;

pub use extras::Extras;
pub use latency::Latency;
pub use log::Entry;
pub use plan::{Callers, Change, Fault, FaultKind, Opening, Override, Plan, Reload, ServicePlan};
pub use rules::Violation;
pub use run::{Report, Second, run};
pub use settings::{Breaker, Settings};
pub use sights::{EXPECTED, Sights};
pub use stages::CAPACITY;
