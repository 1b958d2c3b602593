//! A Redis that may evict nothing is full: it refuses what needs room, and answers what it has.

use seawall::downstream::{Blame, Reached};
use seawall_redis::Get;
use seawall_testkit::RedisServer;

use crate::harness::bed::RATE;
use crate::harness::load::{End, Record, is_write, tally};
use crate::harness::settings::canary;
use crate::harness::{Bed, Report, Stage, Store};

/// What a key has.
const KEPT: &str = "as it was";

crate::scenario!(P13, "a Redis that evicts nothing is full", beside, play);

/// More than there is room for. What a script writes is not held against it before its end.
const FILL: &str = "for i = 1, 200 do redis.call('SET', 'fill:' .. i, string.rep('x', 100000)) end";

async fn play(stage: Stage) -> Report {
    let builder = RedisServer::builder().password(&canary());
    let server = builder.set("maxmemory", &["16mb"]).set("maxmemory-policy", &["noeviction"]).start().await;
    let (bed, store) = Store::bed(&stage, &Store::at(&server.url())).await;
    server.cli(&["SET", "kept", KEPT]);
    let shoot = Store::reading(&store, |store, _| async move {
        End::judged(&store.send(Get::<String>::new("kept")).await, |kept| kept.as_deref() == Some(KEPT))
    });
    let fault = async |_: &Bed| {
        server.cli(&["EVAL", FILL, "0"]);
        // Beyond what the buffers of clients may give back.
        server.cli(&["CONFIG", "SET", "maxmemory", "12mb"]);
    };
    let heal = async |_: &Bed| _ = server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let mut outcome = bed.run_with(shoot, RATE, fault, heal).await;
    Store::tell_writes(&server, &mut outcome);
    let mut report = Report::default();
    let marks = outcome.marks;
    let whole = |record: &&Record| {
        record.started > marks.broken && record.ended.as_ref().is_some_and(|(at, _)| *at < marks.mending)
    };
    let full = || outcome.records.iter().filter(whole);
    let (writes, reads): (Vec<_>, Vec<_>) = full().partition(|record| is_write(record.nonce));
    let overload = |record: &&&Record| {
        let class = match record.end() {
            Some(End::Error(class)) => class,
            _ => return false,
        };
        class.word == "failed/OOM" && class.blame == Blame::Overload && class.reached == Reached::No
    };
    let overload = writes.iter().filter(overload).count();
    report.share("writes told that it has no room", overload, writes.len(), 1.0);
    report.exactly("reads that failed", reads.iter().filter(|record| !record.is_answer()).count(), 0);
    report.note("how calls ended meanwhile", tally(full()));
    Store::rules().judge(&outcome, &mut report);
    report
}
