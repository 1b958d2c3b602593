//! The values that settings are written in: ratios, sizes, durations; and the tick that policies count time in.
//!
//! Each is read from text that carries its unit (`"50%"`, `"64MiB"`, `"30s"`) and validated once, so that inner code
//! never checks again. A bare number never has a unit in the reader's head. Where a setting may be turned off it is an
//! `Option`, and `false` in the file says `None`: TOML has no null.

pub mod duration;
mod ratio;
mod size;
mod tick;

pub use ratio::Ratio;
pub use size::ByteSize;
pub use tick::Tick;

#[cfg(test)]
mod tests;
