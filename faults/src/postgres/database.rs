//! A PostgreSQL beside the bed's other servers, the service that calls it, and what its own tables say of a run.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall::downstream::Reached;
use seawall::runtime::PoolSnapshot;
use seawall::{Answer, CallError, Service};
use seawall_postgres::{Execute, Postgres, QueryOne};
use seawall_testkit::servers::postgres::{self, DATABASE, PostgresBuilder, USER};

use crate::harness::bed::RATE;
use crate::harness::load::{Class, End, Record, Shoot, is_write, tally};
use crate::harness::settings::{CANARY, canary};
use crate::harness::{Bed, Outcome, Report, Rules, Settings, Stage};

/// The service under test.
const NAME: &str = "database";

/// Connections that it may have.
pub(super) const MAX: usize = 20;

/// Starts one whose account `app` has the password that must be seen nowhere.
pub(super) async fn server(builder: PostgresBuilder) -> postgres::Postgres {
    let server = builder.start().await;
    server.sql(&format!("alter role {USER} password '{}'", canary()));
    // A write leaves its nonce, so that the table tells how often each was made.
    server.sql(&format!("create table written (nonce bigint); grant all on written to {USER}"));
    server
}

/// A bed with a service that calls these, with the reference settings and `more`.
pub(super) async fn bed(stage: &Stage, servers: &[&postgres::Postgres], more: &str) -> Bed {
    let (open, idle) = stage.either((2_000, 5_000), (500, 1_000));
    let urls: Vec<_> =
        servers.iter().map(|server| format!("postgres://{}/{DATABASE}", server.addr())).collect();
    let settings = Settings::reference(stage.full)
        .over(&format!(
            r#"
            [services.{NAME}]
            kind = "postgres"
            urls = {urls:?}
            timeout = "500ms"
            connect_timeout = "400ms"
            breaker = {{ window = {{ calls = 100 }}, minimum_calls = 20, error_threshold = "50%", consecutive_failures = 0, reset_timeout = "{open}ms", reset_growth = 1.0, half_open_calls = 5, ramp = "{open}ms" }}
            bulkhead = {{ max_in_flight = {MAX}, max_queue = 128 }}
            retry = {{ attempts = 3 }}
            retry_budget = {{ ratio = "20%", minimum_per_second = 10 }}
            pool = {{ max = {MAX}, idle_timeout = "{idle}ms" }}
            postgres = {{ user = "{USER}", password = {{ env = "{CANARY}" }}, ssl_mode = "disable" }}
            "#
        ))
        .over(&format!("[services.{NAME}]\n{more}"));
    let mut bed = Bed::build(stage, settings, |builder| builder.kind::<Postgres>()).await;
    bed.watched = NAME;
    bed
}

/// The service under test.
pub(super) fn service(bed: &Bed) -> Service<Postgres> {
    bed.runtime.service(NAME).unwrap_or_else(|error| panic!("no service `{NAME}`: {error}"))
}

/// Its pool's figures.
pub(super) fn pool(outcome: &Outcome) -> PoolSnapshot {
    outcome.subject().pool.unwrap_or_else(|| panic!("`{NAME}` has no pool"))
}

fn number(nonce: u64) -> i64 {
    nonce.cast_signed()
}

/// Reads, each of which asks for its own nonce.
pub(super) fn read(nonce: u64) -> QueryOne<i64> {
    QueryOne::new("select $1::bigint").bind(number(nonce)).read_only()
}

fn end<T: 'static>(result: Result<Answer<T>, CallError>, right: impl FnOnce(&T) -> bool) -> End {
    match result {
        Ok(answer) => End::Answer { origin: answer.origin(), right: right(&answer), age: answer.age() },
        Err(error) => End::Error(Class::of(&error)),
    }
}

/// Reads, and one write in ten.
fn mixed(service: &Service<Postgres>) -> Shoot {
    let service = service.clone();
    Arc::new(move |shot| {
        let (service, nonce) = (service.clone(), shot.nonce);
        Box::pin(async move {
            match is_write(nonce) {
                true => {
                    let write = Execute::new("insert into written values ($1)").bind(number(nonce));
                    end(service.send(write).await, |written| *written == 1)
                }
                false => end(service.send(read(nonce)).await, |got| *got == number(nonce)),
            }
        })
    })
}

/// Runs the load on the database while `fault` comes and `heal` ends it.
pub(super) async fn run(bed: Bed, fault: impl AsyncFnOnce(&Bed), heal: impl AsyncFnOnce(&Bed)) -> Outcome {
    let shoot = mixed(&service(&bed));
    bed.run_with(shoot, RATE, fault, heal).await
}

/// The rules of section 0 as far as a database can be held to them: what a server of ours stamps on each request, it does
/// not. How often a write was made its table says, once the server is well.
pub(super) fn judge(outcome: &Outcome, server: &postgres::Postgres, report: &mut Report) {
    report.note("how calls ended", tally(&outcome.records));
    report.general();
    judge_writes(outcome, server, report);
    let calls = outcome.records.len() as f64;
    let seconds = outcome.marks.end.duration_since(outcome.marks.start).as_secs_f64();
    let attempts: u64 = outcome.subject().calls.iter().map(|call| call.attempts).sum();
    report.at_most("I4 attempts", attempts, (1.2 * calls + 10.0 * seconds.max(10.0)).ceil() as u64);
    report.specific();
    rules().judge(outcome, report);
}

/// Those that go by the callers' and our own books alone.
pub(super) fn rules() -> Rules {
    Rules {
        arrivals_are_stamped: false,
        amplification: false,
        attempts_arrive: false,
        writes: false,
        max_in_flight: MAX,
        ..Rules::default()
    }
}

fn judge_writes(outcome: &Outcome, server: &postgres::Postgres, report: &mut Report) {
    let twice = "select count(*) from (select from written group by nonce having count(*) > 1) as twice";
    report.exactly("I10 writes that were made twice", server.value(twice), "0".to_owned());
    let made: HashSet<String> = server.sql("select nonce from written").into_iter().flatten().collect();
    let is_made = |record: &Record| made.contains(&number(record.nonce).to_string());
    let writes = || outcome.records.iter().filter(|record| is_write(record.nonce));
    let denied = writes().filter(|record| {
        is_made(record) && matches!(record.end(), Some(End::Error(class)) if class.reached == Reached::No)
    });
    report.exactly("I10 writes made and denied", denied.count(), 0);
    let lost = writes().filter(|record| record.is_answer() && !is_made(record)).count();
    report.exactly("I10 writes told as made, and lost", lost, 0);
}

/// From when on to the first write that was made among those that were due then.
pub(super) fn first_write(outcome: &Outcome, from: Instant) -> Option<Duration> {
    let writes = outcome.records.iter().filter(|record| is_write(record.nonce) && record.scheduled >= from);
    let made = writes.filter(|record| record.is_answer()).filter_map(|record| record.ended.as_ref());
    made.map(|(at, _)| at.saturating_duration_since(from)).min()
}

/// That there was one in time.
pub(super) fn judge_first_write(
    name: &str,
    outcome: &Outcome,
    from: Instant,
    bound: Duration,
    report: &mut Report,
) {
    match first_write(outcome, from) {
        Some(took) => report.within(name, took, bound),
        None => report.holds(name, false, "none", format!("<= {} ms", bound.as_millis())),
    };
}

/// Ends all sessions of the service under test, and says how many.
pub(super) fn terminate(server: &postgres::Postgres) -> usize {
    let all = format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{USER}'");
    server.sql(&all).len()
}
