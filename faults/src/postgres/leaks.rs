//! Calls leave their session changed, and go.

use std::time::Duration;

use seawall::call::{Attempt, Call};
use seawall::downstream::Failure;
use seawall_postgres::{Access, Postgres as Kind, QueryOne};
use seawall_testkit::servers::postgres::{Postgres, USER};

use super::database;
use crate::harness::{Bed, Report, Rules, Stage};

crate::scenario!(P11, "PostgreSQL's sessions are left changed", beside, play);

/// What is left, one statement after the other, as a call would make them.
const LEAKS: [&[&str]; 8] = [
    &["begin", "insert into leaked values (1)"],
    &["set role other"],
    &["set search_path to elsewhere"],
    &["create temp table left_behind (id int)"],
    &["select pg_advisory_lock(7)"],
    &["select set_config('lock_timeout', '1234', false)"],
    &["begin", "set local search_path to elsewhere", "select broken from nowhere"],
    &["declare left_open cursor with hold for select 1", "listen gossip"],
];

/// Everything of it that a session shows.
const LOOK: &str = "select concat_ws(',',
    case when current_user <> session_user then 'role' end,
    case when current_setting('search_path') <> '\"$user\", public' then 'search_path' end,
    case when current_setting('lock_timeout') <> '0' then 'lock_timeout' end,
    case when to_regclass('pg_temp.left_behind') is not null then 'temp table' end,
    case when exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) then 'lock' end,
    case when exists (select from pg_cursors where name = 'left_open') then 'cursor' end,
    case when exists (select from pg_listening_channels()) then 'listening' end,
    case when exists (select from public.leaked) then 'transaction' end)";

struct Leak(&'static [&'static str]);

impl Call<Kind> for Leak {
    type Reply = ();
    const NAME: &'static str = "Leak";

    async fn attempt(&self, postgres: &Kind, attempt: &Attempt) -> Result<(), Failure> {
        let session = postgres.session(attempt, Access::ReadWrite).await?;
        for statement in self.0 {
            session.execute(statement, &[]).await?;
        }
        Ok(())
    }
}

async fn play(stage: Stage) -> Report {
    let server = database::server(Postgres::builder()).await;
    server.sql(&format!(
        "create role other; grant other to {USER}; create schema elsewhere; create table leaked (id int);
         grant all on leaked to {USER}, other"
    ));
    // One connection, so that who comes next has the very session. `select broken` fails on purpose.
    let one =
        "breaker = false\npool = { max = 1, shards = 1 }\nbulkhead = { max_in_flight = 1, max_queue = 10 }";
    let bed = database::bed(&stage, &[&server], one).await;
    let times = stage.either(1_000, 200);
    let mut random = stage.random();
    let during = async |bed: &Bed| {
        let service = database::service(bed);
        let (mut left, mut seen, mut failed) = (0, Vec::new(), 0);
        for _ in 0..times {
            let leak = LEAKS[random.below(LEAKS.len() as u64) as usize];
            let broken = leak.iter().any(|statement| statement.contains("broken"));
            left += u64::from(service.send(Leak(leak)).await.is_err() == broken);
            match service.send(QueryOne::<String>::new(LOOK).read_only()).await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => seen.push(format!("{leak:?}: {}", *found)),
                Err(_) => failed += 1,
            }
        }
        (left, seen, failed)
    };
    let ((left, seen, failed), outcome) = bed.play(during).await;
    let mut report = Report::default();
    report.exactly("sessions that were left changed", left, times);
    let example = seen.first().cloned().unwrap_or_default();
    report.holds("seen by the next", seen.is_empty(), format!("{} of {times} {example}", seen.len()), "= 0");
    report.exactly("next calls that failed", failed, 0);
    let pool = database::pool(&outcome);
    report.at_least("times that a connection was lent again", pool.reused, times);
    report.note("connections made", pool.created);
    let deadline = Some(Duration::from_secs(1));
    Rules { deadline, amplification: false, recovery: false, books: false, ..database::rules() }
        .judge(&outcome, &mut report);
    report
}
