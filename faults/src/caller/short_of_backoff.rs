//! A caller whose time ends within the pause before a retry: sleeping into it helps nobody.

use std::time::Duration;

use crate::harness::rules::TIMER;
use crate::harness::times::now;
use crate::harness::{Bed, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C5, "a deadline shorter than the pause before a retry", beside, play);

const NONCES: u64 = 1 << 50;
const DEADLINE: Duration = Duration::from_millis(50);

async fn play(stage: Stage) -> Report {
    let calls = stage.either(200, 50);
    let settings = Settings::reference(stage.full).subject(
        "breaker = false\nretry = { backoff = \"100ms\", backoff_max = \"100ms\", jitter = \"none\" }",
    );
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner::failing(503));
        let mut slowest = Duration::ZERO;
        for nonce in (NONCES..).take(calls) {
            let started = now();
            let _ = bed.subject.send(Get { nonce }).deadline(DEADLINE).await;
            slowest = slowest.max(started.elapsed());
        }
        slowest
    };
    let (slowest, outcome) = bed.play(during).await;
    let mut report = Report::default();
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.healed);
    report.within("slowest call", slowest, DEADLINE + TIMER + noise);
    report.exactly("attempts at the server", outcome.arrivals.len(), calls);
    Rules::unloaded().judge(&outcome, &mut report);
    report
}
