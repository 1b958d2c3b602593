//! What the policies are for, shown: more calls than can be answered, with them and without.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use seawall_testkit::sim::{self, CAPACITY, Plan, Report, Second, Settings};

use crate::chart::{self, Line, Panel, Shade};

/// One way to call the downstream.
struct Way {
    name: &'static str,
    colour: &'static str,
    settings: Settings,
    /// Whether it has to bear what comes; the others are there to show what happens else.
    bears: bool,
}

/// The overload: from when, until when, and how long all of it takes. It has a moment to begin with.
const FROM: usize = 10;
const UNTIL: usize = 30;
const END: usize = 50;
const MOMENT: usize = 2;

/// The same of the metastable failure: how long after it everything must be well again.
const RECOVERED: usize = 31 + 10;
const METASTABLE_END: usize = 51;

/// So that a second attempt and a third have time too, which is what people set who retry.
const ATTEMPT: &str = "attempt_timeout = \"160ms\"";

fn ways() -> [Way; 3] {
    [
        Way {
            name: "timeout and retries alone",
            colour: "#c0392b",
            settings: Settings { more: ATTEMPT, ..Settings::bare(3) },
            bears: false,
        },
        Way {
            name: "with a limit that somebody chose well",
            colour: "#1f6fb2",
            settings: Settings {
                bulkhead: Some((20, 40)),
                codel: false,
                more: ATTEMPT,
                ..Settings::reference()
            },
            bears: true,
        },
        Way {
            name: "with a measured limit and CoDel",
            colour: "#2e8b57",
            settings: Settings { adaptive: true, more: ATTEMPT, ..Settings::reference() },
            bears: true,
        },
    ]
}

/// Stages all three, prints what came of them, and writes the plot, and `figures` where a file is named; how many checks
/// failed.
pub(crate) fn run(figures: Option<&Path>) -> u64 {
    let (mut goodputs, mut ratios, mut criticals) = (Vec::new(), Vec::new(), Vec::new());
    let mut checks = Checks::default();
    let ways = ways();
    let overload: Vec<_> =
        ways.iter().map(|way| run_of(&Plan::overload(way.settings.clone()), &mut checks, way)).collect();
    println!("{:42} {:>9} {:>9} {:>9}", "ten times as much as can be answered", "goodput", "p99", "after");
    for (way, seconds) in ways.iter().zip(&overload) {
        let during = &seconds[FROM + MOMENT..UNTIL];
        let goodput = per_second(during) / CAPACITY as f64;
        let slowest = |seconds: &[Second]| seconds.iter().map(|second| second.p99).max().unwrap_or_default();
        let (p99, unloaded) = (slowest(during), slowest(&seconds[MOMENT..FROM]));
        goodputs.push(goodput);
        ratios.push(p99.as_secs_f64() / unloaded.as_secs_f64().max(1e-3));
        let after = share(&seconds[UNTIL + MOMENT..END - 1], |second| (second.answered, second.ended));
        println!(
            "{:42} {:>8.1}% {:>6} ms {:>8.1}%",
            way.name,
            goodput * 100.0,
            p99.as_millis(),
            after * 100.0
        );
        if way.bears {
            checks.holds(goodput >= 0.9, "C12: at least 90 % of what can be answered is");
            checks.holds(after >= 0.99, "C12: nothing of it is left afterwards");
        } else {
            checks.holds(goodput < 0.5, "without the policies the downstream answers nobody in time");
        }
    }

    println!("\n{:42} {:>9} {:>9}", "five times as much, a tenth of it critical", "goodput", "critical");
    for way in &ways {
        let seconds = run_of(&Plan::priorities(way.settings.clone()), &mut checks, way);
        let during = &seconds[FROM + MOMENT..UNTIL];
        let goodput = per_second(during) / CAPACITY as f64;
        let critical = share(during, |second| (second.critical_answered, second.critical));
        criticals.push(critical);
        println!("{:42} {:>8.1}% {:>8.1}%", way.name, goodput * 100.0, critical * 100.0);
        if way.bears {
            checks.holds(critical >= 0.99, "C13: at least 99 % of critical calls are answered");
        }
    }

    println!("\n{:42} {:>9}", "three times as much for 30 s, then 0.8", "goodput");
    for way in &ways {
        let seconds = run_of(&Plan::metastable(way.settings.clone()), &mut checks, way);
        let goodput =
            share(&seconds[RECOVERED..METASTABLE_END - 1], |second| (second.answered, second.ended));
        println!("{:42} {:>8.1}%", way.name, goodput * 100.0);
        if way.bears {
            checks.holds(goodput >= 0.99, "S6: at least 99 % are answered 10 s after the overload");
        } else {
            checks.holds(goodput < 0.5, "without the policies it stays down, though it has been left alone");
        }
    }

    checks.holds(write(&ways, &overload), "plot and figures are written");
    if let Some(file) = figures {
        let written = fs::write(file, rows(&ways, &goodputs, &ratios, &criticals));
        checks.holds(written.is_ok(), "the figures are written");
    }
    println!("{} passed, {} failed", checks.passed, checks.failed);
    checks.failed
}

/// The figures of the last way, which is what is recommended, beside those of the others; in the benches' form.
fn rows(ways: &[Way], goodputs: &[f64], ratios: &[f64], criticals: &[f64]) -> String {
    let row = |name: &str, goal: &str, values: &[f64], met: fn(f64) -> bool| {
        let Some((ours, others)) = values.split_last() else { return String::new() };
        let peers: Vec<_> =
            ways.iter().zip(others).map(|(way, value)| format!("\"{}\":{value:.3}", way.name)).collect();
        format!(
            "{{\"name\":\"{name}\",\"value\":{ours:.3},\"unit\":\"ratio\",\"goal\":\"{goal}\",\"met\":{},\"peers\":{{{}}}}}\n",
            met(*ours),
            peers.join(",")
        )
    };
    row("overload_goodput", ">= 0.95", goodputs, |goodput| goodput >= 0.95)
        + &row("overload_p99_ratio", "<= 2", ratios, |ratio| ratio <= 2.0)
        + &row("overload_critical", ">= 0.99", criticals, |critical| critical >= 0.99)
}

#[derive(Default)]
struct Checks {
    passed: u64,
    failed: u64,
}

impl Checks {
    fn holds(&mut self, holds: bool, what: &str) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("does not hold: {what}");
        }
    }
}

fn run_of(plan: &Plan, checks: &mut Checks, way: &Way) -> Vec<Second> {
    let Report { violations, seconds, .. } = sim::run(plan, false);
    if way.bears {
        for violation in &violations {
            checks.holds(false, &violation.to_string());
        }
    }
    let mut seconds = seconds.into_iter().next().unwrap_or_default();
    // Nobody need have answered to the end.
    seconds.resize(seconds.len().max(END.max(METASTABLE_END)), Second::default());
    seconds
}

fn per_second(seconds: &[Second]) -> f64 {
    seconds.iter().map(|second| second.answered).sum::<u64>() as f64 / seconds.len() as f64
}

fn share(seconds: &[Second], of: impl Fn(&Second) -> (u64, u64)) -> f64 {
    let (part, whole) =
        seconds.iter().map(of).fold((0, 0), |(part, whole), (more, all)| (part + more, whole + all));
    part as f64 / (whole as f64).max(1.0)
}

/// Writes docs/overload.svg and target/overload.csv; whether that could be done.
fn write(ways: &[Way], seconds: &[Vec<Second>]) -> bool {
    let lines = |value: fn(&Second) -> Option<f64>| {
        let pairs = ways.iter().zip(seconds);
        pairs
            .map(|(way, seconds)| Line {
                name: way.name.to_owned(),
                colour: way.colour,
                values: seconds[..END - 1].iter().map(value).collect(),
            })
            .collect()
    };
    let panels = [
        Panel {
            title: "answers a second, in time".to_owned(),
            top: 250.0,
            step: 50.0,
            mark: Some((CAPACITY as f64, "what the downstream can answer")),
            lines: lines(|second| Some(second.answered as f64)),
        },
        Panel {
            title: "how long 99 of 100 of them took at most, ms".to_owned(),
            top: 500.0,
            step: 100.0,
            mark: None,
            lines: lines(|second| (second.answered > 0).then_some(second.p99.as_secs_f64() * 1000.0)),
        },
    ];
    let shade = Shade { from: FROM as u64, until: UNTIL as u64, name: "2,000 calls a second" };
    let svg = chart::svg("Ten times as many calls as can be answered", END as u64, &shade, &panels);
    let mut csv = "way,second,ended,answered,p99_ms\n".to_owned();
    for (way, seconds) in ways.iter().zip(seconds) {
        for (second, Second { ended, answered, p99, .. }) in seconds[..END - 1].iter().enumerate() {
            csv +=
                &format!("\"{}\",{second},{ended},{answered},{:.1}\n", way.name, p99.as_secs_f64() * 1000.0);
        }
    }
    let (plot, figures) = (root().join("docs/overload.svg"), target().join("overload.csv"));
    [(plot, svg), (figures, csv)].into_iter().all(|(path, text)| {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        match &written {
            Ok(()) => println!("written: {}", path.display()),
            Err(error) => println!("{}: {error}", path.display()),
        }
        written.is_ok()
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
