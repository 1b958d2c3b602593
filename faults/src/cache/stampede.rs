//! Ten thousand callers for one key that is not there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use seawall_http::HttpCall;
use serde::{Deserialize, Deserializer};

use crate::harness::panics::INJECTED;
use crate::harness::resources::cpu;
use crate::harness::times::now;
use crate::harness::{Bed, Echo, Keyed, Manner, Report, Rules, Settings, Stage};

crate::scenario!(K1, "ten thousand callers for one cold key", beside, cold);
crate::scenario!(K2, "the first of a stampede goes away, or panics", beside, leaderless);
crate::scenario!(K3, "a stampede whose load fails", beside, failing);

const CALLERS: usize = 10_000;
const LOAD: Duration = Duration::from_millis(300);

/// So much time that a busy machine can poll ten thousand callers in it.
fn settings(stage: &Stage) -> Settings {
    Settings::reference(stage.full).subject("timeout = \"5s\"")
}

async fn cold(stage: Stage) -> Report {
    let bed = Bed::start(&stage, settings(&stage)).await;
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner::slow(LOAD));
        join_all((0..CALLERS).map(|_| bed.subject.send(Keyed { key: 7 }))).await
    };
    let (answers, outcome) = bed.play(during).await;
    let mut report = Report::default();
    let right =
        answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.serial == 1)).count();
    report.exactly("callers with the one answer", right, CALLERS);
    report.exactly("requests at the server", outcome.arrivals.len(), 1);
    judge(&outcome, 0, &mut report);
    report
}

static LOADS: AtomicU64 = AtomicU64::new(0);

/// An echo whose first decoding panics.
#[derive(Clone)]
struct Brittle(Echo);

impl<'de> Deserialize<'de> for Brittle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let echo = Echo::deserialize(deserializer)?;
        if LOADS.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("{INJECTED}");
        }
        Ok(Self(echo))
    }
}

#[derive(HttpCall)]
#[http(get = "/keyed/{key}", reply = Brittle, cache)]
struct BrittleKeyed {
    key: u64,
}

async fn leaderless(stage: Stage) -> Report {
    let bed = Bed::start(&stage, settings(&stage)).await;
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner::slow(Duration::from_secs(2)));
        let mut leader = Box::pin(async { bed.subject.send(Keyed { key: 7 }).await });
        let _ = (&mut leader).now_or_never();
        // Polled after all the others: from here on there is nothing to do but wait.
        let drop_it = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(leader);
            let (before, since) = (cpu(), now());
            tokio::time::sleep(Duration::from_millis(300)).await;
            (cpu() - before).as_secs_f64() / since.elapsed().as_secs_f64()
        };
        let followers = join_all((0..CALLERS).map(|_| bed.subject.send(Keyed { key: 7 })));
        let (followers, busy) = tokio::join!(followers, drop_it);
        let answered = followers.iter().filter(|answer| answer.is_ok()).count();
        bed.origin.settle();
        let loads = bed.origin.requests();
        bed.origin.behave(Manner::slow(LOAD));

        let panicked = join_all((0..100).map(|_| bed.subject.send(BrittleKeyed { key: 8 }))).await;
        let again = bed.subject.send(BrittleKeyed { key: 8 }).await;
        let hung =
            panicked.iter().filter(|answer| answer.as_ref().is_err_and(|error| error.is_timeout())).count();
        (answered, loads, busy, hung, again.map(|answer| answer.0.nonce).ok())
    };
    let ((answered, loads, busy, hung, again), outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("followers with an answer", answered, CALLERS);
    report.at_most("loads", loads, 2);
    // The bed's own threads are in it: the neighbour's load, and those that watch.
    report.at_most("% of a core while they wait", (busy * 100.0).round(), 60.0);
    report.exactly("callers that hung on a load that panicked", hung, 0);
    report.exactly("answer after it", again.unwrap_or(0), 8);
    judge(&outcome, 1, &mut report);
    report
}

async fn failing(stage: Stage) -> Report {
    let settings = settings(&stage).subject("retry = { attempts = 3, on = [\"response\"] }\nbreaker = false");
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        bed.origin.behave(Manner { status: 500, ..Manner::slow(LOAD) });
        join_all((0..CALLERS).map(|_| bed.subject.send(Keyed { key: 7 }))).await
    };
    let (answers, outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("callers with an error", answers.iter().filter(|answer| answer.is_err()).count(), CALLERS);
    report.at_most("requests at the server", outcome.arrivals.len(), 3);
    judge(&outcome, 0, &mut report);
    report
}

fn judge(outcome: &crate::harness::Outcome, panics: u64, report: &mut Report) {
    let left = outcome.subject().loads;
    report.exactly("loads after it", left, 0);
    // Ten thousand callers are polled by one thread at once, which takes a core from everybody else.
    let rules = Rules { deadline: None, isolation: false, panics, growth: 32 << 20, ..Rules::unloaded() };
    rules.judge(outcome, report);
}
