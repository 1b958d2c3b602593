//! One call within another within a third: what is left of the time goes along, and on to the next service.

use std::time::Duration;

use seawall::CallError;
use seawall::service::Func;

use crate::harness::{Bed, Get, Report, Rules, Settings, Stage};

crate::scenario!(C6, "calls within calls within calls", beside, play);

const NONCES: u64 = 1 << 50;
const DEADLINE: Duration = Duration::from_millis(300);
/// What each of the two outer calls does before it calls on.
const WORK: Duration = Duration::from_millis(20);

async fn play(stage: Stage) -> Report {
    let calls = stage.either(200, 30);
    let settings = Settings::reference(stage.full)
        .over("services.outer = { kind = \"func\", timeout = \"10s\" }\nservices.middle = { kind = \"func\", timeout = \"10s\" }")
        .subject("timeout = \"10s\"");
    let bed = Bed::start(&stage, settings).await;
    let during = async |bed: &Bed| {
        let guard = |name| bed.runtime.guard(name).unwrap_or_else(|error| panic!("no guard: {error}"));
        let (outer, middle) = (guard("outer"), guard("middle"));
        let mut failed = Vec::new();
        for nonce in (NONCES..).take(calls) {
            let (middle, subject) = (middle.clone(), bed.subject.clone());
            let nested = move || {
                let (middle, subject) = (middle.clone(), subject.clone());
                async move {
                    tokio::time::sleep(WORK).await;
                    let inner = subject.clone();
                    through(&middle, move || {
                        let inner = inner.clone();
                        async move {
                            tokio::time::sleep(WORK).await;
                            inner.send(Get { nonce }).await.map(|answer| answer.nonce)
                        }
                    })
                    .await
                }
            };
            let answer = outer.run(nested).deadline(DEADLINE).await;
            failed.extend(answer.err().map(|error| error.to_string()));
        }
        failed
    };
    let (failed, outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.holds("calls that failed", failed.is_empty(), failed.len(), format!("= 0 ({:?})", failed.first()));
    report.exactly("attempts at the server", outcome.arrivals.len(), calls);
    let most = outcome.arrivals.iter().map(|arrival| arrival.deadline_ms.unwrap_or(u64::MAX)).max();
    let left = (DEADLINE - 2 * WORK).as_millis() as u64;
    report.at_most("most that was left at the server, in ms", most.unwrap_or(u64::MAX), left);
    Rules { deadline: Some(DEADLINE), ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}

async fn through<F, W>(guard: &seawall::Service<Func>, closure: F) -> Result<u64, CallError>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = Result<u64, CallError>> + 'static,
{
    guard.run(closure).await.map(|answer| *answer)
}
