//! Runs the simulation.
//!
//! The simulation is a binary of the testkit, which knows its own options. It is built by the profile `sim`: optimised,
//! since it makes millions of calls, yet with the checks that tests have.

use std::ffi::OsString;

use crate::process::{self, cargo};

/// Runs it with these options.
///
/// # Errors
/// When it cannot be built, or a seed fails.
pub(crate) fn run(options: &[OsString]) -> Result<(), String> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--profile", "sim"]);
    command.args(["--package", "seawall-testkit", "--bin", "sim", "--"]).args(options);
    process::run(&mut command)
}
