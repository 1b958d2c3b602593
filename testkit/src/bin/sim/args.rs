//! What was asked for on the command line.

use std::{path::PathBuf, time::Duration};

pub(crate) const HELP: &str = "\
A whole runtime in virtual time, under faults that a seed determines.

Usage: cargo xtask sim [--seeds N] [--from S] [--full] | --seed S [--log] | --hour [--seed S]
                       | --overload [--figures FILE] | --swizzle

  --seeds N   Runs the seeds 0 to N-1; 1,000 unless given. Every tenth runs twice, and must be the same to the byte
  --from S    Begins with this seed instead of 0
  --full      10,000 seeds, each of them twice
  --seed S    Runs this seed alone, twice, and shows its plan
  --log       With --seed: shows everything that happens, in order
  --hour      One run of a virtual hour
  --overload  Ten times as many calls as a downstream can answer, with the policies and without: writes docs/overload.svg
              and target/overload.csv; then the same for what keeps a service down after its reason has gone
  --figures   With --overload: writes goodput, p99 and the share of critical calls to this file, one JSON object a line
  --swizzle   Four services that go down in one order and come back in another, in all 576 ways
";

/// The seeds that CI runs.
const SEEDS: u64 = 1_000;
const FULL: u64 = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    /// These seeds, every so many twice.
    Seeds {
        from: u64,
        count: u64,
        replay_every: u64,
    },
    One {
        seed: u64,
        log: bool,
    },
    Hour {
        seed: u64,
    },
    Overload {
        figures: Option<PathBuf>,
    },
    Swizzle,
}

/// How long the faults of a run of an hour go on.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// # Errors
/// Says which argument was not understood.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let mut args = args.into_iter();
    let (mut seeds, mut from, mut seed) = (None, None, None);
    let (mut full, mut log, mut alone, mut figures) = (false, false, None, None);
    while let Some(arg) = args.next() {
        if arg == "--figures" {
            figures = Some(PathBuf::from(args.next().ok_or("`--figures` needs a file behind it")?));
            continue;
        }
        let mut number = |into: &mut Option<u64>| {
            let text = args.next().ok_or_else(|| format!("`{arg}` needs a number behind it"))?;
            *into = Some(text.parse().map_err(|_| format!("`{arg} {text}`: that is no number from 0 up"))?);
            Ok::<_, String>(())
        };
        match arg.as_str() {
            "-h" | "--help" => return Ok(Task::Help),
            "--seeds" => number(&mut seeds)?,
            "--from" => number(&mut from)?,
            "--seed" => number(&mut seed)?,
            "--full" => full = true,
            "--log" => log = true,
            "--hour" | "--overload" | "--swizzle" if alone.is_some() => {
                return Err(format!("`{arg}` goes with no other"));
            }
            "--hour" => alone = Some(Task::Hour { seed: 0 }),
            "--overload" => alone = Some(Task::Overload { figures: None }),
            "--swizzle" => alone = Some(Task::Swizzle),
            _ => return Err(format!("there is no option `{arg}`\n\n{HELP}")),
        }
    }
    let many = seeds.is_some() || from.is_some() || full;
    if figures.is_some() && !matches!(alone, Some(Task::Overload { .. })) {
        return Err(format!("`--figures` goes with `--overload` alone\n\n{HELP}"));
    }
    match (alone, seed) {
        (Some(Task::Overload { .. }), None) if !many && !log => Ok(Task::Overload { figures }),
        (Some(Task::Hour { .. }), seed) if !many && !log => Ok(Task::Hour { seed: seed.unwrap_or(0) }),
        (Some(task), None) if !many && !log => Ok(task),
        (None, Some(seed)) if !many => Ok(Task::One { seed, log }),
        (None, None) if !log => Ok(Task::Seeds {
            from: from.unwrap_or(0),
            count: seeds.unwrap_or(if full { FULL } else { SEEDS }),
            replay_every: if full { 1 } else { 10 },
        }),
        _ => Err(format!("these options do not go together\n\n{HELP}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Result<Task, String> {
        parse(args.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read() {
        assert_eq!(parsed(""), Ok(Task::Seeds { from: 0, count: 1_000, replay_every: 10 }));
        assert_eq!(parsed("--full"), Ok(Task::Seeds { from: 0, count: 10_000, replay_every: 1 }));
        assert_eq!(parsed("--seeds 5 --from 7"), Ok(Task::Seeds { from: 7, count: 5, replay_every: 10 }));
        assert_eq!(parsed("--seed 9 --log"), Ok(Task::One { seed: 9, log: true }));
        assert_eq!(parsed("--overload"), Ok(Task::Overload { figures: None }));
        let figures = Some(PathBuf::from("f"));
        assert_eq!(parsed("--overload --figures f"), Ok(Task::Overload { figures }));
        assert_eq!(parsed("--swizzle"), Ok(Task::Swizzle));
        assert_eq!(parsed("--hour --seed 3"), Ok(Task::Hour { seed: 3 }));
        assert_eq!(parsed("--seed 9 --help"), Ok(Task::Help));
    }

    #[test]
    fn mistakes_are_named() {
        for (args, named) in [
            ("--seed", "`--seed` needs a number"),
            ("--seeds many", "`--seeds many`"),
            ("--fast", "`--fast`"),
            ("--hour --full", "do not go together"),
            ("--swizzle --seed 1", "do not go together"),
            ("--overload --hour", "`--hour` goes with no other"),
            ("--log", "do not go together"),
            ("--swizzle --figures f", "`--figures` goes with `--overload`"),
            ("--overload --figures", "`--figures` needs a file"),
        ] {
            let error = parsed(args).expect_err("a mistake");
            assert!(error.contains(named), "{args}: {error}");
        }
    }
}
