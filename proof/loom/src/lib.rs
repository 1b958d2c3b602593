//! The policies once more, from their own sources, with loom's atomics and locks in place of the real ones.
//!
//! Their sources name neither: they use `crate::sync`, which here is another module. So the crate itself is built the same
//! way always, and nobody builds tokio with `--cfg loom`, which turns half of it off.

// What only the rest of the crate uses of these sources is dead here: that is said of each of them.
#[allow(dead_code)]
#[path = "../../../src/policy/mod.rs"]
pub mod policy;
mod sync;
#[allow(dead_code)]
#[path = "../../../src/units/mod.rs"]
pub mod units;
