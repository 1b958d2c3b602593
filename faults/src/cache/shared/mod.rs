//! What goes wrong around the tier that processes share their kept replies in: a real Redis, the service `store`, in
//! which the service under test keeps its replies.

mod evicted;
mod huge;
mod hung;
mod news;
mod versions;

use std::sync::Arc;
use std::time::Instant;

use seawall::Runtime;
use seawall::runtime::{SharedSnapshot, Snapshot};
use seawall::telemetry::What;
use seawall_http::Http;
use seawall_redis::Redis;

use crate::harness::load::{End, Shoot};
use crate::harness::{Bed, Outcome, Scenario, Settings, Shared, Stage};

pub(crate) fn all() -> Vec<Scenario> {
    vec![versions::K7, evicted::K8, hung::K9, huge::K10, news::K14]
}

/// Settings by which the service under test keeps replies for so long in the Redis at `url`, which is as a user would have
/// it but for what `store` says.
fn settings(stage: &Stage, url: &str, ttl: &str) -> Settings {
    let cache =
        format!("cache = {{ ttl = \"{ttl}\", shared = {{ service = \"store\", budget = \"20ms\" }} }}");
    let settings = Settings::reference(stage.full).subject(&cache);
    settings.over(&format!("[services.store]\nkind = \"redis\"\nurl = \"{url}\""))
}

/// A second process, as far as anything outside can tell: a runtime beside the bed's.
async fn beside(bed: &Bed, settings: &str) -> Runtime {
    let builder = Runtime::builder().kind::<Http>().kind::<Redis>().parse(settings);
    let builder = builder.unwrap_or_else(|error| panic!("the settings cannot be read: {error}\n{settings}"));
    let runtime = builder.start().await.unwrap_or_else(|error| panic!("no runtime: {error}"));
    bed.hears(&runtime);
    runtime
}

/// Reads with keys of the load's own choice.
fn reads(bed: &Bed, key: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Shoot {
    let subject = bed.subject.clone();
    Arc::new(move |shot| {
        let (subject, key) = (subject.clone(), key(shot.nonce));
        Box::pin(async move { End::of(&subject.send(Shared { key }).await, key) })
    })
}

/// What look-ups in the tier came to, of one call.
fn figures(snapshot: &Snapshot, call: &str) -> SharedSnapshot {
    let service = snapshot.service("subject");
    service.and_then(|service| service.call(call)?.shared).unwrap_or_default()
}

/// When the tier's own breaker came into a state.
fn tier_to(outcome: &Outcome, to: seawall::policy::breaker::State) -> Vec<Instant> {
    let came = outcome.events.iter().filter(|seen| match &seen.event.what {
        What::Breaker { scope, transition, .. } => &**scope == "tier" && transition.to == to,
        _ => false,
    });
    came.map(|seen| seen.at).collect()
}
