//! The server's processes are killed and started again, or stand still for a while.

use std::time::Duration;

use seawall::policy::breaker::State;
use seawall_testkit::servers::postgres::Postgres;

use super::database;
use crate::harness::{Bed, Report, Stage};

crate::scenario!(P1PG, "PostgreSQL is killed, and started again", beside, killed);
crate::scenario!(P2PG, "PostgreSQL stands still for three seconds, and goes on", beside, frozen);

async fn killed(stage: Stage) -> Report {
    let server = database::server(Postgres::builder()).await;
    let bed = database::bed(&stage, &[&server], "").await;
    let dead = Duration::from_millis(stage.either(5_000, 1_500));
    let fault = async |_: &Bed| {
        server.kill();
        tokio::time::sleep(dead).await;
        server.restart().await;
    };
    let outcome = database::run(bed, fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    report.at_least("times it opened", outcome.breaker_to(State::Open).len(), 1);
    let last = outcome.recovered().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed once it was well for long", last, 0);
    database::judge(&outcome, &server, &mut report);
    report
}

async fn frozen(stage: Stage) -> Report {
    let server = database::server(Postgres::builder()).await;
    let bed = database::bed(&stage, &[&server], "").await;
    let still = Duration::from_millis(stage.either(3_000, 2_000));
    let fault = async |_: &Bed| {
        server.freeze();
        tokio::time::sleep(still).await;
        server.thaw();
    };
    let outcome = database::run(bed, fault, async |_: &Bed| {}).await;
    let mut report = Report::default();
    let timed_out =
        outcome.faulty().filter(|record| record.end().is_some_and(|end| end.word().starts_with("timeout/")));
    report.at_least("calls that timed out", timed_out.count(), 1);
    report.at_least("connections that were replaced", database::pool(&outcome).closed, 1);
    database::judge(&outcome, &server, &mut report);
    report
}
