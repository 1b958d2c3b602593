//! A flood of calls from many handles: what is over the bound is refused at once, and kept nowhere.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::harness::load::Class;
use crate::harness::settings::{MAX_IN_FLIGHT, MAX_QUEUE};
use crate::harness::times::{now, quantile};
use crate::harness::{Bed, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(R5, "a million calls at once", beside, play);

const NONCES: u64 = 1 << 50;
/// What may be sent without an answer, by `do_send`.
const UNANSWERED: usize = 1024;

async fn play(stage: Stage) -> Report {
    let calls: u64 = stage.either(1_000_000, 100_000);
    let settings = Settings::reference(stage.full).subject("breaker = false\nretry = false");
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner::slow(Duration::from_millis(200)));
        let mut under_way = FuturesUnordered::new();
        let (mut took, mut other) = (Vec::new(), 0);
        for nonce in NONCES..NONCES + calls {
            let subject = bed.subject.clone();
            let mut call = Box::pin(async move { subject.send(Get { nonce }).await.err() });
            let started = now();
            match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
                Poll::Ready(Some(error)) if Class::of(&error).word == "rejected/bulkhead" => {
                    took.push(started.elapsed());
                }
                Poll::Ready(_) => other += 1,
                Poll::Pending => under_way.push(call),
            }
            if nonce % 256 == 0 {
                // Those under way go on; all others come while they do.
                while let Some(Some(_)) = under_way.next().now_or_never() {}
                tokio::task::yield_now().await;
            }
        }
        while under_way.next().await.is_some() {}
        let mut unanswered = 0;
        for nonce in 0..calls {
            bed.subject.do_send(Get { nonce: NONCES + calls + nonce });
            if nonce % 1024 == 0 {
                let service = bed.runtime.snapshot();
                unanswered =
                    unanswered.max(service.service("subject").map_or(0, |service| service.unanswered));
                tokio::task::yield_now().await;
            }
        }
        (took, other, unanswered)
    };
    let ((took, other, unanswered), outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.at_least("refused", took.len() as u64, calls / 2);
    report.exactly("ended at once in another way", other, 0);
    let noise = outcome.noise.p99(outcome.marks.fault, outcome.marks.healed);
    report.within("p99 of a refusal", quantile(took, 0.99), Duration::from_millis(1) + noise);
    report.at_most("queue's peak", outcome.peaks.waiting, MAX_QUEUE);
    report.at_most("in flight at the peak", outcome.peaks.in_flight, MAX_IN_FLIGHT);
    report.at_most("sent without an answer at the peak", unanswered, UNANSWERED);
    let peak = outcome.peaks.rss.saturating_sub(outcome.before.rss) >> 20;
    report.at_most("MiB at the peak", peak, 64);
    // Many of the first calls end while their connections are still being made.
    // The durations of all refusals and the events of all that nobody waited for are kept here, to be judged.
    // One thread sends as fast as it can, for seconds; a listener that is a thousand events behind loses some.
    Rules {
        isolation: false,
        attempts_arrive: false,
        growth: stage.either(64, 32) << 20,
        ..Rules::unloaded()
    }
    .judge(&outcome, &mut report);
    report
}
