//! Callers give up long statements, and others want a connection at once.

use std::time::Duration;

use futures_util::future::join_all;
use seawall_postgres::{Postgres as Kind, QueryOne};
use seawall_testkit::servers::postgres::Postgres;

use super::database;
use crate::harness::times::{now, quantile};
use crate::harness::{Bed, Report, Rules, Stage};

crate::scenario!(P10, "callers give up long statements of PostgreSQL", alone, play);

const PATIENCE: Duration = Duration::from_millis(200);

/// Long after everybody has gone.
fn long() -> QueryOne<String> {
    QueryOne::new("select pg_sleep(2)::text").read_only()
}

/// Gives one up: by its deadline, or by going away.
async fn give_up(service: &seawall::Service<Kind>, by_deadline: bool) -> bool {
    match by_deadline {
        true => service.send(long()).deadline(PATIENCE).await.is_err(),
        false => tokio::time::timeout(PATIENCE, service.send(long())).await.is_err(),
    }
}

/// Statements that are still under way half a second after the last was given up: by itself each goes on for much longer.
async fn left(server: &Postgres) -> String {
    let active = "select count(*) from pg_stat_activity
        where state = 'active' and query like '%pg_sleep(2)%' and pid <> pg_backend_pid()";
    let end = tokio::time::Instant::now() + Duration::from_millis(500);
    loop {
        let left = server.value(active);
        if left == "0" || tokio::time::Instant::now() >= end {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn play(stage: Stage) -> Report {
    let server = database::server(Postgres::builder()).await;
    // What is given up counts for the breaker, which is not what is looked at.
    let bed = database::bed(&stage, &[&server], "breaker = false\nretry = false").await;
    let rounds = stage.either(100, 20);
    let during = async |bed: &Bed| {
        let service = database::service(bed);
        let (mut given_up, mut next, mut crowd, mut wrong) = (0, Vec::new(), Vec::new(), 0);
        let quick = async |nonce: u64| {
            let began = now();
            let answered =
                service.send(database::read(nonce)).await.is_ok_and(|got| *got == nonce.cast_signed());
            (answered, now().saturating_duration_since(began))
        };
        for round in 0..rounds {
            given_up += usize::from(give_up(&service, round % 2 == 0).await);
            let (answered, took) = quick(round).await;
            wrong += usize::from(!answered);
            next.push(took);
        }
        // All connections at once, and as many who want them.
        for round in 0..rounds / 10 {
            let all = (0..database::MAX).map(|one| give_up(&service, one % 2 == 0));
            given_up += join_all(all).await.into_iter().filter(|given_up| *given_up).count();
            let all = (0..database::MAX as u64).map(|one| quick(round * 1_000 + one));
            for (answered, took) in join_all(all).await {
                wrong += usize::from(!answered);
                crowd.push(took);
            }
        }
        (given_up, next, crowd, wrong, left(&server).await)
    };
    let ((given_up, next, crowd, wrong, active), outcome) = bed.play(during).await;
    let mut report = Report::default();
    let rounds = rounds as usize;
    report.exactly("statements that were given up", given_up, rounds + rounds / 10 * database::MAX);
    let noise = outcome.noise.longest(outcome.marks.fault, outcome.marks.end);
    // It wakes the server's process, and that wakes us.
    report.within("the next caller's p99", quantile(next, 0.99), Duration::from_millis(20) + noise * 2);
    report.note("p99 where all connections were given up", format!("{:?}", quantile(crowd, 0.99)));
    report.exactly("the next callers who got nothing, or another's", wrong, 0);
    report.exactly("statements still under way", active, "0".to_owned());
    Rules { amplification: false, recovery: false, books: false, ..database::rules() }
        .judge(&outcome, &mut report);
    report
}
