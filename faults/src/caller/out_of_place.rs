//! Calls where none can be made: after the end, and from a thread that has no runtime to wait in.

use std::time::Duration;

use futures_util::FutureExt as _;

use crate::harness::load::Class;
use crate::harness::rules::judge_panics;
use crate::harness::times::now;
use crate::harness::{Bed, Get, Report, Settings, Stage};

crate::scenario!(C16, "calls after the end, and from threads without a runtime", beside, play);

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let mut report = Report::default();
    let limit = Duration::from_millis(10);

    let subject = bed.subject.clone();
    let bare = std::thread::spawn(move || {
        let started = now();
        let result = subject.send(Get { nonce: 1 }).now_or_never();
        let word = result.map_or("it waits".to_owned(), |result| word_of(result.err()));
        (word, started.elapsed())
    });
    let (word, took) = bare.join().unwrap_or(("it panicked".to_owned(), Duration::ZERO));
    tell(&mut report, "from a thread without a runtime", &word, took, limit);

    let subject = bed.subject.clone();
    let plain = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        runtime.block_on(async { subject.send(Get { nonce: 2 }).await.is_ok() })
    });
    let served = plain.join().unwrap_or(false);
    report.holds("from a plain tokio thread it is served", served, served, "true");

    bed.runtime.drain_within(Duration::from_secs(1)).await;
    let started = now();
    let error = bed.subject.send(Get { nonce: 3 }).await.err();
    tell(&mut report, "after the drain", &word_of(error), started.elapsed(), limit);

    let Bed { runtime, subject, origin, .. } = bed;
    drop(runtime);
    let started = now();
    let error = subject.send(Get { nonce: 4 }).await.err();
    tell(&mut report, "after the runtime is gone", &word_of(error), started.elapsed(), limit);
    origin.settle();
    report.exactly("attempts at the server", origin.requests(), 1);
    judge_panics(0, &mut report);
    report
}

fn word_of(error: Option<seawall::CallError>) -> String {
    error.map_or("an answer".to_owned(), |error| Class::of(&error).word)
}

fn tell(report: &mut Report, when: &str, word: &str, took: Duration, limit: Duration) {
    report.holds(format!("{when}: refused"), word.starts_with("rejected/"), word, "rejected/...");
    report.within(format!("{when}: within"), took, limit);
}
