//! Fallbacks that are slow, that fail, and that call the service that has just failed.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seawall::CallError;

use crate::harness::rules::TIMER;
use crate::harness::settings::DEADLINE;
use crate::harness::times::now;
use crate::harness::{Bed, Echo, Get, Manner, Report, Rules, Settings, Stage};

crate::scenario!(C10, "fallbacks that are slow, fail, or recurse", beside, play);

const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let rounds = stage.either(50, 4);
    let bed =
        Bed::start(&stage, Settings::reference(stage.full).subject("breaker = false\nretry = false")).await;
    let depth = Arc::new(AtomicUsize::new(0));
    let counted = depth.clone();
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner::failing(500));
        let mut nonces = NONCES..;
        let mut get = || Get { nonce: nonces.next().unwrap_or(NONCES) };
        let (mut slowest, mut first_kept) = (Duration::ZERO, 0);
        for _ in 0..rounds {
            let started = now();
            let slow = bed.subject.send(get()).fallback(|_: &CallError| async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Echo { nonce: 0, serial: 0 }
            });
            let slow = slow.await;
            slowest = slowest.max(started.elapsed());
            let failing = bed.subject.send(get()).fallback(|_: &CallError| {
                Err::<Echo, Box<dyn std::error::Error + Send + Sync>>("it fails too".into())
            });
            let failing = failing.await;
            for error in [slow.err(), failing.err()].into_iter().flatten() {
                let mut cause = error.source();
                let mut all = error.to_string();
                while let Some(error) = cause {
                    all += &format!(": {error}");
                    cause = error.source();
                }
                first_kept += usize::from(all.contains("500"));
            }
            let (subject, counted) = (bed.subject.clone(), counted.clone());
            let started = now();
            let recursing = bed
                .subject
                .send(get())
                .fallback(move |_: &CallError| async move { deeper(subject, counted, 1).await });
            let _ = recursing.await;
            slowest = slowest.max(started.elapsed());
        }
        (slowest, first_kept)
    };
    let ((slowest, first_kept), outcome) = bed.play(during).await;
    let mut report = Report::default();
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.healed);
    report.within("slowest call", slowest, DEADLINE + TIMER + noise);
    report.exactly("errors that keep the first as their cause", first_kept, rounds * 2);
    report.at_most("fallbacks within each other", depth.load(Ordering::SeqCst), 1);
    Rules::unloaded().judge(&outcome, &mut report);
    report
}

/// Calls the service whose failure it stands in for, with itself as fallback.
fn deeper(
    subject: seawall::Service<seawall_http::Http>,
    depth: Arc<AtomicUsize>,
    level: usize,
) -> futures_util::future::BoxFuture<'static, Result<Echo, CallError>> {
    Box::pin(async move {
        depth.fetch_max(level, Ordering::SeqCst);
        let again = (subject.clone(), depth.clone());
        let call = subject.send(Get { nonce: NONCES - level as u64 });
        let answer = call.fallback(move |_: &CallError| deeper(again.0, again.1, level + 1)).await?;
        Ok(*answer)
    })
}
