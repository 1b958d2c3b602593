//! A Redis is gone for a minute. Connections are made again in the background, with pauses that grow; no call waits for one.

use std::time::Duration;

use crate::harness::bed::RATE;
use crate::harness::load::tally;
use crate::harness::rules::TIMER;
use crate::harness::settings::DEADLINE;
use crate::harness::times::quantile;
use crate::harness::{Bed, Report, Stage, Store};

crate::scenario!(P4, "Redis refuses for a minute", alone, play);

async fn play(mut stage: Stage) -> Report {
    let server = Store::server().await;
    stage.longer = Duration::from_secs(stage.either(40, 1));
    // With a breaker hardly a call would come so far as to find no connection.
    let text = format!("breaker = false\nretry = false\n{}", Store::at(&server.url()));
    let (bed, store) = Store::bed(&stage, &text).await;
    let fault = async |_: &Bed| server.kill();
    let heal = async |_: &Bed| server.restart().await;
    let mut outcome = bed.run_with(Store::mixed(&store), RATE, fault, heal).await;
    Store::tell_writes(&server, &mut outcome);
    let mut report = Report::default();
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.end);
    let elapsed: Vec<_> = outcome.faulty().filter_map(|record| record.elapsed()).collect();
    report.at_least("calls meanwhile", elapsed.len(), 100);
    report.within("slowest call", quantile(elapsed.clone(), 1.0), DEADLINE + TIMER + noise);
    report.within("p99 of them, which wait for nothing", quantile(elapsed, 0.99), TIMER + noise);
    report.note("how calls ended", tally(outcome.faulty()));
    report.exactly("answers out of nowhere", outcome.answered_meanwhile(), 0);
    Store::rules().judge(&outcome, &mut report);
    report
}
