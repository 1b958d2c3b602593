//! Deadlines that have passed before anything could be sent.

use std::time::Duration;

use seawall::Context;

use crate::harness::load::Class;
use crate::harness::times::now;
use crate::harness::{Bed, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C3, "deadlines that have already passed", beside, play);

const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let calls = stage.either(2_000, 200);
    // One place, so that there is a queue to pass a deadline in.
    let settings = Settings::reference(stage.full).subject("bulkhead = { max_in_flight = 1 }");
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        let mut classes = Vec::new();
        let mut nonces = NONCES..;
        let mut nonce = || nonces.next().unwrap_or(NONCES);
        for _ in 0..calls {
            let nothing = bed.subject.send(Get { nonce: nonce() }).deadline(Duration::ZERO).await;
            classes.extend(nothing.err().map(|error| Class::of(&error)));
            let past = tokio::time::Instant::from_std(now() - Duration::from_secs(1));
            let context = Context::new().deadline(past);
            let nonce = nonce();
            let past = context.in_scope(async { bed.subject.send(Get { nonce }).await }).await;
            classes.extend(past.err().map(|error| Class::of(&error)));
        }
        bed.origin.behave(Manner::slow(Duration::from_millis(30)));
        for _ in 0..calls / 10 {
            let holds = bed.subject.send(Get { nonce: 1 });
            let waits = bed.subject.send(Get { nonce: nonce() }).deadline(Duration::from_millis(1));
            let (_, waited) = tokio::join!(holds, waits);
            classes.extend(waited.err().map(|error| Class::of(&error)));
        }
        classes
    };
    let (classes, outcome) = bed.play(during).await;
    let mut report = Report::default();
    let asked = (calls * 2 + calls / 10) as usize;
    report.exactly("calls that failed", classes.len(), asked);
    let other = classes.iter().find(|class| !class.timeout).map_or("none", |class| class.word.as_str());
    report.exactly("of another class than the deadline's", other, "none");
    let sent = outcome.arrivals.iter().filter(|arrival| arrival.nonce >= NONCES).count();
    report.exactly("attempts at the server", sent, 0);
    let failures = outcome.subject().breaker.map_or(0, |breaker| breaker.failures);
    report.exactly("failures in the breaker", failures, 0);
    Rules { max_in_flight: 1, ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
