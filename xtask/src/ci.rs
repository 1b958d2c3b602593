//! Everything that CI checks, in one run.
//!
//! Each step runs whether or not the one before it passed: whoever waits for a run should learn all that is wrong from
//! it. The cheap ones come first, the tests last, so that their closing line closes the run. All steps but the simulation,
//! which makes millions of calls and is optimised, share the development profile, the target folder and the full set of
//! features: what differs between two steps is compiled twice.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::faults;
use crate::process::{self, cargo};
use crate::setup::{self, Scope};
use crate::sim;
use crate::test;

/// How long the advisories' database may take to arrive. It is a git repository out on the internet.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Runs all steps.
///
/// # Errors
/// When a tool is missing, or naming the steps that failed.
pub(crate) fn run() -> Result<(), String> {
    setup::check(Scope::Ci)?;

    let mut report = Report::default();
    report.step("format", || passes(cargo().args(["fmt", "--all", "--check"])));
    report.step("lints", || {
        let selection = ["--locked", "--workspace", "--all-targets", "--all-features"];
        passes(cargo().arg("clippy").args(selection).args(["--", "-D", "warnings"]))
    });
    report.step("docs", || {
        let selection = ["--locked", "--workspace", "--all-features", "--no-deps"];
        passes(cargo().arg("doc").args(selection).env("RUSTDOCFLAGS", "-D warnings"))
    });
    report.step("dependencies", || {
        passes(deny().args(["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
    });
    report.step("advisories", advisories);

    report.step("simulation", || sim::run(&[]).map(|()| Outcome::Passed));
    // Its bounds on times are of an undisturbed machine, which nobody promises here.
    report.step("faults", || faults::run(&["--again".into(), "2".into()]).map(|()| Outcome::Passed));

    let mut closing_line = None;
    report.step("tests", || {
        let tests = test::run(&[])?;
        closing_line = Some(tests.to_string());
        tests.verdict()?;
        // Cargo is content with none; for the whole workspace it means that the results were not understood.
        if tests.is_empty() { Err("no test has run".to_owned()) } else { Ok(Outcome::Passed) }
    });

    println!("\n{report}");
    if let Some(line) = closing_line {
        println!("{line}");
    }
    report.verdict()
}

fn passes(command: &mut Command) -> Result<Outcome, String> {
    process::run(command).map(|()| Outcome::Passed)
}

fn deny() -> Command {
    let mut command = cargo();
    command.args(["deny", "--locked", "--workspace", "--all-features"]);
    command
}

/// Judges the known advisories, where their database can be had: CI machines may see no more than a registry, and what
/// they cannot see must neither fail a run nor hold it up.
fn advisories() -> Result<Outcome, String> {
    let mut fetch = deny();
    // Git may ask for a password where a proxy stands in the way; nobody is there to give one.
    fetch.args(["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    match process::run_within(&mut fetch, FETCH_LIMIT) {
        Ok(()) => passes(deny().args(["--offline", "check", "--hide-inclusion-graph", "advisories"])),
        Err(reason) => {
            println!("not checked: the database of advisories cannot be reached ({reason})");
            Ok(Outcome::Skipped)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Skipped,
    Failed,
}

/// What each step took, and how it ended. Its text is a table.
#[derive(Default)]
struct Report {
    rows: Vec<(&'static str, Duration, Outcome)>,
}

impl Report {
    fn step(&mut self, name: &'static str, check: impl FnOnce() -> Result<Outcome, String>) {
        println!("\n== {name}");
        // The time of the machine is what is measured here; no test turns it.
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let outcome = check().unwrap_or_else(|error| {
            println!("{error}");
            Outcome::Failed
        });
        let took = start.elapsed();
        println!("== {name}: {outcome} in {:.1} s", took.as_secs_f64());
        self.rows.push((name, took, outcome));
    }

    fn verdict(&self) -> Result<(), String> {
        let failed = self.rows.iter().filter(|(_, _, outcome)| *outcome == Outcome::Failed);
        let failed: Vec<_> = failed.map(|(name, _, _)| *name).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, took, outcome) in &self.rows {
            writeln!(f, "{name:<14}{:>8.1} s  {outcome}", took.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Skipped => "not checked",
            Self::Failed => "failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_no_later_step_and_is_named_at_the_end() {
        let mut report = Report::default();
        report.step("format", || Err("2 files differ".to_owned()));
        report.step("advisories", || Ok(Outcome::Skipped));
        report.step("tests", || Ok(Outcome::Passed));

        assert_eq!(report.verdict(), Err("failed: format".to_owned()));
        let table = report.to_string();
        let endings: Vec<_> = table.lines().filter_map(|row| row.split(" s  ").nth(1)).collect();
        assert_eq!(endings, ["failed", "not checked", "passed"]);
    }

    #[test]
    fn what_could_not_be_checked_does_not_fail_the_run() {
        let mut report = Report::default();
        report.step("advisories", || Ok(Outcome::Skipped));
        assert_eq!(report.verdict(), Ok(()));
    }
}
