//! Transactions as one message.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use seawall::{
    Call, Failure,
    call::Attempt,
    downstream::{Blame, Reached},
};
use seawall_postgres::{Access, Execute, Isolation, Postgres, QueryOne, Transaction, Tx};
use seawall_testkit::{Direction, FaultProxy, servers::postgres};
use support::{PLAIN, failure, settings, start, with};
use tokio::time::timeout;

const TABLE: &str = "create table accounts (id bigint primary key, balance bigint not null check (balance >= 0)); \
                     grant all on accounts to app; insert into accounts values (1, 100), (2, 0)";

async fn transfer(tx: Tx, amount: i64) -> Result<u64, Failure> {
    tx.execute("update accounts set balance = balance + $1 where id = 2", &[&amount]).await?;
    tx.execute("update accounts set balance = balance - $1 where id = 1", &[&amount]).await
}

#[test]
fn all_of_it_or_nothing() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        let call = |amount| Transaction::new(Isolation::Serializable, move |tx| transfer(tx, amount));
        orders.send(call(30)).await.expect("it is committed");
        let failure = failure(orders.send(call(300)).await.expect_err("there is not so much"));
        assert_eq!((failure.get_code(), failure.blame()), (Some("23514"), Blame::Caller));
        let balances = server.sql("select balance from accounts order by id");
        assert_eq!(balances, [["70"], ["30"]]);
        let swallowed = Transaction::new(Isolation::ReadCommitted, |tx: Tx| async move {
            let _ = transfer(tx, 300).await;
            Ok(())
        });
        let failure = support::failure(orders.send(swallowed).await.expect_err("it was rolled back"));
        assert!(failure.to_string().contains("was rolled back"), "{failure}");
        // A handle that was kept is good for nothing.
        let kept = Transaction::new(Isolation::ReadCommitted, |tx: Tx| async move { Ok(tx) }).read_only();
        let kept = orders.send(kept).await.expect("it is committed");
        let late = kept.execute("delete from accounts", &[]).await.expect_err("it has ended");
        assert!(late.to_string().contains("has ended"), "{late}");
        assert_eq!(server.value("select sum(balance) from accounts"), "100");
    });
}

#[test]
fn a_handle_that_was_kept_keeps_no_connection() {
    with("pool = { max = 1 }\nretry = false", async |server, orders, _| {
        server.sql(TABLE);
        let kept = Arc::new(std::sync::OnceLock::new());
        let keep = Arc::clone(&kept);
        let call = Transaction::new(Isolation::ReadCommitted, move |tx: Tx| {
            let _ = keep.set(tx.clone());
            async move {
                transfer(tx, 1).await?;
                std::future::pending::<Result<(), Failure>>().await
            }
        });
        assert!(timeout(Duration::from_millis(300), orders.send(call)).await.is_err(), "it never ends");
        let sum = QueryOne::<i64>::new("select balance from accounts where id = 1");
        let sum = orders.send(sum).deadline(Duration::from_secs(3)).await;
        assert_eq!(*sum.expect("the connection is free"), 100);
        let tx: &Tx = kept.get().expect("it is kept");
        let late = tx.execute("delete from accounts", &[]).await.expect_err("it has ended");
        assert!(late.to_string().contains("has ended"), "{late}");
    });
}

#[test]
fn what_could_not_be_serialized_is_run_again() {
    with("pool = { max = 8 }\nretry_budget = { minimum_per_second = 1000 }", async |server, orders, _| {
        server.sql(TABLE);
        server.sql("update accounts set balance = 1000");
        let runs = Arc::new(AtomicU32::new(0));
        let all_have_read = Arc::new(tokio::sync::Barrier::new(4));
        let call = || {
            let (runs, all_have_read) = (Arc::clone(&runs), Arc::clone(&all_have_read));
            Transaction::new(Isolation::Serializable, move |tx: Tx| {
                let run = runs.fetch_add(1, SeqCst);
                let all_have_read = Arc::clone(&all_have_read);
                async move {
                    let sum: i64 = tx.query_one("select sum(balance)::bigint from accounts", &[]).await?;
                    if run < 4 {
                        all_have_read.wait().await;
                    }
                    tx.execute("update accounts set balance = $1 where id = 1", &[&(sum - 1000 + 1)]).await
                }
            })
        };
        let calls = (0..4).map(|_| orders.send(call()));
        let ended = futures_util::future::join_all(calls).await;
        let done = ended.iter().filter(|ended| ended.is_ok()).count();
        for error in ended.into_iter().filter_map(Result::err) {
            assert_eq!(failure(error).get_code(), Some("40001"));
        }
        let balance: usize =
            server.value("select balance from accounts where id = 1").parse().expect("a number");
        assert_eq!(balance, 1000 + done, "each that was committed, once");
        assert!(runs.load(SeqCst) > 4 && done > 0, "{} runs, {done} done", runs.load(SeqCst));
    });
}

#[test]
fn a_caller_who_goes_away_before_the_commit_leaves_nothing() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        let slow = Transaction::new(Isolation::ReadCommitted, |tx: Tx| async move {
            tx.execute("update accounts set balance = 7", &[]).await?;
            tx.execute("select pg_sleep(20)", &[]).await
        });
        assert!(timeout(Duration::from_millis(200), orders.send(slow)).await.is_err());
        let read = QueryOne::<i64>::new("select balance from accounts where id = 1 for update nowait");
        assert_eq!(*orders.send(read).await.expect("no lock is left"), 100);
        assert_eq!(
            server.value("select count(*) from pg_stat_activity where state like '%transaction%'"),
            "0"
        );
    });
}

#[test]
fn a_connection_that_breaks_before_the_commit_is_no_unknown_outcome() {
    with("pool = { max = 2 }", async |server, orders, _| {
        server.sql(TABLE);
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let call = Transaction::new(Isolation::ReadCommitted, move |tx: Tx| {
            let run = counted.fetch_add(1, SeqCst);
            async move {
                tx.execute("update accounts set balance = balance - 1 where id = 1", &[]).await?;
                if run == 0 {
                    tx.execute("select pg_terminate_backend(pg_backend_pid())", &[]).await?;
                }
                Ok(())
            }
        });
        orders.send(call).await.expect("it is run again");
        assert_eq!(
            (runs.load(SeqCst), &*server.value("select balance from accounts where id = 1")),
            (2, "99")
        );
    });
}

#[test]
fn a_commit_that_is_not_answered_is_unknown_and_not_run_again() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        server.sql(TABLE);
        let proxy = FaultProxy::start(server.addr());
        let (runtime, orders) = start(settings(&proxy.addr().to_string(), PLAIN, "")).await;
        let (proxy, runs) = (Arc::new(proxy), Arc::new(AtomicU32::new(0)));
        let (there, counted) = (Arc::clone(&proxy), Arc::clone(&runs));
        let call = Transaction::new(Isolation::ReadCommitted, move |tx: Tx| {
            counted.fetch_add(1, SeqCst);
            let proxy = Arc::clone(&there);
            async move {
                tx.execute("update accounts set balance = balance - 1 where id = 1", &[]).await?;
                // What goes to the server goes on; what comes back does not.
                proxy.flow(Direction::ToClient, |flow| flow.lossy = true);
                Ok(())
            }
        });
        let error = orders.send(call).deadline(Duration::from_secs(1)).await.expect_err("no answer comes");
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(failure(error).has_reached(), Reached::Maybe);
        server.wait_for("select balance from accounts where id = 1", "99").await;
        assert_eq!(runs.load(SeqCst), 1, "it is not run again");
        proxy.heal().await;
        runtime.drain().await;
    });
}

/// Counts, and is then in contention.
struct CountAndFail(Arc<AtomicU32>);

impl Call<Postgres> for CountAndFail {
    type Reply = ();
    const NAME: &'static str = "CountAndFail";

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<(), Failure> {
        self.0.fetch_add(1, SeqCst);
        let session = postgres.session(attempt, Access::ReadWrite).await?;
        session.execute("update accounts set balance = balance + 1 where id = 1", &[]).await?;
        session.execute("select contend()", &[]).await.map(drop)
    }
}

#[test]
fn what_was_committed_is_not_run_again() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        server.sql(
            "create function contend() returns void language plpgsql as \
             $$ begin raise exception 'contention' using errcode = '40P01'; end $$; \
             create procedure count_and_contend() language plpgsql as \
             $$ begin update accounts set balance = balance + 1 where id = 1; commit; perform contend(); end $$",
        );
        let runs = Arc::new(AtomicU32::new(0));
        let failed =
            failure(orders.send(CountAndFail(Arc::clone(&runs))).await.expect_err("it is in contention"));
        assert_eq!((failed.get_code(), failed.has_reached()), (Some("40P01"), Reached::Maybe));
        let balance = "select balance from accounts where id = 1";
        assert_eq!((runs.load(SeqCst), &*server.value(balance)), (1, "101"));

        let procedure = Execute::new("call count_and_contend()");
        let failed = failure(orders.send(procedure).await.expect_err("it is in contention"));
        assert_eq!((failed.get_code(), failed.has_reached()), (Some("40P01"), Reached::Maybe));
        assert_eq!(server.value(balance), "102");

        for end in ["commit", "commit and chain"] {
            let call = Transaction::new(Isolation::ReadCommitted, move |tx: Tx| async move {
                tx.execute("update accounts set balance = balance + 1 where id = 1", &[]).await?;
                tx.execute(end, &[]).await?;
                tx.execute("select contend()", &[]).await
            });
            let failed = failure(orders.send(call).await.expect_err("it is in contention"));
            assert_eq!(failed.has_reached(), Reached::Maybe, "{end}");
        }
        assert_eq!(server.value(balance), "104");
    });
}
