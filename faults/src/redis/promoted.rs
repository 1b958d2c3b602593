//! The sentinels make the replica the primary: because somebody asks them to, so that the old one is there and refuses
//! writes, or because the old one is dead.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use seawall_testkit::RedisSentinels;

use crate::harness::bed::RATE;
use crate::harness::load::{Record, is_write, tally};
use crate::harness::times::now;
use crate::harness::{Bed, Report, Stage, Store};

crate::scenario!(P6, "the replica of a Redis is promoted", beside, asked);
crate::scenario!(P6_KILLED, "the primary Redis dies, and its replica is promoted", beside, died);

/// From the promotion on, until writes are made by the new primary.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);

async fn asked(stage: Stage) -> Report {
    // The sentinels would turn the old one into a replica some seconds later, and close its connections: this one keeps
    // them, and refuses writes.
    let demote = |sentinels: &RedisSentinels| {
        let new = sentinels.replica().addr();
        sentinels.primary().cli(&["REPLICAOF", &new.ip().to_string(), &new.port().to_string()]);
    };
    play(&stage, RedisSentinels::fail_over, demote).await
}

async fn died(stage: Stage) -> Report {
    play(&stage, |sentinels: &RedisSentinels| sentinels.primary().kill(), |_| {}).await
}

async fn play(stage: &Stage, lose: impl Fn(&RedisSentinels), then: impl Fn(&RedisSentinels)) -> Report {
    let sentinels = RedisSentinels::start().await;
    let mut stage = stage.clone();
    // The sentinels need a second or two to agree on a death.
    stage.longer = Duration::from_secs(stage.either(0, 3));
    let text = format!(
        "urls = {:?}\nredis = {{ topology = \"sentinel\", master = \"{}\" }}",
        sentinels.urls(),
        RedisSentinels::MASTER
    );
    let (bed, store) = Store::bed(&stage, &text).await;
    let promoted = Cell::new(None);
    let fault = async |_: &Bed| {
        lose(&sentinels);
        sentinels.wait_for_promotion().await;
        promoted.set(Some(now()));
        then(&sentinels);
    };
    let shoot = Store::mixed(&store);
    let mut outcome = bed.run_with(shoot, RATE, fault, async |_: &Bed| {}).await;
    Store::tell_writes(sentinels.replica(), &mut outcome);
    let mut report = Report::default();
    let promoted: Instant = promoted.get().unwrap_or_else(|| panic!("it was not promoted"));
    let writes = || outcome.records.iter().filter(|record| is_write(record.nonce));
    // Where the new primary has them: the old one may take writes that nobody will ever see.
    let there: HashSet<u64> = outcome.arrivals.iter().map(|arrival| arrival.nonce).collect();
    let mut made: Vec<&Record> = writes()
        .filter(|record| record.started > promoted && record.is_answer() && there.contains(&record.nonce))
        .collect();
    made.sort_by_key(|record| record.scheduled);
    let first = made.first().and_then(|record| record.ended.as_ref());
    let first = first.map_or(Duration::MAX, |(at, _)| at.saturating_duration_since(promoted));
    let noise = outcome.noise.longest(promoted, outcome.marks.end);
    report.within("from the promotion to a write", first, WRITTEN_WITHIN + noise);
    let later = |record: &&Record| record.started > promoted + WRITTEN_WITHIN + noise;
    let failed = writes().filter(later).filter(|record| !record.is_answer());
    report.exactly("writes that failed two seconds later", failed.count(), 0);
    let lost = writes().filter(later).filter(|record| record.is_answer() && !there.contains(&record.nonce));
    report.exactly("writes then made, and not at the new primary", lost.count(), 0);
    let refused = |record: &&Record| record.end().is_some_and(|end| end.word() == "failed/READONLY");
    report.exactly(
        "READONLY told to callers then",
        outcome.records.iter().filter(later).filter(refused).count(),
        0,
    );
    report.note("how calls ended meanwhile", tally(outcome.faulty()));
    Store::rules().judge(&outcome, &mut report);
    report
}
