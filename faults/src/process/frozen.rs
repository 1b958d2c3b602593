//! The server's process stands still with calls in flight, and goes on: what it answers then is nobody's.

use std::collections::HashMap;
use std::time::Duration;

use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(P2, "the server stands still for three seconds, and goes on", beside, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let frozen = Duration::from_millis(stage.either(3_000, 2_000));
    let fault = async |bed: &Bed| {
        bed.origin.freeze();
        tokio::time::sleep(frozen).await;
        bed.origin.thaw();
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    judge_reuse(&outcome, &mut report);
    // The stamps are of when a server reads, and this one read nothing. What was written to it it answers all the same,
    // and attempts that waited for a connection never came.
    Rules { arrivals_are_stamped: false, attempts_arrive: false, ..Rules::default() }
        .judge(&outcome, &mut report);
    report
}

/// No connection is used again whose answer did not come in time.
pub(crate) fn judge_reuse(outcome: &crate::harness::Outcome, report: &mut Report) {
    let timed_out: Vec<u64> = outcome
        .records
        .iter()
        .filter(|record| {
            record.end().is_some_and(|end| end.word().starts_with("timeout/waiting for the answer"))
        })
        .map(|record| record.nonce)
        .collect();
    report.at_least("calls that timed out", timed_out.len(), 1);
    let mut by_connection = HashMap::<(u64, u64), Vec<u64>>::new();
    for arrival in &outcome.arrivals {
        by_connection.entry((arrival.life, arrival.connection)).or_default().push(arrival.nonce);
    }
    let reused = by_connection
        .values()
        .filter(|nonces| nonces.iter().rev().skip(1).any(|nonce| timed_out.contains(nonce)));
    report.exactly("connections used again after a timeout", reused.count(), 0);
}
