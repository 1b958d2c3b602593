//! What goes wrong with the libraries by themselves, reproduced with them, and absent here.

mod support;

use std::{future::Future, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use seawall::{Call, Failure, call::Attempt};
use seawall_postgres::{Access, Execute, Postgres, Query, QueryOne};
use seawall_testkit::servers::postgres::{self, SUPERUSER};
use support::{failure, snapshot, with};
use tokio::time::{Instant, timeout};
use tokio_postgres::NoTls;

/// The pool that people use, of this size.
fn raw(server: &postgres::Postgres, size: usize) -> Pool {
    let mut config = tokio_postgres::Config::new();
    let addr = server.addr();
    config.host(addr.ip().to_string()).port(addr.port()).user(SUPERUSER).dbname("postgres");
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config, NoTls, manager)).max_size(size).build().expect("it is built")
}

async fn time<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let ended = future.await;
    (ended, began.elapsed())
}

const SHORT: Duration = Duration::from_millis(200);
const SLEEPING: &str = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active' \
                        and pid <> pg_backend_pid()";

#[test]
fn raw_the_next_user_waits_for_a_statement_that_was_given_up() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        let pool = raw(&server, 1);
        let client = pool.get().await.expect("it connects");
        assert!(timeout(SHORT, client.query_one("select pg_sleep(2)", &[])).await.is_err());
        drop(client);
        let client = pool.get().await.expect("it is the same one");
        let (_, took) = time(client.query_one("select 1", &[])).await;
        assert!(took > Duration::from_secs(1), "it waited for the sleep: {took:?}");
    });
}

#[test]
fn a_statement_that_was_given_up_is_cancelled_before_anybody_else_waits_for_it() {
    with("pool = { max = 1 }", async |server, orders, _| {
        let sleep = || Query::<()>::new("select pg_sleep(20)").read_only();
        for by_deadline in [true, false] {
            if by_deadline {
                let error = orders.send(sleep()).deadline(SHORT).await.expect_err("it takes too long");
                assert!(error.is_timeout(), "{error:?}");
            } else {
                assert!(timeout(SHORT, orders.send(sleep())).await.is_err(), "the caller goes away");
            }
            let (one, took) = time(orders.send(QueryOne::<i32>::new("select 1"))).await;
            assert_eq!(*one.expect("it answers"), 1);
            assert!(took < Duration::from_millis(500), "nobody waits for the sleep: {took:?}");
            assert_eq!(server.value(SLEEPING), "0", "nothing is left at the server");
        }
    });
}

/// Leaves something behind, as code of one's own may.
struct Leave(&'static str);

impl Call<Postgres> for Leave {
    type Reply = ();
    const NAME: &'static str = "Leave";

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<(), Failure> {
        let session = postgres.session(attempt, Access::ReadWrite).await?;
        match self.0.strip_prefix("batch ") {
            Some(sql) => session.batch(sql).await,
            None => session.execute(self.0, &[]).await.map(drop),
        }
    }
}

#[test]
fn raw_a_transaction_and_a_path_leak_to_the_next_user() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        let pool = raw(&server, 1);
        let client = pool.get().await.expect("it connects");
        client.batch_execute("set search_path = elsewhere; begin").await.expect("it is done");
        drop(client);
        let client = pool.get().await.expect("it is the same one");
        let path: String = client.query_one("show search_path", &[]).await.expect("it answers").get(0);
        assert_eq!(path, "elsewhere", "the path leaks");
        let noted: bool =
            client.query_one("select xact_start < statement_timestamp() from pg_stat_activity where pid = pg_backend_pid()", &[])
                .await
                .expect("it answers")
                .get(0);
        assert!(noted, "so does the transaction");
    });
}

#[test]
fn nothing_that_a_call_leaves_meets_the_next() {
    with("pool = { max = 1 }", async |server, orders, runtime| {
        server.sql("create role other; grant other to app");
        let state = "select concat_ws(' ', current_user, current_setting('search_path'), \
                     (select count(*) from pg_locks where locktype = 'advisory'), \
                     (select count(*) from pg_class where relname = 'tmp'), \
                     (select count(*) from pg_listening_channels()), \
                     (select count(*) from pg_prepared_statements where name = 'mine'), \
                     (select count(*) from pg_cursors where name = 'c'), \
                     (select xact_start = statement_timestamp() or xact_start = transaction_timestamp() \
                      from pg_stat_activity where pid = pg_backend_pid()))";
        let clean = "app \"$user\", public 0 0 0 0 0 t";
        for left in [
            "begin",
            "set role other",
            "set search_path = elsewhere",
            "select set_config('search_path', 'elsewhere', false)",
            "select pg_advisory_lock(7)",
            "create temporary table tmp (id int)",
            "create temp table tmp as select 1 as id",
            "select 1 as id into temp tmp",
            "create table pg_temp.tmp as select 1 as id",
            "select 1 as id into pg_temp.tmp",
            "update pg_settings set setting = 'elsewhere' where name = 'search_path'",
            "listen news",
            "prepare mine as select 1",
            "batch begin; declare c cursor with hold for select 1; commit",
            "batch begin; select 1/0",
            "batch set role other; begin",
            "batch begin; set local search_path = elsewhere; select pg_advisory_lock(8)",
        ] {
            let _ = orders.send(Leave(left)).await;
            let found = orders.send(QueryOne::<String>::new(state)).await.expect(left);
            assert_eq!(*found, clean, "{left}");
        }
        let pool = snapshot(&runtime).pool.expect("it has one");
        assert!(
            pool.created <= 2,
            "all but the named statement are taken back on the connection itself: {pool:?}"
        );
    });
}

#[test]
fn a_thousand_leaks_meet_nobody() {
    with("pool = { max = 4 }\nbulkhead = { max_queue = 2000 }\ntimeout = \"20s\"", async |_, orders, _| {
        let leaks = (0..1000).map(|number| {
            let orders = orders.clone();
            async move {
                if number % 2 == 0 {
                    let left =
                        ["begin", "set search_path = elsewhere", "set statement_timeout = 1"][number % 3];
                    orders.send(Leave(left)).await.expect("it is done");
                }
                let path =
                    orders.send(QueryOne::<String>::new("show search_path")).await.expect("it answers");
                assert_eq!(*path, "\"$user\", public");
            }
        });
        let mut all: futures_util::stream::FuturesUnordered<_> = leaks.collect();
        while futures_util::StreamExt::next(&mut all).await.is_some() {}
    });
}

#[test]
fn raw_a_pool_waits_for_ever_and_keeps_what_is_idle() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        let pool = raw(&server, 1);
        let _client = pool.get().await.expect("it connects");
        assert!(timeout(SHORT, pool.get()).await.is_err(), "no limit of its own ends it");
    });
}

#[test]
fn what_is_idle_is_closed_and_what_is_to_be_there_is_made() {
    with("pool = { max = 4, idle_timeout = \"200ms\", min_idle = 1 }", async |server, orders, _| {
        let sleep = || Query::<()>::new("select pg_sleep(0.2)").read_only();
        let (a, b, c) =
            futures_util::future::join3(orders.send(sleep()), orders.send(sleep()), orders.send(sleep()))
                .await;
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        let sessions = "select count(*) from pg_stat_activity where usename = 'app'";
        assert!(server.value(sessions).parse::<u32>().expect("a number") >= 3);
        // One on each of the shards that were used at most.
        server.wait_for(&format!("select ({sessions}) <= 2"), "t").await;
        server.wait_for(&format!("select ({sessions}) >= 1"), "t").await;
    });
}

#[test]
fn raw_connections_that_hang_cost_a_timeout_each() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        let mut config = deadpool_postgres::PoolConfig::new(4);
        config.timeouts.recycle = Some(SHORT);
        config.timeouts.create = Some(SHORT);
        let mut to = tokio_postgres::Config::new();
        to.host("127.0.0.1").port(server.addr().port()).user(SUPERUSER).dbname("postgres");
        let manager =
            Manager::from_config(to, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Verified });
        let pool = Pool::builder(manager)
            .config(config)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .expect("it is built");
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(pool.get().await.expect("it connects"));
        }
        drop(all);
        server.freeze();
        let (got, took) = time(pool.get()).await;
        assert!(got.is_err() && took >= SHORT * 4, "{took:?}");
        server.thaw();
    });
}

#[test]
fn connections_that_hung_are_distrusted_all_at_once() {
    let more = "pool = { max = 4, shards = 1 }\nbreaker = false\nretry = false\nconnect_timeout = \"500ms\"";
    with(more, async |server, orders, _| {
        let sleep = || Query::<()>::new("select pg_sleep(0.1)").read_only();
        let four = [sleep(), sleep(), sleep(), sleep()].map(|call| orders.send(call));
        assert!(futures_util::future::join_all(four).await.iter().all(Result::is_ok));
        server.freeze();
        let error = orders.send(sleep()).deadline(SHORT).await.expect_err("it hangs");
        assert!(error.is_timeout());
        // Meanwhile the first one is given up, and the others with it: the next call makes a connection, and no more.
        let (error, took) = time(orders.send(sleep()).deadline(Duration::from_secs(2))).await;
        let failure = failure(error.expect_err("it hangs still"));
        assert!(took < Duration::from_millis(1500), "{took:?}: {failure:?}");
        server.thaw();
        orders.send(sleep()).await.expect("it is well again");
    });
}

#[test]
fn a_connection_outlives_the_arbiter_of_a_caller() {
    with("pool = { max = 2 }", async |_, orders, _| {
        let id = || QueryOne::<i32>::new("select pg_backend_pid()");
        let arbiter = actix_rt::Arbiter::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let there = orders.clone();
        arbiter.spawn(async move {
            let _ = done.send(there.send(id()).await.map(|id| *id));
        });
        ended.await.expect("it ends").expect("it answers");
        arbiter.stop();
        let _ = arbiter.join();
        orders.send(id()).await.expect("it answers");
        orders.send(Execute::new("select 1")).await.expect("it answers");
    });
}
