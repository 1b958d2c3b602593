//! The tier loses what it has, all at once or by and by, or takes no more: that is a miss, and nobody's error.

use std::time::Duration;

use futures_util::future::join_all;
use seawall_testkit::RedisServer;

use super::{figures, reads, settings};
use crate::harness::bed::RATE;
use crate::harness::settings::MAX_IN_FLIGHT;
use crate::harness::{Bed, Manner, Report, Rules, Shared, Stage};

crate::scenario!(K8, "the tier is flushed, evicts, and takes no more", beside, play);

/// Asked for by all at once after each flush.
const HOT: u64 = 1_000_000;
const CALLERS: usize = 500;

/// Others, over and over.
const KEYS: u64 = 400;

/// What leaves no room for anything that was there before.
const FILL: &str = "for i = 1, 100 do redis.call('SET', 'fill:' .. i, string.rep('x', 100000)) end";

async fn play(mut stage: Stage) -> Report {
    let builder = RedisServer::builder().set("maxmemory", &["8mb"]);
    let server = builder.set("maxmemory-policy", &["allkeys-lru"]).start().await;
    stage.longer = Duration::from_secs(stage.either(0, 1));
    let bed = Bed::start(&stage, settings(&stage, &server.url(), stage.either("5s", "500ms"))).await;
    bed.origin.behave(Manner::slow(Duration::from_millis(20)));
    let flushes = stage.either(40, 8_usize);
    let mut herd = 0;
    let fault = async |bed: &Bed| {
        for _ in 0..flushes {
            server.cli(&["FLUSHALL"]);
            server.cli(&["EVAL", FILL, "0"]);
            let all = join_all((0..CALLERS).map(|_| bed.subject.send(Shared { key: HOT }))).await;
            herd += all.iter().filter(|answer| answer.is_err()).count();
        }
        server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    };
    let mut kept = 0;
    let heal = async |bed: &Bed| {
        kept = figures(&bed.runtime.snapshot(), "Shared").kept;
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    };
    let shoot = reads(&bed, |nonce| nonce % KEYS);
    let outcome = bed.run_with(shoot, RATE, fault, heal).await;
    let evicted = server.cli(&["INFO", "stats"]);
    let evicted =
        evicted.lines().find_map(|line| line.strip_prefix("evicted_keys:")?.trim().parse::<u64>().ok());
    let mut report = Report::default();
    let failed = outcome.records.iter().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed", failed + herd, 0);
    report.at_least("keys that it evicted", evicted.unwrap_or_default(), 10);
    let loads = outcome.arrivals.iter().filter(|arrival| arrival.nonce == HOT).count();
    // A flush in the midst of a load has it made once more.
    report.at_most("loads of what all ask for at once", loads, 2 * flushes);
    report.at_most("in flight at the peak", outcome.peaks.in_flight, MAX_IN_FLIGHT);
    let told = figures(&outcome.snapshot, "Shared");
    report.at_least("replies kept in it once it had room", told.kept - kept, 50);
    report.note(
        "found in it, not found, not taken",
        format!("{}, {}, {}", told.hits, told.misses, told.failed),
    );
    // Five hundred callers at once are not the load's.
    let rules = Rules { books: false, isolation: false, amplification: false, ..Rules::default() };
    rules.judge(&outcome, &mut report);
    report
}
