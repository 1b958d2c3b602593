//! Two builds share a tier, and what they keep looks different: one has a version of its own, another has forgotten to.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use seawall::{Runtime, Service};
use seawall_http::{Http, HttpCall};
use seawall_testkit::RedisServer;
use serde::{Deserialize, Serialize};

use super::{beside, figures, settings};
use crate::harness::bed::RATE;
use crate::harness::load::{End, Shoot};
use crate::harness::{Bed, Report, Rules, Stage};

crate::scenario!(K7, "two builds that keep different things in one tier", beside, play);

/// Kept by all builds, each in its own shape, under the same keys.
const KEYS: u64 = 40;

/// One build's call, and whether what it came back with is right.
type Build = Arc<dyn Fn(Service<Http>, u64) -> BoxFuture<'static, End> + Send + Sync>;

macro_rules! build {
    ($version:literal, $nonce:ident, $serial:ident) => {{
        #[derive(Clone, Serialize, Deserialize)]
        struct Reply {
            #[serde(alias = "nonce")]
            $nonce: u64,
            #[serde(alias = "serial")]
            $serial: u64,
        }

        #[derive(HttpCall)]
        #[http(get = "/keyed/{key}", reply = Reply, cache(shared = $version))]
        struct Profile {
            key: u64,
        }

        let right = |reply: &Reply, key| reply.$nonce == key && reply.$serial > 0;
        let build: Build = Arc::new(move |service, key| {
            Box::pin(
                async move { End::judged(&service.send(Profile { key }).await, |reply| right(reply, key)) },
            )
        });
        build
    }};
}

/// Three builds of one program: the server answers all alike, and each writes in its own shape what it keeps. In one
/// function, since the types of the first and the last must have one name, as they have in two builds.
fn builds() -> [Build; 3] {
    [build!(1, number, times), build!(2, index, count), build!(1, id, order)]
}

async fn play(stage: Stage) -> Report {
    let server = RedisServer::start().await;
    let ttl = stage.either("2s", "1s");
    let bed = Bed::start(&stage, settings(&stage, &server.url(), ttl)).await;
    let text = bed.settings.text();
    let [newer, forgetful] = [beside(&bed, &text).await, beside(&bed, &text).await];
    let services = [bed.subject.clone(), service(&newer), service(&forgetful)];
    let builds = builds();
    let shoot: Shoot = Arc::new(move |shot| {
        let build = (shot.index % 3) as usize;
        (builds[build])(services[build].clone(), shot.nonce / 3 % KEYS)
    });
    let all = [bed.runtime.clone(), newer.clone(), forgetful.clone()];
    let kept = || -> u64 { all.iter().map(|one| figures(&one.snapshot(), "Profile").kept).sum() };
    let half = stage.during() / 2;
    let mut counts = [0; 3];
    let middle = async |_: &Bed| {
        counts[0] = kept();
        tokio::time::sleep(half).await;
        counts[1] = kept();
        tokio::time::sleep(half).await;
        counts[2] = kept();
    };
    let outcome = bed.run_with(shoot, RATE, middle, async |_: &Bed| {}).await;
    let told = [outcome.snapshot.clone(), newer.snapshot(), forgetful.snapshot()];
    let told = told.map(|snapshot| figures(&snapshot, "Profile"));
    for runtime in [newer, forgetful] {
        runtime.drain().await;
    }
    let mut report = Report::default();
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed, 0);
    let (sooner, later) = (counts[1] - counts[0], counts[2] - counts[1]);
    report.at_least("replies kept in the first half", sooner, 10);
    report.at_most("and in the second", later, sooner * 3 / 2);
    // A key is loaded once in its time to live by each build, if none writes over another's.
    let lives = stage.during().as_secs_f64() / stage.either(2.0, 1.0);
    let most = KEYS as f64 * 3.0 * (lives + 1.0) * 1.3;
    report.at_most("replies kept in all", (sooner + later) as f64, most.ceil());
    let unreadable = told.map(|one| one.unreadable);
    report.exactly("unreadable to the second, which has a version", unreadable[1], 0);
    report.at_least("unreadable to the first and the forgetful", unreadable[0] + unreadable[2], 1);
    report.note("found in it by each", format!("{:?}", told.map(|one| one.hits)));
    // The other two runtimes' calls are in no books of this one's.
    Rules { books: false, attempts_arrive: false, growth: 24 << 20, ..Rules::default() }
        .judge(&outcome, &mut report);
    report
}

fn service(runtime: &Runtime) -> Service<Http> {
    runtime.service("subject").unwrap_or_else(|error| panic!("no service: {error}"))
}
