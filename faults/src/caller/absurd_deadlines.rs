//! Deadlines beyond what any clock can hold.

use std::time::Duration;

use crate::harness::{Bed, Get, Report, Rules, Settings, Stage};

crate::scenario!(C4, "deadlines beyond all clocks", beside, play);

const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full).subject("max_timeout = \"7s\"")).await;
    let deadlines = [
        Duration::MAX,
        Duration::from_millis(u64::MAX),
        Duration::from_secs(u64::MAX),
        Duration::from_secs(1 << 40),
    ];
    let during = async |bed: &Bed| {
        let mut answered = 0;
        for (nonce, deadline) in (NONCES..).zip(deadlines) {
            answered += usize::from(bed.subject.send(Get { nonce }).deadline(deadline).await.is_ok());
            let within = seawall::within(deadline, async { bed.subject.send(Get { nonce }).await });
            answered += usize::from(within.await.is_ok());
        }
        answered
    };
    let (answered, outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("calls answered", answered, deadlines.len() * 2);
    let longest = outcome.arrivals.iter().filter_map(|arrival| arrival.deadline_ms).max().unwrap_or(u64::MAX);
    report.at_most("longest deadline passed on, in ms", longest, 7_000);
    Rules::unloaded().judge(&outcome, &mut report);
    report
}
