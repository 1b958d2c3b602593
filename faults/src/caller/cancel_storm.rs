//! Callers that go away: before they are served, in the queue, in flight, while the body comes, and as probes.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::random::Random;
use crate::harness::{Bed, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C1, "ten thousand callers go away at random points", beside, play);

/// Nonces of the storm, which are none of the load's.
const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let calls = stage.either(10_000, 2_000);
    let mut random = stage.random();
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let storm = async |bed: &Bed| {
        // Slow enough that the storm fills the bulkhead and its queue; the body comes late.
        bed.origin.behave(Manner { body_after_us: 30_000, ..Manner::slow(Duration::from_millis(30)) });
        gusts(bed, &mut random, NONCES, calls / 2).await;
        // Now it opens, and callers go away while they probe.
        bed.origin.behave(Manner { status: 500, ..Manner::slow(Duration::from_millis(30)) });
        gusts(bed, &mut random, NONCES + calls, calls / 2).await;
    };
    let outcome = bed.run(storm, async |bed: &Bed| bed.origin.behave(Manner::default())).await;
    let mut report = Report::default();
    let service = outcome.subject();
    let cancelled: u64 = service.calls.iter().map(|call| call.cancelled).sum();
    report.at_least("calls cancelled", cancelled, calls / 10);
    report.at_least("half-open while they go", outcome.breaker_to(State::HalfOpen).len(), 1);
    let held = service.bulkhead.map_or(0, |bulkhead| bulkhead.in_flight + bulkhead.waiting);
    report.exactly("places held after", held, 0);
    report.exactly("calls active after", outcome.snapshot.active, 0);
    report.exactly("loads after", service.loads, 0);
    let closed = service.breaker.is_some_and(|breaker| breaker.state == State::Closed);
    report.holds("no probe's slot is lost: the breaker closed", closed, closed, "true");
    // An attempt that was cancelled before its first byte never arrives.
    Rules { attempts_arrive: false, books: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}

/// So many callers within a second (eight in the full form), each with its own patience.
async fn gusts(bed: &Bed, random: &mut Random, nonces: u64, calls: u64) {
    let gap = Duration::from_millis(bed.stage.either(8_000, 1_000)) / calls as u32;
    let start = tokio::time::Instant::now();
    for call in 0..calls {
        let patience = Duration::from_micros(random.below(150_000));
        let (subject, nonce) = (bed.subject.clone(), nonces + call);
        drop(actix_rt::spawn(async move {
            // Patience of nothing drops the call before it was ever polled.
            let call = subject.send(Get { nonce });
            if !patience.is_zero() {
                let _ = tokio::time::timeout(patience, call).await;
            }
        }));
        tokio::time::sleep_until(start + gap * call as u32).await;
    }
}
