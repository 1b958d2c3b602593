//! Ten times as many calls as the service can answer.

use std::time::Duration;

use crate::harness::load::{self, Record};
use crate::harness::settings::DEADLINE;
use crate::harness::times::quantile;
use crate::harness::{Bed, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C12, "ten times the load that it can take", alone, play);

/// Answers a second: ten at once, of 50 ms each.
pub(crate) const CAPACITY: f64 = 200.0;

pub(crate) fn limited() -> Manner {
    Manner { workers: 10, ..Manner::slow(Duration::from_millis(50)) }
}

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    bed.origin.behave(limited());
    let shoot = load::reads(&bed.subject);
    let nothing = async |_: &Bed| {};
    // Overload from the first call to the last; what comes after it is judged by whether it ends.
    let outcome = bed.run_with(shoot, CAPACITY * 10.0, nothing, nothing).await;
    let mut report = Report::default();
    let settled = outcome.marks.start + Duration::from_secs(1);
    let within: Vec<&Record> = outcome.records.iter().filter(|record| record.scheduled >= settled).collect();
    let seconds = outcome.marks.end.saturating_duration_since(settled).as_secs_f64();
    let goodput = within.iter().filter(|record| record.is_answer()).count() as f64 / seconds;
    report.holds(
        "goodput",
        goodput >= 0.9 * CAPACITY,
        format!("{goodput:.0}/s of {CAPACITY}/s"),
        format!(">= {:.0}/s ({})", 0.9 * CAPACITY, load::tally(within.iter().copied())),
    );
    let rejected =
        within.iter().filter(|record| record.end().is_some_and(|end| end.word() == "rejected/bulkhead"));
    let waited = quantile(rejected.filter_map(|record| record.elapsed()).collect(), 0.99);
    report.within("p99 of a refusal", waited, DEADLINE / 2);
    Rules { recovery: false, amplification: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
