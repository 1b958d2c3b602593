//! An administrator ends all sessions, again and again.

use std::time::Duration;

use seawall_testkit::servers::postgres::Postgres;

use super::database;
use crate::harness::load::is_write;
use crate::harness::{Bed, Report, Stage};

crate::scenario!(P9, "PostgreSQL's sessions are all terminated", beside, play);

async fn play(stage: Stage) -> Report {
    let server = database::server(Postgres::builder()).await;
    let bed = database::bed(&stage, &[&server], "").await;
    let times = stage.either(18, 5);
    let mut ended = 0;
    let fault = async |_: &Bed| {
        for _ in 0..times {
            ended += database::terminate(&server);
            tokio::time::sleep(Duration::from_millis(stage.either(1_000, 400))).await;
        }
    };
    let outcome = database::run(bed, fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.at_least("sessions that were ended", ended, times);
    let failed = |write: bool| {
        let of = outcome.records.iter().filter(move |record| is_write(record.nonce) == write);
        of.filter(|record| !record.is_answer()).count()
    };
    report.exactly("reads that failed", failed(false), 0);
    report.note("writes that failed", failed(true));
    database::judge(&outcome, &server, &mut report);
    report
}
