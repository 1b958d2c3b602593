//! Whose fault an error is, and what its text must not hold.

mod support;

use seawall::{
    Service,
    downstream::{Blame, Reached, Stage, Symptom},
};
use seawall_postgres::{Execute, Postgres, Query, QueryOne};
use seawall_testkit::servers::postgres::{self, PASSWORD};
use support::{PLAIN, failure, password_file, says, settings, start, with};

async fn code_and_blame(orders: &Service<Postgres>, call: Execute) -> (String, Blame, Reached) {
    let failure = failure(orders.send(call).await.expect_err("it fails"));
    (failure.get_code().unwrap_or_default().to_owned(), failure.blame(), failure.has_reached())
}

#[test]
fn errors_are_blamed_on_whom_they_are_to_be() {
    with("breaker = false\nretry = false", async |server, orders, _| {
        server.sql(
            "create table users (id int primary key, email text constraint one_email unique); grant all on users to app; \
             insert into users values (1, 'ann@shop'); \
             create function fail(code text) returns void language plpgsql as \
             $$ begin raise exception 'canary-raised' using errcode = code; end $$",
        );
        let insert = || Execute::new("insert into users values (2, $1)").bind("ann@shop".to_owned());
        let error = orders.send(insert()).await.expect_err("it is there");
        assert!(!says(&error, "ann@shop"), "{error:?}");
        let violated = failure(error);
        assert!(violated.to_string().contains("constraint \"one_email\", table \"users\""), "{violated}");
        assert_eq!(violated.get_code(), Some("23505"));

        let number = Execute::new("select $1::text::int").bind("canary-number".to_owned());
        let error = orders.send(number).await.expect_err("it is none");
        assert!(!says(&error, "canary"), "{error:?}");

        let missing = orders.send(Query::<i32>::new("select * from userz")).await.expect_err("there is none");
        assert!(says(&missing, "relation \\\"userz\\\" does not exist"), "{missing:?}");

        use Blame::*;
        for (code, blame, reached) in [
            ("23503", Caller, Reached::Yes),
            ("42501", Caller, Reached::Yes),
            ("P0001", Caller, Reached::Yes),
            ("40001", Overload, Reached::No),
            ("40P01", Overload, Reached::No),
            ("53200", Overload, Reached::Yes),
            ("53300", Overload, Reached::Yes),
            ("57P01", Topology, Reached::Maybe),
            ("57P03", Overload, Reached::Maybe),
            ("25006", Topology, Reached::No),
            ("58030", Downstream, Reached::Yes),
            ("XX000", Downstream, Reached::Yes),
            ("08006", Downstream, Reached::Maybe),
            ("ZZ999", Downstream, Reached::Yes),
        ] {
            let call = Execute::new("select fail($1)").bind(code.to_owned());
            let error = orders.send(call).await.expect_err(code);
            assert!(!says(&error, "canary-raised"), "{code}");
            let call = Execute::new("select fail($1)").bind(code.to_owned());
            assert_eq!(code_and_blame(&orders, call).await, (code.to_owned(), blame, reached), "{code}");
        }
        let wrong = Execute::new("select $1::int").bind("seven".to_owned());
        let (code, blame, _) = code_and_blame(&orders, wrong).await;
        assert_eq!((&*code, blame), ("request", Caller));
    });
}

#[test]
fn the_server_ends_what_outlasts_its_call() {
    with("breaker = false\nretry = false", async |_, orders, _| {
        let limit = QueryOne::<String>::new("show statement_timeout");
        let limit = orders.send(limit).await.expect("it answers");
        let limit = limit.strip_suffix("ms").expect("milliseconds").parse::<u64>().expect("a number");
        assert!((3_000..6_000).contains(&limit), "the call has 3 s: {limit}");
        let error = orders.send(Execute::new("set statement_timeout = 50; ")).await;
        assert!(error.is_ok(), "{error:?}");
        let short = orders.send(Slow).await.expect_err("the server ends it");
        let failure = failure(short);
        assert_eq!(failure.get_code(), Some("57014"));
        assert_eq!(failure.looked_like(), Symptom::Timeout(Stage::Attempt));
        assert_eq!(failure.blame(), Blame::Downstream);
    });
}

/// Sets a limit of its own, and outlasts it.
struct Slow;

impl seawall::Call<Postgres> for Slow {
    type Reply = u64;
    const NAME: &'static str = "Slow";

    async fn attempt(
        &self,
        postgres: &Postgres,
        attempt: &seawall::call::Attempt,
    ) -> Result<u64, seawall::Failure> {
        let session = postgres.session(attempt, seawall_postgres::Access::ReadWrite).await?;
        session.batch("set statement_timeout = 50").await?;
        session.execute("select pg_sleep(10)", &[]).await
    }
}

#[test]
fn who_is_not_let_in_is_told_why_and_no_secret_is() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        let addr = server.addr().to_string();
        let wrong = std::env::temp_dir().join(format!("seawall-postgres-wrong-{}", std::process::id()));
        std::fs::write(&wrong, "canary-wrong").expect("it is written");
        let plain = settings(&addr, PLAIN, "retry = false\nbreaker = false");
        let nowhere = plain.replace("/postgres\"", "/nowhere\"");
        let refused = plain.replace(&addr, "127.0.0.1:1");
        for (text, code, said) in [
            (plain.replace(password_file(), &wrong.display().to_string()), "28P01", "the password is wrong"),
            (nowhere, "3D000", "the database does not exist"),
            (refused, "refused", "the server refused the connection"),
            (plain.replace("ssl_mode = \"disable\"", "ssl_mode = \"require\""), "tls", "speaks no TLS"),
        ] {
            let (runtime, orders) = start(text).await;
            let error = orders.send(Query::<i32>::new("select 1")).await.expect_err(code);
            assert!(!says(&error, "canary") && !says(&error, PASSWORD), "{error:?}");
            let failure = failure(error);
            assert_eq!(
                (failure.get_code(), failure.blame(), failure.has_reached()),
                (Some(code), Blame::Downstream, Reached::No)
            );
            assert!(failure.to_string().contains(said), "{failure}");
            let shown = format!("{:?} {:?}", runtime.explain_settings("orders"), runtime.snapshot());
            assert!(!shown.contains(PASSWORD), "{shown}");
            runtime.drain().await;
        }
        let _ = std::fs::remove_file(wrong);
    });
}

#[test]
fn a_server_without_a_place_is_not_stormed() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::builder()
            .setting("max_connections", "6")
            .setting("superuser_reserved_connections", "5")
            .start()
            .await;
        let text = settings(
            &server.addr().to_string(),
            PLAIN,
            "retry = false\nbreaker = false\npool = { max = 4, shards = 1 }",
        );
        let (runtime, orders) = start(text).await;
        // The one place there is; the superuser's sessions count too, so nobody asks before it is taken.
        orders.send(QueryOne::<i32>::new("select 1")).await.expect("it has its place");
        let hold = tokio::spawn({
            let orders = orders.clone();
            async move {
                let sleep = Query::<()>::new("select pg_sleep(30)").read_only();
                orders.send(sleep).deadline(std::time::Duration::from_secs(30)).await.map(drop)
            }
        });
        server
            .wait_for(
                "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and usename = 'app'",
                "1",
            )
            .await;
        let began = tokio::time::Instant::now();
        let mut refused = 0;
        while began.elapsed() < std::time::Duration::from_secs(1) {
            let failure =
                failure(orders.send(QueryOne::<i32>::new("select 1")).await.expect_err("there is no place"));
            assert_eq!((failure.get_code(), failure.blame()), (Some("53300"), Blame::Overload));
            refused += 1;
            tokio::task::yield_now().await;
        }
        let log = server.log();
        let tries = log
            .iter()
            .filter(|line| line.contains("remaining connection slots") || line.contains("too many clients"))
            .count();
        assert!(refused > 100 && (1..=5).contains(&tries), "{refused} calls, {tries} tries");
        assert!(!hold.is_finished(), "it has its place still");
        hold.abort();
        runtime.drain().await;
    });
}
