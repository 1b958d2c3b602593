//! Code that panics in a shard, under load: nobody but its own call notices.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_http::HttpCall;
use serde::{Deserialize, Deserializer};

use crate::harness::load::Class;
use crate::harness::panics::INJECTED;
use crate::harness::{Bed, Report, Rules, Settings, Stage};

crate::scenario!(R1, "decoders that panic in a shard", beside, play);

static PANICKED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone)]
struct Panicking;

impl<'de> Deserialize<'de> for Panicking {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        PANICKED.fetch_add(1, Ordering::SeqCst);
        panic!("{INJECTED}")
    }
}

#[derive(HttpCall)]
#[http(get = "/echo/{nonce}", reply = Panicking)]
struct Bad {
    nonce: u64,
}

async fn play(stage: Stage) -> Report {
    let bed = Bed::start(&stage, Settings::reference(stage.full)).await;
    let panics = stage.either(200, 40);
    let words = std::cell::RefCell::new(Vec::new());
    let fault = async |bed: &Bed| {
        // In each of the callers' two shards, while they serve the load.
        for nonce in 0..panics {
            let (subject, thread) = (bed.subject.clone(), bed.thread((nonce % 2) as usize));
            let (done, ended) = tokio::sync::oneshot::channel();
            thread.spawn(async move {
                let error = subject.send(Bad { nonce: (1 << 50) + nonce }).await.err();
                let _ = done.send(error.map(|error| Class::of(&error).word));
            });
            let word = tokio::time::timeout(Duration::from_secs(1), ended).await;
            words
                .borrow_mut()
                .push(word.ok().and_then(Result::ok).flatten().unwrap_or("no error".to_owned()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    let words = words.into_inner();
    let told = words.iter().filter(|word| *word == "failed/panic").count();
    report.holds(
        "panics told to their callers",
        told == words.len(),
        format!("{told} of {}", words.len()),
        "all",
    );
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("other calls that failed", failed, 0);
    report.holds("the service is up", outcome.subject().up, outcome.subject().up, "true");
    let panics = PANICKED.load(Ordering::SeqCst);
    Rules { panics, books: false, ..Rules::default() }.judge(&outcome, &mut report);
    report
}
