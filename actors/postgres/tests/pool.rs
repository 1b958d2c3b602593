//! How many connections there are, over all shards.

mod support;

use std::time::Duration;

use seawall_postgres::{Query, QueryOne};
use support::{failure, snapshot, with};

#[test]
fn the_limit_is_the_process_s_and_idle_ones_go_where_they_are_wanted() {
    let more = "pool = { max = 2, shards = 2 }\nbulkhead = { max_queue = 1000, queue_timeout = \"10s\" }\ntimeout = \"10s\"";
    with(more, async |server, orders, runtime| {
        let count = "select count(*) from pg_stat_activity where usename = 'app'";
        let mut most = 0;
        // From one thread after the other, so that the connections are idle on the shard that the next one does not use.
        for _ in 0..3 {
            let arbiters: Vec<_> = (0..4).map(|_| actix_rt::Arbiter::new()).collect();
            for arbiter in &arbiters {
                let (done, ended) = tokio::sync::oneshot::channel();
                let there = orders.clone();
                arbiter.spawn(async move {
                    let call = || there.send(Query::<()>::new("select pg_sleep(0.02)").read_only());
                    let both = futures_util::future::join(call(), call()).await;
                    let _ = done.send(both.0.and(both.1).map(drop));
                });
                ended.await.expect("it ends").expect("each has its connection");
                most = most.max(server.value(count).parse::<u32>().expect("a number"));
            }
            for arbiter in arbiters {
                arbiter.stop();
                arbiter.join().expect("it ends well");
            }
        }
        assert!((1..=2).contains(&most), "{most} sessions at the server");
        let snapshot = snapshot(&runtime);
        let pool = snapshot.pool.expect("it has one");
        assert_eq!(pool.max, 2);
        assert!(pool.open <= 2 && pool.created == pool.closed + pool.open as u64, "{pool:?}");
        assert_eq!((pool.in_use, pool.waiting, pool.timeouts), (0, 0, 0), "{pool:?}");
        assert!(
            snapshot.shards.iter().all(|shard| shard.thread.starts_with("seawall-")),
            "{:?}",
            snapshot.shards
        );
    });
}

#[test]
fn who_waits_waits_at_the_bulkhead() {
    let more = "pool = { max = 2 }\nbulkhead = { max_queue = 1 }\nretry = false";
    with(more, async |_, orders, runtime| {
        let sleep = || orders.send(Query::<()>::new("select pg_sleep(0.3)").read_only());
        let ended = futures_util::future::join_all((0..5).map(|_| sleep())).await;
        let refused = ended.into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert_eq!(refused.len(), 2, "two run, and one waits: {refused:?}");
        assert!(refused.iter().all(seawall::CallError::is_rejection), "{refused:?}");
        let pool = snapshot(&runtime).pool.expect("it has one");
        assert_eq!((pool.created, pool.timeouts), (2, 0), "{pool:?}");
    });
}

#[test]
fn an_old_connection_is_replaced() {
    with("pool = { max = 1, lifetime = \"100ms\" }", async |_, orders, _| {
        let id = || QueryOne::<i32>::new("select pg_backend_pid()");
        let first = *orders.send(id()).await.expect("it answers");
        let mut now = first;
        for _ in 0..500 {
            now = *orders.send(id()).await.expect("it answers");
            if now != first {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_ne!(now, first, "it is another after its time");
    });
}

#[test]
fn a_wait_for_a_connection_has_a_limit_of_its_own() {
    let more =
        "pool = { max = 1, acquire_timeout = \"100ms\" }\nbulkhead = { max_in_flight = 8 }\nretry = false";
    with(more, async |_, orders, runtime| {
        let sleep = || orders.send(Query::<()>::new("select pg_sleep(0.5)").read_only());
        let (one, other) = futures_util::future::join(sleep(), sleep()).await;
        let failed = failure(one.and(other).expect_err("there is one connection"));
        assert_eq!((failed.get_code(), failed.blame()), (Some("pool"), seawall::downstream::Blame::Local));
        assert_eq!(snapshot(&runtime).pool.expect("it has one").timeouts, 1);
    });
}
