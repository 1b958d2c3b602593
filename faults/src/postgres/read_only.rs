//! The server becomes read-only (SQLSTATE 25006) while the pool is warm, and takes writes again.

use std::time::Duration;

use seawall_testkit::servers::postgres::Postgres;

use super::database;
use crate::harness::load::is_write;
use crate::harness::{Bed, Report, Stage};

crate::scenario!(P8, "PostgreSQL turns read-only, and back", beside, play);

async fn play(stage: Stage) -> Report {
    let server = database::server(Postgres::builder()).await;
    let bed = database::bed(&stage, &[&server], "").await;
    let turn = |on: &str| {
        server.sql(&format!("alter system set default_transaction_read_only = {on}"));
        server.sql("select pg_reload_conf()");
    };
    let fault = async |_: &Bed| turn("on");
    let outcome = database::run(bed, fault, async |_: &Bed| turn("off")).await;
    let mut report = Report::default();
    let refused =
        outcome.records.iter().filter(|record| record.end().is_some_and(|end| end.word() == "failed/25006"));
    report.at_least("writes that were refused as 25006", refused.count(), 1);
    let reads = outcome.records.iter().filter(|record| !is_write(record.nonce) && !record.is_answer());
    report.exactly("reads that failed", reads.count(), 0);
    let healed = outcome.marks.healed;
    database::judge_first_write(
        "first write after it",
        &outcome,
        healed,
        Duration::from_secs(5),
        &mut report,
    );
    let seconds = outcome.marks.healed.duration_since(outcome.marks.fault).as_secs_f64();
    let created = database::pool(&outcome).created;
    // Its pool once before and once after, and what a second may cost in between.
    report.at_most("connections made", created, 2 * database::MAX as u64 + (seconds * 5.0) as u64);
    database::judge(&outcome, &server, &mut report);
    report
}
