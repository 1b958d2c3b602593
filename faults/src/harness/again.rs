//! A scenario in a process of its own: how one is started, what it writes, and how it has itself played in another
//! environment than it was started in.

use std::process::Command;

use super::report::{Check, Report};
use super::stage::Stage;

/// What this program is started with to play one scenario.
pub(crate) const PLAY: &str = "play";
/// What stands before a check on the player's output, and what after the last.
pub(crate) const CHECK: &str = "check ";
pub(crate) const DONE: &str = "done";

/// Plays a scenario again in a process that `differs`, and reports what that found.
///
/// # Panics
/// When it cannot be judged, with what it said.
pub(crate) fn again(id: &str, stage: &Stage, differs: impl FnOnce(&mut Command)) -> Report {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("no program to start: {error}"));
    let mut command = Command::new(program);
    command.args([PLAY, id, &stage.seed.to_string(), if stage.full { "full" } else { "quick" }]);
    differs(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("it cannot be played: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut report = Report::default();
    let checks =
        text.lines().filter_map(|line| serde_json::from_str::<Check>(line.strip_prefix(CHECK)?).ok());
    report.checks.extend(checks);
    if !output.status.success() || report.checks.is_empty() {
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    }
    report
}
