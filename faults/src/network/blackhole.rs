//! The server's sockets stay up, and nothing comes back.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::rules::TIMER;
use crate::harness::settings::{DEADLINE, MAX_IN_FLIGHT};
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(N2, "sockets stay up, and nothing comes back", alone, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let outcome = bed.run(async |bed: &Bed| bed.origin.freeze(), async |bed: &Bed| bed.origin.thaw()).await;
    let mut report = Report::default();
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.end);
    let slowest = outcome.faulty().filter_map(|record| record.elapsed()).max().unwrap_or(Duration::MAX);
    report.within("slowest call", slowest, DEADLINE + TIMER + noise);
    report.at_least("times it opened", outcome.breaker_to(State::Open).len(), 1);
    report.at_most("in flight at the peak", outcome.peaks.in_flight, MAX_IN_FLIGHT);
    crate::process::judge_reuse(&outcome, &mut report);
    // The stamps are of when a server reads, and this one read nothing.
    Rules { arrivals_are_stamped: false, attempts_arrive: false, ..Rules::default() }
        .judge(&outcome, &mut report);
    report
}
