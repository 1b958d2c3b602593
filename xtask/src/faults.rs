//! Builds and runs the program that stages faults, `faults/`.
//!
//! In the development profile, as the tests are: it is about what is done, and not about how fast. It prints its own
//! table and closing line.

use std::ffi::OsString;

use crate::process::{self, cargo};

/// Plays the scenarios that `passed_on` names, in that program's own words.
///
/// # Errors
/// When it cannot be built, or a scenario did not hold.
pub(crate) fn run(passed_on: &[OsString]) -> Result<(), String> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", "seawall-faults", "--"]).args(passed_on);
    process::run(&mut command)
}
