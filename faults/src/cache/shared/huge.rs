//! Values that are huge: one in the tier that nobody of us put there, and more in memory than may be kept.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use seawall_http::HttpCall;
use seawall_testkit::RedisServer;
use serde::{Deserialize, Serialize};

use super::{beside, figures, settings};
use crate::harness::resources::{Resources, forget_peak, peak_rss};
use crate::harness::{Bed, Manner, Report, Rules, Shared, Stage};

crate::scenario!(K10, "huge values, in the tier and in memory", alone, play);

const MIB: u64 = 1 << 20;

/// What memory may keep.
const CAP: u64 = 64 * MIB;

/// What loads that are under way hold besides, each in the forms that a body passes through, and what the allocator keeps.
const UNDER_WAY: u64 = 24 * MIB;

const KEY: u64 = 7;

#[derive(Clone, Serialize, Deserialize)]
struct Large {
    nonce: u64,
    pad: String,
}

#[derive(HttpCall)]
#[http(get = "/keyed/{key}", reply = Large, cache(ttl = "5m"))]
struct GetLarge {
    key: u64,
}

async fn play(stage: Stage) -> Report {
    let server = RedisServer::start().await;
    let settings = settings(&stage, &server.url(), "60s").subject("timeout = \"5s\"\nbreaker = false");
    let bed = Bed::start(&stage, settings).await;
    let other = beside(&bed, &bed.settings.text()).await;
    let values = stage.either(10_000, 400);
    let during = async |bed: &Bed| {
        let first = bed.subject.send(Shared { key: KEY }).await.is_ok();
        while figures(&bed.runtime.snapshot(), "Shared").kept == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Under each key of the tier that has an entry now, a hundred megabytes.
        let script = "local keys = redis.call('KEYS', 'seawall:v:*') for _, key in ipairs(keys) do \
                      redis.call('SET', key, string.rep('x', 104857600)) end return #keys";
        let replaced = server.cli(&["EVAL", script, "0"]);
        let subject = other.service::<seawall_http::Http>("subject");
        let subject = subject.unwrap_or_else(|error| panic!("no service: {error}"));
        forget_peak();
        let before = Resources::now().rss;
        let found = subject.send(Shared { key: KEY }).await.is_ok();
        let grown = peak_rss().saturating_sub(before);
        server.cli(&["FLUSHALL"]);

        bed.origin.behave(Manner { body_bytes: 1_000_000, ..Manner::default() });
        forget_peak();
        let before = Resources::now().rss;
        let answers = iter(0..values).map(|key| bed.subject.send(GetLarge { key })).buffer_unordered(4);
        let failed = answers.filter(|answer| std::future::ready(answer.is_err())).count().await;
        let memory = peak_rss().saturating_sub(before);
        bed.origin.behave(Manner::default());
        (first && found, replaced, grown, failed, memory)
    };
    let ((answered, replaced, grown, failed, memory), outcome) = bed.play(during).await;
    let told = figures(&other.snapshot(), "Shared");
    other.drain().await;
    let mut report = Report::default();
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB as f64);
    report.holds("answered, before and after", answered, answered, "both");
    report.exactly("entries of a hundred megabytes", &*replaced, "1");
    report.exactly("refused as too large", told.oversized, 1);
    report.holds("memory that one cost", grown <= 16 * MIB, mib(grown), "<= 16 MiB");
    report.exactly("calls for a megabyte that failed", failed, 0);
    let bound = CAP + CAP / 10 + UNDER_WAY;
    report.holds("memory of all that was kept", memory <= bound, mib(memory), format!("<= {}", mib(bound)));
    let cached = outcome.snapshot.cache.bytes;
    report.holds("bytes kept", cached <= CAP, mib(cached), format!("<= {}", mib(CAP)));
    report.at_least("of as many as there is room for", cached, CAP / 2);
    // What is kept stays.
    Rules { growth: bound, attempts_arrive: false, ..Rules::unloaded() }.judge(&outcome, &mut report);
    report
}
