use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use seawall_testkit::sim::{self, Entry, Plan, Report, Sights, Violation};

use crate::args::HOUR;

/// What came of all runs together.
#[derive(Default)]
struct Sum {
    seeds: u64,
    failed: u64,
    calls: u64,
    steps: u64,
    violations: u64,
    virtual_time: Duration,
    sights: Sights,
}

/// Of seeds that fail, so many are told of in full.
const TOLD: u64 = 3;

/// How many steps are shown of a run that failed.
const SHOWN: usize = 30;

/// Where so many seeds see something nowhere that they should see, that is a failure of its own.
const ENOUGH: u64 = 500;

/// Runs seeds on as many threads as there are cores; how many failed.
pub(crate) fn many(from: u64, count: u64, replay_every: u64) -> u64 {
    let start = clock();
    let again = |number: u64| number.is_multiple_of(replay_every);
    let mut sum = all(count, |number| Plan::of(from + number), again);
    if count >= ENOUGH {
        for missing in sim::EXPECTED.iter().filter(|sight| !sum.sights.contains_key(*sight)) {
            println!("never seen in {count} seeds: {missing}");
            sum.failed += 1;
        }
    }
    sum.close(start)
}

/// Runs every order of going and coming; how many failed.
pub(crate) fn swizzle() -> u64 {
    let start = clock();
    let orders = orders();
    let count = orders.len() as u64;
    let of = |number| orders[number as usize];
    let plan = |number: u64| Plan::swizzle(of(number / count), of(number % count));
    all(count * count, plan, |number| number.is_multiple_of(10)).close(start)
}

/// The 24 orders of four.
fn orders() -> Vec<[usize; 4]> {
    let all = (0..256).map(|number: usize| [6, 4, 2, 0].map(|shift| (number >> shift) & 3));
    all.filter(|order| (0..4).all(|place| order.contains(&place))).collect()
}

/// Runs plans on as many threads as there are cores; those that `again` says, twice.
fn all(count: u64, plan: impl Fn(u64) -> Plan + Sync, again: impl Fn(u64) -> bool + Sync) -> Sum {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            let plan = plan(number);
            let report = judged(&plan, again(number));
            let mut sum = sum.lock();
            sum.add(&report);
            if !report.violations.is_empty() && sum.failed <= TOLD {
                tell(&plan, &report);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    sum.into_inner()
}

/// Runs one seed, twice, and shows all of it; how many failed.
pub(crate) fn one(seed: u64, log: bool) -> u64 {
    let start = clock();
    let plan = Plan::of(seed);
    println!("{plan}");
    let mut report = sim::run(&plan, log);
    if log {
        for entry in &report.log {
            println!("{entry}");
        }
    }
    compare(&plan, &mut report);
    for (sight, times) in &report.sights {
        println!("{times:>8}  {sight}");
    }
    println!("the hash of all steps: {:016x}", report.hash);
    for violation in &report.violations {
        println!("{violation}");
    }
    let mut sum = Sum::default();
    sum.add(&report);
    sum.close(start)
}

/// Runs an hour; whether it failed.
pub(crate) fn hour(seed: u64) -> u64 {
    let start = clock();
    let plan = Plan::lasting(seed, HOUR);
    let report = sim::run(&plan, false);
    for violation in &report.violations {
        println!("{violation}");
    }
    let mut sum = Sum::default();
    sum.add(&report);
    sum.close(start)
}

/// Runs a plan; again where that is asked for, or where it failed.
fn judged(plan: &Plan, replay: bool) -> Report {
    let mut report = sim::run(plan, false);
    if replay || !report.violations.is_empty() {
        compare(plan, &mut report);
    }
    report
}

/// I12: a second run is the same to the byte.
fn compare(plan: &Plan, report: &mut Report) {
    let again = sim::run(plan, false);
    if again.hash != report.hash {
        let text = match first_difference(&sim::run(plan, true).log, &sim::run(plan, true).log) {
            Some((one, other)) => format!("two runs of it differ: {one} in one, {other} in the other"),
            None => "two runs of it differed, and two more did not".to_owned(),
        };
        report.violations.push(Violation { rule: "I12", text });
    }
}

fn first_difference(one: &[Entry], other: &[Entry]) -> Option<(String, String)> {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    let at = at.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))?;
    let text = |log: &[Entry]| log.get(at).map_or_else(|| "nothing".to_owned(), Entry::to_string);
    Some((text(one), text(other)))
}

fn tell(plan: &Plan, report: &Report) {
    println!("\nseed {} failed", plan.seed);
    for violation in &report.violations {
        println!("  {violation}");
    }
    println!("{plan}the last steps:");
    for entry in &report.log[report.log.len().saturating_sub(SHOWN)..] {
        println!("  {entry}");
    }
    println!("once more: cargo xtask sim --seed {} --log\n", plan.seed);
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.failed += u64::from(!report.violations.is_empty());
        self.calls += report.calls;
        self.steps += report.steps;
        self.violations += report.violations.len() as u64;
        self.virtual_time += report.virtual_time;
        for (sight, times) in &report.sights {
            *self.sights.entry(sight).or_default() += times;
        }
    }

    /// Prints the table and the closing line; how many failed.
    fn close(&self, start: Instant) -> u64 {
        println!(
            "{:>8}  {:>12}  {:>12}  {:>10}  {:>14}  {:>10}",
            "seeds", "calls", "steps", "violations", "virtual time", "real time"
        );
        println!(
            "{:>8}  {:>12}  {:>12}  {:>10}  {:>12} s  {:>8.1} s",
            self.seeds,
            self.calls,
            self.steps,
            self.violations,
            self.virtual_time.as_secs(),
            start.elapsed().as_secs_f64()
        );
        println!("{} passed, {} failed", self.seeds.saturating_sub(self.failed), self.failed);
        self.failed
    }
}

/// The real clock.
fn clock() -> Instant {
    // How long runs take in real time is what is measured.
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_are_24_orders_of_four() {
        let mut orders = super::orders();
        orders.dedup();
        assert_eq!(orders.len(), 24);
    }
}
