//! Settings that code overrides at run time, for a while: the layer above all files.
//!
//! For the night when a limit is wrong and a deployment takes too long. An override always has a reason and an end, for
//! what somebody turned in haste and nobody turned back is the next outage: that is why [`Setting::because`] is what puts
//! it in force, why one lasts an hour unless said otherwise, and a day at most ([`LONGEST_OVERRIDE`]). What is meant to
//! stay belongs in a file. They live in memory: a restart ends them too.
//!
//! An override is judged like a reload, with all that its service inherits, and changes nothing if anything is wrong.
//! Only its own service is judged: no other can differ by it, and a secret of another's that has gone missing must not
//! stand in the way of whoever puts out a fire. The files are not read again, for what somebody has saved and not yet
//! reloaded is no part of it.
//!
//! One timer waits for the next end of all ([`Alarm`](crate::supervise::Alarm)). What ends is judged without it; where
//! another override then makes no sense any more, it ends too, since nobody is there to be asked.

mod change;
mod error;
mod in_force;
mod setting;

use std::time::Duration;

pub use error::OverrideError;
pub use in_force::Override;
pub use setting::Setting;

pub(super) use change::{expire, reloaded};
pub(super) use in_force::InForce;

/// The longest that an override may last: a day.
pub const LONGEST_OVERRIDE: Duration = Duration::from_secs(24 * 3600);

/// The most overrides that may be in force at once.
pub const MOST_OVERRIDES: usize = 64;
