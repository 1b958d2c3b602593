//! The tier hangs: it costs its budget some times, and then nothing but a try now and then.

use std::time::Duration;

use seawall::policy::breaker::State;
use seawall_testkit::RedisServer;

use super::{figures, reads, settings, tier_to};
use crate::harness::bed::RATE;
use crate::harness::load::Record;
use crate::harness::times::{ms, quantile};
use crate::harness::{Bed, Report, Rules, Stage};

crate::scenario!(K9, "the tier that replies are shared in hangs", alone, play);

/// The tier's budget.
const BUDGET: Duration = Duration::from_millis(20);

/// What timers and a busy thread add to anything.
const SLACK: Duration = Duration::from_millis(5);

/// Tries of a breaker that is half open.
const PROBES: usize = 5;

async fn play(stage: Stage) -> Report {
    let server = RedisServer::start().await;
    let bed = Bed::start(&stage, settings(&stage, &server.url(), "5s")).await;
    // Each key once: nothing is found in memory.
    let shoot = reads(&bed, |nonce| nonce);
    let mut kept = 0;
    let heal = async |bed: &Bed| {
        kept = figures(&bed.runtime.snapshot(), "Shared").kept;
        server.thaw();
    };
    let outcome = bed.run_with(shoot, RATE, async |_: &Bed| server.freeze(), heal).await;
    let mut report = Report::default();
    let marks = outcome.marks;
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    let opened = tier_to(&outcome, State::Open);
    report.at_least("times that it was given up", opened.len(), 1);
    let Some(opened) = opened.first().copied() else { return report };
    let took = |from, to| -> Vec<Duration> {
        let within = outcome.records.iter().filter(|record| (from..to).contains(&record.started));
        within.filter_map(Record::elapsed).collect()
    };
    // The first calls make the connections.
    let quiet = quantile(took(marks.start + Duration::from_millis(300), marks.fault), 0.99);
    let noise = outcome.noise.longest(marks.fault, marks.healed);
    let until = quantile(took(marks.fault, opened), 0.99);
    report.within(
        "added to the p99 until it is given up",
        until.saturating_sub(quiet),
        BUDGET + SLACK + noise,
    );
    let after = took(opened, marks.healed);
    let noise = outcome.noise.p99(marks.fault, marks.healed);
    report.within(
        "added to the p95 after",
        quantile(after.clone(), 0.95).saturating_sub(quiet),
        SLACK + noise,
    );
    let paid = after.iter().filter(|took| **took >= quiet + BUDGET.mul_f64(0.9)).count();
    let tries = tier_to(&outcome, State::HalfOpen).len();
    report.at_most("calls that paid for it after", paid, 1 + tries * PROBES);
    report.note("calls after, and their slowest", format!("{}, {}", after.len(), ms(quantile(after, 1.0))));
    let kept = figures(&outcome.snapshot, "Shared").kept - kept;
    report.at_least("replies kept in it once it was well", kept, 50);
    Rules::default().judge(&outcome, &mut report);
    report
}
