//! A write of one kilobyte does not wait for the other side's acknowledgement (Nagle, and 40 ms of delayed ACK).

use std::time::Duration;

use bytes::Bytes;
use seawall_http::HttpCall;

use crate::harness::times::{now, quantile};
use crate::harness::{Bed, Echo, Report, Rules, Settings, Stage};

crate::scenario!(N31, "small writes, one after the other", alone, play);

const NONCES: u64 = 1 << 50;

#[derive(HttpCall)]
#[http(post = "/write/{nonce}", body = payload, reply = Echo)]
struct Post {
    nonce: u64,
    payload: Bytes,
}

async fn play(stage: Stage) -> Report {
    let calls = stage.either(2_000, 200);
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let during = async |bed: &Bed| {
        let payload = Bytes::from(vec![b'x'; 1024]);
        let mut took = Vec::new();
        for nonce in (NONCES..).take(calls) {
            let started = now();
            let answer = bed.subject.send(Post { nonce, payload: payload.clone() }).await;
            took.extend(answer.is_ok().then(|| started.elapsed()));
        }
        took
    };
    let (took, outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("calls answered", took.len(), calls);
    let noise = quantile(outcome.noise.all(outcome.marks.fault, outcome.marks.healed), 0.5);
    report.within("p50", quantile(took, 0.5), Duration::from_millis(1) + noise);
    Rules::unloaded().judge(&outcome, &mut report);
    report
}
