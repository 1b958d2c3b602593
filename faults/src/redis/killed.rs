//! A Redis is killed under load, and started again without what it had.

use std::time::Duration;

use seawall::policy::breaker::State;

use crate::harness::bed::RATE;
use crate::harness::{Bed, Report, Stage, Store};

crate::scenario!(P1_REDIS, "Redis is killed, and started again", beside, play);

async fn play(stage: Stage) -> Report {
    let server = Store::server().await;
    let (bed, store) = Store::bed(&stage, &Store::at(&server.url())).await;
    let dead = Duration::from_millis(stage.either(5_000, 1_500));
    let fault = async |_: &Bed| {
        server.kill();
        tokio::time::sleep(dead).await;
        server.restart().await;
    };
    let shoot = Store::mixed(&store);
    let mut outcome = bed.run_with(shoot, RATE, fault, async |_: &Bed| {}).await;
    Store::tell_writes(&server, &mut outcome);
    let mut report = Report::default();
    report.at_least("times it opened", outcome.breaker_to(State::Open).len(), 1);
    report.at_least("commands in its second life", Store::requests(&server), 100);
    let last = outcome.recovered().filter(|record| !record.is_answer()).count();
    report.exactly("calls that failed once it was well for long", last, 0);
    Store::rules().judge(&outcome, &mut report);
    report
}
