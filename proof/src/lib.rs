//! The policies once more, from their own sources: alone, as they know neither clock nor I/O nor the rest of the crate,
//! and optimized, so that a model can be held against them for ten million events in a test of seconds. To optimize the
//! whole of `seawall` would make every other test wait for its build.

// What only the rest of the crate uses of these sources is dead here: that is said of each of them.
#[allow(dead_code)]
#[path = "../../src/policy/mod.rs"]
pub mod policy;
#[allow(dead_code, unused_imports)]
#[path = "../../src/sync.rs"]
mod sync;
#[allow(dead_code)]
#[path = "../../src/units/mod.rs"]
pub mod units;
