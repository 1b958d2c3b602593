//! Servers that die, hang, move, and speak TLS.

mod support;

use std::time::Duration;

use seawall::{
    Service,
    downstream::{Blame, Symptom},
};
use seawall_postgres::{Execute, Postgres, QueryOne};
use seawall_testkit::{TlsIdentity, servers::postgres};
use support::{PLAIN, failure, password_file, says, settings, snapshot, start, with};
use tokio::time::Instant;

const QUICK: &str = "retry = { attempts = 2, backoff = \"1ms\" }\n\
                     breaker = { reset_timeout = \"100ms\", reset_max = \"200ms\", ramp = \"0s\" }";

fn one() -> QueryOne<i32> {
    QueryOne::new("select 1").read_only()
}

/// Calls until one succeeds; how long that took.
async fn recovers(orders: &Service<Postgres>) -> Duration {
    let began = Instant::now();
    loop {
        match orders.send(one()).deadline(Duration::from_millis(500)).await {
            Ok(_) => return began.elapsed(),
            Err(error) => assert!(began.elapsed() < Duration::from_secs(5), "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_server_that_was_killed_fails_fast_and_comes_back() {
    with(QUICK, async |server, orders, runtime| {
        orders.send(one()).await.expect("it answers");
        server.kill();
        for _ in 0..30 {
            let began = Instant::now();
            orders.send(one()).await.expect_err("it is gone");
            assert!(began.elapsed() < Duration::from_millis(300), "it fails fast: {:?}", began.elapsed());
        }
        server.restart().await;
        let took = recovers(&orders).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        let pool = snapshot(&runtime).pool.expect("it has one");
        assert_eq!((pool.open, pool.in_use, pool.waiting), (1, 0, 0), "{pool:?}");
    });
}

#[test]
fn a_server_that_hangs_costs_its_deadline_and_late_answers_go_to_nobody() {
    with(&format!("pool = {{ max = 8 }}\n{QUICK}"), async |server, orders, _| {
        let eight = (0..8).map(|_| orders.send(QueryOne::<String>::new("select pg_sleep(0.1)::text || 'x'")));
        futures_util::future::join_all(eight).await;
        server.freeze();
        let deadline = Duration::from_millis(300);
        let began = Instant::now();
        let hanging = (0..8).map(|number| {
            orders
                .send(QueryOne::<i32>::new("select $1::int").bind(1000 + number).read_only())
                .deadline(deadline)
        });
        for error in futures_util::future::join_all(hanging).await {
            assert!(error.is_err(), "nobody answers");
        }
        assert!(began.elapsed() < deadline + Duration::from_millis(100), "{:?}", began.elapsed());
        server.thaw();
        recovers(&orders).await;
        for number in 0..50 {
            let same =
                orders.send(QueryOne::<i32>::new("select $1::int").bind(number)).await.expect("it answers");
            assert_eq!(*same, number, "nobody gets another's answer");
        }
        server
            .wait_for("select count(*) from pg_stat_activity where usename = 'app' and state = 'active'", "0")
            .await;
    });
}

#[test]
fn sessions_that_an_administrator_ends_cost_reads_nothing() {
    with("pool = { max = 4, shards = 1 }", async |server, orders, _| {
        for _ in 0..20 {
            let four = (0..4).map(|_| {
                orders.send(QueryOne::<String>::new("select pg_sleep(0.01)::text || 'x'").read_only())
            });
            assert!(futures_util::future::join_all(four).await.iter().all(Result::is_ok));
            server.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'");
            orders.send(one()).await.expect("a read is made again");
        }
    });
}

#[test]
fn a_server_that_turns_read_only_is_no_fault_and_sessions_are_recycled() {
    with("retry = false", async |server, orders, _| {
        server.sql("create table kept (id int); grant all on kept to app");
        let write = || Execute::new("insert into kept values (1)");
        orders.send(write()).await.expect("it is written");
        let switch = |value: &str| {
            server.sql(&format!("alter system set default_transaction_read_only = {value}"));
            server.sql("select pg_reload_conf()");
        };
        switch("on");
        let began = Instant::now();
        let failure = loop {
            match orders.send(write()).await {
                Ok(_) => assert!(began.elapsed() < Duration::from_secs(5), "it never turns"),
                Err(error) => break failure(error),
            }
        };
        assert_eq!((failure.get_code(), failure.blame()), (Some("25006"), Blame::Topology));
        orders.send(one()).await.expect("reads go on");
        switch("off");
        let began = Instant::now();
        while orders.send(write()).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(5), "it stays");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn writes_follow_the_server_that_takes_them() {
    actix_rt::System::new().block_on(async {
        let primary = postgres::Postgres::start().await;
        primary.sql("create table kept (id int); grant all on kept to app");
        let replica = primary.replica().await;
        replica.wait_for("select count(*) from pg_class where relname = 'kept'", "1").await;
        let (first, second) = (primary.addr().to_string(), replica.addr().to_string());
        let url = format!("url = \"postgres://{first}/postgres\"");
        // The replica stands first: it is found to take no writes.
        let urls = format!("urls = [\"postgres://{second}\", \"postgres://{first}/postgres\"]");
        let (runtime, orders) = start(settings(&first, PLAIN, QUICK).replace(&url, &urls)).await;
        let write = || Execute::new("insert into kept values (1)").idempotent();
        for _ in 0..3 {
            orders.send(write()).await.expect("it is written");
        }
        primary.kill();
        assert!(orders.send(write()).await.is_err(), "nobody takes it");
        replica.promote().await;
        let began = Instant::now();
        while orders.send(write()).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(2), "it is not found");
            tokio::task::yield_now().await;
        }
        runtime.drain().await;
    });
}

#[test]
fn writes_leave_a_server_that_is_silent() {
    actix_rt::System::new().block_on(async {
        let primary = postgres::Postgres::start().await;
        primary.sql("create table kept (id int); grant all on kept to app");
        let replica = primary.replica().await;
        replica.wait_for("select count(*) from pg_class where relname = 'kept'", "1").await;
        let (first, second) = (primary.addr().to_string(), replica.addr().to_string());
        let url = format!("url = \"postgres://{first}/postgres\"");
        let urls = format!("urls = [\"postgres://{first}\", \"postgres://{second}/postgres\"]");
        let more = format!("connect_timeout = \"600ms\"\n{QUICK}");
        let (runtime, orders) = start(settings(&first, PLAIN, &more).replace(&url, &urls)).await;
        primary.freeze();
        replica.promote().await;
        let write = || Execute::new("insert into kept values (1)").idempotent();
        let began = Instant::now();
        while orders.send(write()).deadline(Duration::from_secs(1)).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(5), "it is not found");
            tokio::task::yield_now().await;
        }
        primary.thaw();
        runtime.drain().await;
    });
}

#[test]
fn reads_go_to_replicas_and_to_the_primary_where_none_can_be_reached() {
    actix_rt::System::new().block_on(async {
        let primary = postgres::Postgres::start().await;
        let replica = primary.replica().await;
        let table = format!("{PLAIN}\nread_only_endpoints = [\"{}\"]", replica.addr());
        let (runtime, orders) = start(settings(&primary.addr().to_string(), &table, "")).await;
        let port = || QueryOne::<i32>::new("select inet_server_port()");
        let at = |server: &postgres::Postgres| i32::from(server.addr().port());
        for _ in 0..5 {
            assert_eq!(*orders.send(port().read_only()).await.expect("it answers"), at(&replica));
            assert_eq!(*orders.send(port()).await.expect("it answers"), at(&primary));
        }
        let wrong = QueryOne::<i32>::new("create table never (id int)").read_only();
        let failure = failure(orders.send(wrong).await.expect_err("it is a write"));
        assert_eq!((failure.get_code(), failure.blame()), (Some("25006"), Blame::Caller));
        replica.kill();
        assert_eq!(*orders.send(port().read_only()).await.expect("the primary answers"), at(&primary));
        runtime.drain().await;
    });
}

/// Calls a server of this identity in this mode.
async fn encrypted(identity: TlsIdentity, mode: &str, trusts: bool) -> Result<bool, seawall::CallError> {
    let server = postgres::Postgres::builder().tls(identity).start().await;
    let ca = std::env::temp_dir().join(format!(
        "seawall-postgres-ca-{}-{}",
        std::process::id(),
        server.addr().port()
    ));
    std::fs::write(&ca, server.ca_pem().expect("it has one")).expect("it is written");
    let tls =
        if trusts { format!("tls = {{ ca = {{ file = \"{}\" }} }}", ca.display()) } else { String::new() };
    let table = format!("ssl_mode = \"{mode}\"");
    let (runtime, orders) = start(settings(
        &server.addr().to_string(),
        &table,
        &format!("retry = false\nbreaker = false\n{tls}"),
    ))
    .await;
    let call = QueryOne::<bool>::new("select ssl from pg_stat_ssl where pid = pg_backend_pid()");
    let answer = orders.send(call).await.map(|answer| *answer);
    if answer.is_ok() {
        // A statement is cancelled over TLS too.
        let sleep = QueryOne::<String>::new("select pg_sleep(20)::text").read_only();
        let _ = orders.send(sleep).deadline(Duration::from_millis(200)).await;
        server
            .wait_for("select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'", "0")
            .await;
    }
    runtime.drain().await;
    let _ = std::fs::remove_file(ca);
    answer
}

#[test]
fn tls_is_what_libpq_means_by_its_modes() {
    actix_rt::System::new().block_on(async {
        let sound = TlsIdentity::new;
        for (identity, mode, trusts, expected) in [
            (sound(), "disable", false, Ok(false)),
            (sound(), "prefer", false, Ok(true)),
            (sound(), "require", false, Ok(true)),
            (sound().wrong_host(), "require", true, Ok(true)),
            (sound().wrong_host(), "verify-ca", true, Ok(true)),
            (sound().wrong_host(), "verify-full", true, Err("tls")),
            (sound().self_signed(), "require", false, Ok(true)),
            (sound().self_signed(), "require", true, Err("tls")),
            (sound().self_signed(), "verify-ca", true, Err("tls")),
            (sound().expired(), "verify-ca", true, Err("tls")),
            (sound(), "verify-full", true, Ok(true)),
        ] {
            let what = format!("{identity:?} in {mode}, trusting: {trusts}");
            match (encrypted(identity, mode, trusts).await, expected) {
                (Ok(encrypted), Ok(expected)) => assert_eq!(encrypted, expected, "{what}"),
                (Err(error), Err(code)) => {
                    assert!(!says(&error, postgres::PASSWORD) && !says(&error, password_file()), "{error:?}");
                    let failure = failure(error);
                    assert_eq!(
                        (failure.get_code(), failure.looked_like()),
                        (Some(code), Symptom::Connect),
                        "{what}"
                    );
                }
                (ended, _) => panic!("{what}: {ended:?}"),
            }
        }
    });
}

#[test]
fn writes_that_a_read_only_server_refuses_do_not_cost_a_connection_each() {
    with("retry = false\nbreaker = false", async |server, orders, runtime| {
        let turn = |to: &str| {
            server.sql(&format!("alter system set default_transaction_read_only = {to}"));
            server.sql("select pg_reload_conf()");
        };
        server.sql("create table written (id int); grant all on written to app");
        let write = || orders.send(Execute::new("insert into written values (1)"));
        write().await.expect("it is made");
        turn("on");
        let (began, mut refused) = (Instant::now(), 0);
        while refused < 100 {
            match write().await {
                // The server hears of its new settings when it comes to it.
                Ok(_) => assert!(began.elapsed() < Duration::from_secs(5)),
                Err(error) => {
                    assert_eq!(failure(error).get_code(), Some("25006"));
                    refused += 1;
                }
            }
        }
        let pool = snapshot(&runtime).pool.expect("it has one");
        let at_most = 2 + began.elapsed().as_secs();
        assert!((2..=at_most + 1).contains(&pool.created), "one each second: {pool:?}");
        turn("off");
        let back = Instant::now();
        while write().await.is_err() {
            assert!(back.elapsed() < Duration::from_secs(5));
        }
    });
}
