//! What the benches have in common: how they are asked, and how their figures are told.
//!
//! Each prints a table for people. With `--figures FILE` it also writes its figures there, one JSON object a line, which
//! `cargo xtask bench` joins to `target/bench/figures.json`.
#![allow(clippy::print_stdout)] // Its output is the table.

pub mod fixture;
mod row;

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde::Serialize;

pub use row::Row;

/// How a bench was asked to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Fewer rounds: enough to see whether it works, not enough for a figure to quote.
    pub quick: bool,
    figures: Option<PathBuf>,
    peers: Peers,
}

/// What others cost that do not run in this process, by row and peer.
type Peers = BTreeMap<String, BTreeMap<String, f64>>;

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// Says which argument was not understood.
    pub fn from_args() -> Result<Self, String> {
        let (mut options, mut args) = (Self::default(), env::args_os().skip(1));
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--quick") => options.quick = true,
                Some("--figures") => {
                    let file = args.next().ok_or("`--figures` needs the name of a file")?;
                    options.figures = Some(file.into());
                }
                Some("--peers") => {
                    let file = args.next().ok_or("`--peers` needs the name of a file")?;
                    options.peers = peers(&PathBuf::from(file))?;
                }
                _ => {
                    return Err(format!(
                        "{arg:?} is not understood: there are `--quick`, `--figures FILE` and `--peers FILE`"
                    ));
                }
            }
        }
        Ok(options)
    }

    /// `often` rounds, or a third of them when it should be quick.
    pub fn rounds(&self, often: usize) -> usize {
        if self.quick { often.div_ceil(3) } else { often }
    }

    /// Prints the figures, and writes them where they are wanted.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn report(&self, figures: &[Figure]) -> Result<(), String> {
        let mut figures = figures.to_vec();
        for figure in &mut figures {
            figure.peers.extend(self.peers.get(figure.name).cloned().unwrap_or_default());
        }
        let figures = &figures;
        println!("{:36} {:>10}        {:10}          peers", "", "", "goal");
        for Figure { name, value, unit, goal, met, peers } in figures {
            let peers: Vec<_> = peers.iter().map(|(peer, value)| format!("{peer} {value:.2}")).collect();
            let met = met.map_or("", |met| if met { "met" } else { "MISSED" });
            println!("{name:36} {value:>10.2} {unit:6} {goal:10} {met:8} {}", peers.join(", "));
        }
        let Some(file) = &self.figures else { return Ok(()) };
        let lines: Result<Vec<_>, _> = figures.iter().map(serde_json::to_string).collect();
        let lines = lines.map_err(|error| format!("the figures are no JSON: {error}"))?;
        fs::write(file, lines.join("\n") + "\n")
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))
    }
}

fn peers(file: &PathBuf) -> Result<Peers, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured; those with a goal have a name of the design's.
    pub name: &'static str,
    /// The least over all rounds.
    pub value: f64,
    /// `ns`, `us`, `ms`, `bytes`, `ratio` or a count.
    pub unit: &'static str,
    /// What it should be; empty for what is there to compare with.
    pub goal: &'static str,
    /// Whether it is what it should be; `None` without a goal.
    pub met: Option<bool>,
    /// What others cost, measured in the same run and unit.
    pub peers: BTreeMap<String, f64>,
}

impl Figure {
    /// A figure without peers.
    pub fn new(name: &'static str, value: f64, unit: &'static str, goal: &'static str) -> Self {
        Self { name, value, unit, goal, met: is_met(goal, value), peers: BTreeMap::new() }
    }

    /// The same beside what `peer` costs.
    #[must_use]
    pub fn beside(mut self, peer: &'static str, value: f64) -> Self {
        self.peers.insert(peer.to_owned(), value);
        self
    }
}

/// Whether a value is what the goal says: `<= 20`, `< 5`, `>= 0.9`, or `1`, which is met to within a tenth, and `0` to within a
/// hundredth.
fn is_met(goal: &str, value: f64) -> Option<bool> {
    let (than, number) = goal.rsplit_once(' ').unwrap_or(("", goal));
    let number: f64 = number.parse().ok()?;
    Some(match than {
        "<=" => value <= number,
        "<" => value < number,
        ">=" => value >= number,
        _ => (value - number).abs() <= (number.abs() * 0.1).max(0.01),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_met_or_missed() {
        assert_eq!((is_met("<= 20", 20.0), is_met("<= 20", 20.1)), (Some(true), Some(false)));
        assert_eq!((is_met("< 5", 5.0), is_met(">= 0.9", 0.95)), (Some(false), Some(true)));
        assert_eq!(
            (is_met("1.0", 1.04), is_met("1", 2.0), is_met("0", 0.0)),
            (Some(true), Some(false), Some(true))
        );
        assert_eq!(is_met("", 1.0), None);
    }
}
