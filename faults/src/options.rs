//! What was asked for on the command line.

use crate::catalog;
use crate::harness::stage::Company;

pub(crate) const HELP: &str = "\
Stages faults against seawall as it is built, and judges what it does.

Usage: cargo xtask faults [OPTIONS] [ID...]

  ID...       The scenarios to play, by their ids in FAULTS.md; all but S where none is named. P1 is that row for every
              kind, P1_REDIS for one
  --list      Show the scenarios that there are
  --full      Play them at the lengths of FAULTS.md, not in their quick forms
  --runs N    Play each N times, with as many seeds; it holds if it held each time
  --again N   Play one that failed up to N times more, and let it pass if it holds then: for a machine whose other work
              disturbs its times. It is told as such
  --seed S    The first seed, to play a run again
  --verbose   Show every figure, not those alone that a scenario is about
";

/// What is to be played, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) ids: Vec<&'static str>,
    pub(crate) show: Option<Show>,
    pub(crate) full: bool,
    pub(crate) verbose: bool,
    pub(crate) runs: u64,
    /// How often one that failed is played once more.
    pub(crate) again: u64,
    pub(crate) seed: u64,
}

/// What is shown in place of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Help,
    List,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// Says which was not understood, and what would have been.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let scenarios = catalog::all();
    let known: Vec<&'static str> = scenarios.iter().map(|scenario| scenario.id).collect();
    let mut options = Options {
        ids: Vec::new(),
        show: None,
        full: false,
        verbose: false,
        runs: 1,
        again: 0,
        seed: fresh_seed(),
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or_else(|| format!("`{arg}` needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("`{arg}` needs a number, and {value:?} is none"))
        };
        match arg.as_str() {
            "--help" | "-h" => options.show = Some(Show::Help),
            "--list" => options.show = Some(Show::List),
            "--full" => options.full = true,
            "--verbose" => options.verbose = true,
            "--runs" => options.runs = number()?.max(1),
            "--again" => options.again = number()?,
            "--seed" => options.seed = number()?,
            _ if arg.starts_with('-') => return Err(format!("there is no option `{arg}`\n\n{HELP}")),
            _ => {
                let named: Vec<_> = known.iter().copied().filter(|id| is_meant(id, &arg)).collect();
                if named.is_empty() {
                    return Err(format!("there is no scenario `{arg}`: there are {}", known.join(", ")));
                }
                for id in named {
                    if !options.ids.contains(&id) {
                        options.ids.push(id);
                    }
                }
            }
        }
    }
    if options.ids.is_empty() {
        let usual = scenarios.iter().filter(|scenario| scenario.company != Company::OnRequest);
        options.ids = usual.map(|scenario| scenario.id).collect();
    }
    Ok(options)
}

/// Whether somebody who wrote `arg` means this scenario: by its own id, or by that of the row that it is a part of.
fn is_meant(id: &str, arg: &str) -> bool {
    let row = id.split_once('_').map_or(id, |(row, _)| row);
    id.eq_ignore_ascii_case(arg) || row.eq_ignore_ascii_case(arg)
}

/// A seed that another run does not have. Short, since people type it.
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, String> {
        parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn ids_are_taken_in_their_order_and_once() {
        let options =
            parsed(&["R1", "c1", "R1", "p1", "--seed", "7", "--runs", "5", "--full"]).expect("all is known");
        assert_eq!(options.ids[..3], ["R1", "C1", "P1"]);
        assert!(options.ids.contains(&"P1_REDIS") && !options.ids.contains(&"P14"));
        assert_eq!(parsed(&["p1_redis"]).expect("it is known").ids, ["P1_REDIS"]);
        assert_eq!((options.seed, options.runs, options.full), (7, 5, true));
        assert_eq!(parsed(&["--again", "2"]).expect("it is known").again, 2);
        assert!(parsed(&[]).expect("none is all").ids.len() > 20);
    }

    #[test]
    fn what_is_unknown_is_told_with_what_is_known() {
        let error = parsed(&["C1", "Z9"]).expect_err("there is none");
        assert!(error.contains("`Z9`") && error.contains("C1, ") && error.contains("R1"), "{error}");
        let error = parsed(&["--fast"]).expect_err("there is none");
        assert!(error.contains("`--fast`") && error.contains("--full"), "{error}");
        let error = parsed(&["--seed", "many"]).expect_err("no number");
        assert!(error.contains("\"many\""), "{error}");
    }

    #[test]
    fn no_id_stands_twice() {
        let mut ids: Vec<_> = catalog::all().iter().map(|scenario| scenario.id).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
