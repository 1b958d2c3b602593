//! What was asked for on the command line.
//!
//! By hand and not by a parser crate: five tasks have few options between them, and what follows `test` and `sim` is read where it goes.

use std::ffi::OsString;

use crate::bench::Thoroughness;
use crate::setup::Scope;

pub(crate) const HELP: &str = "\
The tasks of this workspace.

Usage: cargo xtask <TASK>

Tasks:
  setup [--ci]   Install what the tests need and this machine lacks (--ci: and what `ci` needs beside them)
  test [ARGS]    Run all tests and doctests of the workspace; ARGS go to `cargo test` as they are
  bench [--quick]
                 Measure what things cost, beside peers, into target/bench/figures.json (--quick: with fewer rounds)
  sim [ARGS]     Runs a runtime in virtual time under faults that a seed determines; `sim --help` has the ARGS
  faults [ARGS]  Stage faults against what is built, and judge what it does; ARGS are ids of scenarios, and options
                 (`cargo xtask faults --help` names them)
  ci             Everything that CI checks: format, lints, docs, dependencies, simulation, faults, tests

Examples:
  cargo xtask setup && cargo xtask test
  cargo xtask test -p seawall breaker -- --nocapture
  cargo xtask bench --quick
  cargo xtask sim --seed 42
  cargo xtask faults C1 R4 --runs 5
  cargo xtask setup --ci && cargo xtask ci
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Setup(Scope),
    Test(Vec<OsString>),
    Bench(Thoroughness),
    Sim(Vec<OsString>),
    Faults(Vec<OsString>),
    Ci,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// Says which argument was not understood, and what would have been.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Task, String> {
    let mut args = args.into_iter();
    let Some(task) = args.next() else {
        return Err(format!("no task was named\n\n{HELP}"));
    };
    let rest: Vec<OsString> = args.collect();
    if task == "sim" {
        return Ok(Task::Sim(rest));
    }
    // What there is to play, the program itself knows.
    if task == "faults" {
        return Ok(Task::Faults(rest));
    }
    if is_help(&task) || rest.first().is_some_and(is_help) {
        return Ok(Task::Help);
    }
    match task.to_str() {
        Some("help") => Ok(Task::Help),
        Some("setup") => match rest.as_slice() {
            [] => Ok(Task::Setup(Scope::Tests)),
            [option] if option == "--ci" => Ok(Task::Setup(Scope::Ci)),
            [option] => Err(format!("`setup` has no option {option:?}: it takes `--ci` or nothing")),
            [_, second, ..] => {
                Err(format!("`setup` takes `--ci` or nothing, and {second:?} is one too many"))
            }
        },
        Some("test") => Ok(Task::Test(rest)),
        Some("bench") => match rest.as_slice() {
            [] => Ok(Task::Bench(Thoroughness::Full)),
            [option] if option == "--quick" => Ok(Task::Bench(Thoroughness::Quick)),
            [option] => Err(format!("`bench` has no option {option:?}: it takes `--quick` or nothing")),
            [_, second, ..] => {
                Err(format!("`bench` takes `--quick` or nothing, and {second:?} is one too many"))
            }
        },
        Some("ci") => match rest.first() {
            None => Ok(Task::Ci),
            Some(extra) => Err(format!(
                "`ci` takes no arguments, and was given {extra:?}: `cargo xtask test` runs a part of the tests"
            )),
        },
        _ => Err(format!(
            "there is no task {task:?}: the tasks are `setup`, `test`, `bench`, `sim`, `faults` and `ci`"
        )),
    }
}

fn is_help(arg: &OsString) -> bool {
    arg == "-h" || arg == "--help"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Task, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn names_each_task() {
        assert_eq!(parsed(&["setup"]), Ok(Task::Setup(Scope::Tests)));
        assert_eq!(parsed(&["setup", "--ci"]), Ok(Task::Setup(Scope::Ci)));
        assert_eq!(parsed(&["test"]), Ok(Task::Test(vec![])));
        assert_eq!(parsed(&["bench"]), Ok(Task::Bench(Thoroughness::Full)));
        assert_eq!(parsed(&["bench", "--quick"]), Ok(Task::Bench(Thoroughness::Quick)));
        assert_eq!(parsed(&["faults"]), Ok(Task::Faults(vec![])));
        assert_eq!(parsed(&["ci"]), Ok(Task::Ci));
        assert_eq!(parsed(&["sim", "--help"]), Ok(Task::Sim(vec!["--help".into()])));
    }

    #[test]
    fn leaves_what_follows_test_to_cargo() {
        let args = ["-p", "seawall", "breaker", "--", "--help"];
        let passed_on = args.iter().map(OsString::from).collect();
        assert_eq!(parsed(&[&["test"], &args[..]].concat()), Ok(Task::Test(passed_on)));
    }

    #[test]
    fn leaves_what_follows_faults_to_its_program() {
        let passed_on = ["C1", "--help"].iter().map(OsString::from).collect();
        assert_eq!(parsed(&["faults", "C1", "--help"]), Ok(Task::Faults(passed_on)));
    }

    #[test]
    fn helps_wherever_help_is_asked_for() {
        for args in [&["--help"][..], &["-h"], &["help"], &["test", "--help"], &["ci", "-h"]] {
            assert_eq!(parsed(args), Ok(Task::Help), "{args:?}");
        }
        for task in ["setup", "test", "bench", "sim", "faults", "ci"] {
            assert!(HELP.contains(&format!("\n  {task} ")), "the help names `{task}`");
        }
    }

    #[test]
    fn an_error_names_the_argument_and_what_is_allowed() {
        for (args, named, allowed) in [
            (&["tets"][..], "\"tets\"", "`test`"),
            (&["setup", "--all"], "\"--all\"", "`--ci`"),
            (&["setup", "--ci", "redis"], "\"redis\"", "`--ci`"),
            (&["bench", "--fast"], "\"--fast\"", "`--quick`"),
            (&["bench", "--quick", "http"], "\"http\"", "`--quick`"),
            (&["ci", "--fast"], "\"--fast\"", "no arguments"),
            (&[], "no task", "cargo xtask <TASK>"),
        ] {
            let error = parsed(args).expect_err("a mistake");
            assert!(error.contains(named) && error.contains(allowed), "{args:?} gave: {error}");
        }
    }
}
