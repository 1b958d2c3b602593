//! The thread that owns the shards of three services ends: they move, and their handles go on working.

use std::time::Duration;

use seawall::telemetry::{Cause, What};
use seawall_http::Http;

use crate::harness::times::now;
use crate::harness::{Bed, Get, Report, Rules, Settings, Stage, Via};

crate::scenario!(R4, "the thread that owns three services ends", beside, play);

const NONCES: u64 = 1 << 50;

async fn play(stage: Stage) -> Report {
    let settings =
        Settings::reference(stage.full).over("runtime.arbiters = 1\nservices.killer.kind = \"func\"");
    // The second and the third are in this service's place once their address is known.
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let origin = crate::harness::Origin::start();
    let other = |name: &str| {
        format!("services.{name} = {{ kind = \"http\", url = \"{}\", timeout = \"500ms\" }}", origin.url())
    };
    let settings = settings.over(&other("second")).over(&other("third"));
    let bed = Bed::start(&stage, settings).await;
    let neighbours = bed.arbiters();
    let bed = bed.calls_from(Via::Tokio(tokio.handle().clone()), neighbours);
    let service =
        |name: &str| bed.runtime.service::<Http>(name).unwrap_or_else(|error| panic!("no service: {error}"));
    let others = [service("second"), service("third")];
    let mut back = Vec::new();
    let fault = async |bed: &Bed| {
        let killer = bed.runtime.guard("killer").unwrap_or_else(|error| panic!("no guard: {error}"));
        let services = [&bed.subject, &others[0], &others[1]].map(Clone::clone);
        let found = tokio.spawn(async move {
            for service in &services {
                // So that each has a shard there.
                let _ = service.send(Get { nonce: NONCES }).await;
            }
            let end = killer.run(|| async {
                actix_rt::System::current().stop();
                std::future::pending::<Result<(), seawall::Failure>>().await
            });
            drop(tokio::time::timeout(Duration::from_millis(50), end).await);
            let died = now();
            let mut back = Vec::new();
            for (nonce, service) in (NONCES + 1..).zip(&services) {
                while service.send(Get { nonce }).await.is_err() && died.elapsed() < Duration::from_secs(5) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                back.push(died.elapsed());
            }
            back
        });
        back = found.await.unwrap_or_default();
    };
    let outcome = bed.run(fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.exactly("services that were asked after it", back.len(), 3);
    let slowest = back.into_iter().max().unwrap_or(Duration::MAX);
    report.within("until all three answer", slowest, Duration::from_secs(1));
    let ended = outcome
        .events
        .iter()
        .filter(|seen| matches!(seen.event.what, What::ShardRestarted { cause: Cause::ThreadEnded, .. }));
    report.at_least("shards that are told to have ended with it", ended.count(), 3);
    let opened = outcome
        .events
        .iter()
        .filter(|seen| seen.at > outcome.marks.fault && matches!(seen.event.what, What::PoolOpened { .. }));
    report.at_least("pools opened anew", opened.count(), 3);
    // The thread's successor may be counted before it is gone; attempts that died with it may have come or not.
    Rules { attempts_arrive: false, books: false, ..Rules::default() }.judge(&outcome, &mut report);
    tokio.shutdown_background();
    report
}
