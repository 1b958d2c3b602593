//! No call waits for what broke before it: servers that hang, refuse, and come back.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use seawall::{
    CallError,
    downstream::{Blame, Reached},
};
use seawall_redis::{Command, Get, Incr, Set};
use seawall_testkit::{FaultProxy, RedisServer};
use support::{Subject, failure, run};
use tokio::time::{Instant, timeout};

/// How long a call may outlast its deadline.
const GRACE: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_millis(300);

async fn quick(url: &str) -> Subject {
    Subject::start(&format!("url = \"{url}\"\nconnect_timeout = \"200ms\"\nredis.check = \"200ms\"")).await
}

/// Makes calls until one succeeds, and says how long that took.
async fn recovery(subject: &Subject) -> Duration {
    let began = Instant::now();
    let trying =
        async { while subject.cache.send(Get::<String>::new("user")).deadline(DEADLINE).await.is_err() {} };
    timeout(Duration::from_secs(10), trying).await.expect("it recovers");
    began.elapsed()
}

#[test]
fn refused_calls_fail_at_once_each_time() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = quick(&redis.url()).await;
        recovery(&subject).await;
        redis.kill();
        for _ in 0..20 {
            let began = Instant::now();
            let failed = failure(subject.cache.send(Get::<String>::new("user")).deadline(DEADLINE).await);
            assert!(began.elapsed() < GRACE, "{:?}: {failed:?}", began.elapsed());
            assert_eq!(
                (failed.blame(), failed.has_reached()),
                (Blame::Downstream, Reached::No),
                "{failed:?}"
            );
            assert_eq!(failed.get_code(), Some("refused"));
        }
        redis.restart().await;
        let took = recovery(&subject).await;
        assert!(took < GRACE, "no pause is waited for: {took:?}");
        subject.end().await;
    });
}

/// Beside it, what is called from: the library's manager has each command wait for its own reconnecting, whatever the limit
/// on an answer. Here with a backoff of a tenth of its default, so that the test takes a second and not nine.
#[test]
fn the_librarys_own_manager_has_a_command_wait_for_its_backoff() {
    run(async {
        let redis = RedisServer::start().await;
        let client = redis::Client::open(redis.url()).unwrap();
        let config = redis::aio::ConnectionManagerConfig::new()
            .set_response_timeout(Some(DEADLINE))
            .set_connection_timeout(Some(DEADLINE))
            .set_min_delay(Duration::from_millis(400))
            .set_number_of_retries(2);
        let mut manager = client.get_connection_manager_with_config(config).await.unwrap();
        redis.kill();
        let mut longest = Duration::ZERO;
        for _ in 0..3 {
            let began = Instant::now();
            redis::cmd("GET").arg("user").query_async::<Option<String>>(&mut manager).await.unwrap_err();
            longest = longest.max(began.elapsed());
        }
        assert!(
            longest > DEADLINE + GRACE,
            "it keeps its limit by now ({longest:?}): is the kind's own still needed?"
        );

        let subject = quick(&redis.url()).await;
        let began = Instant::now();
        failure(subject.cache.send(Get::<String>::new("user")).deadline(DEADLINE).await);
        assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
        subject.end().await;
    });
}

#[test]
fn a_server_that_hangs_costs_its_deadline_and_then_is_found_out() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = quick(&redis.url()).await;
        recovery(&subject).await;
        redis.freeze();
        let calls = (0..64).map(async |_| {
            let began = Instant::now();
            let error = subject.cache.send(Incr::new("count")).deadline(DEADLINE).await.unwrap_err();
            assert!(began.elapsed() < DEADLINE + GRACE, "{:?}: {error:?}", began.elapsed());
            assert!(error.is_timeout(), "{error:?}");
        });
        join_all(calls).await;
        // By now the connections have been given up: what is asked waits to connect, so that nothing of it can get there.
        let late = subject.cache.send(Incr::new("late")).deadline(DEADLINE).await.unwrap_err();
        assert!(matches!(&late, CallError::TimedOut(_) | CallError::Failed(_)), "{late:?}");
        redis.thaw();
        recovery(&subject).await;
        assert_eq!(redis.cli(&["EXISTS", "late"]), "0");
        subject.end().await;
    });
}

#[test]
fn idle_connections_that_hang_are_replaced_within_the_check() {
    run(async {
        let redis = RedisServer::start().await;
        let proxy = FaultProxy::start(redis.addr());
        let subject = quick(&format!("redis://{}", proxy.addr())).await;
        recovery(&subject).await;
        // What is open says nothing for ever; what is opened from now on is well.
        let before = proxy.stats().accepted;
        proxy.hang();
        proxy
            .wait_for("new connections, though nobody calls", move |stats| stats.accepted >= before + 2)
            .await;
        subject.end().await;
    });
}

#[test]
fn a_command_that_waits_has_no_other_wait() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = quick(&redis.url()).await;
        let waiting = || Command::<Option<(String, String)>>::new("BLPOP").arg("queue").arg(0);
        let waits = subject.cache.send(waiting()).deadline(DEADLINE);
        let others = async {
            for _ in 0..50 {
                let began = Instant::now();
                subject.cache.send(Get::<String>::new("user")).deadline(DEADLINE).await.unwrap();
                assert!(began.elapsed() < GRACE);
            }
        };
        let (waited, ()) = tokio::join!(waits, others);
        assert!(waited.unwrap_err().is_timeout());
        // The server knows that nobody waits any more: the next item is the next caller's.
        redis.wait_for(&["INFO", "clients"], "blocked_clients:0").await;
        subject.cache.send(Command::<i64>::new("RPUSH").arg("queue").arg("job")).await.unwrap();
        let got = subject.cache.send(waiting()).deadline(DEADLINE).await.unwrap();
        assert_eq!(*got, Some(("queue".to_owned(), "job".to_owned())));
        subject.end().await;
    });
}

#[test]
fn commands_that_wait_are_bounded_and_their_connections_used_again() {
    run(async {
        let redis = RedisServer::start().await;
        let settings =
            format!("url = \"{}\"\npool = {{ max = 2, acquire_timeout = \"100ms\" }}", redis.url());
        let subject = Subject::start(&settings).await;
        let waiting = || Command::<Option<(String, String)>>::new("BLPOP").arg("queue").arg("0.2");
        let all = join_all((0..3).map(|_| async { subject.cache.send(waiting()).await })).await;
        let refused: Vec<_> = all.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "two connections for three");
        assert_eq!(
            refused[0].failure().and_then(|failure| failure.get_code().map(str::to_owned)),
            Some("pool".into())
        );
        let created = |subject: &Subject| {
            let snapshot = subject.runtime.snapshot();
            snapshot
                .services
                .iter()
                .find_map(|service| service.pool.as_ref().map(|pool| pool.created))
                .unwrap()
        };
        let before = created(&subject);
        for _ in 0..3 {
            subject.cache.send(waiting()).await.unwrap();
        }
        assert_eq!(created(&subject), before, "they are used again");
        subject.end().await;
    });
}

#[test]
fn a_hundred_callers_that_go_away_hold_nothing() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = format!("url = \"{}\"\npool = {{ max = 2 }}", redis.url());
        let subject = Subject::start(&settings).await;
        for _ in 0..100 {
            let waiting = Command::<()>::new("BLPOP").arg("queue").arg(0).idempotent();
            let _ = timeout(Duration::from_millis(2), subject.cache.send(waiting)).await;
        }
        redis.wait_for(&["INFO", "clients"], "blocked_clients:0").await;
        subject.cache.send(Set::new("user", "ann")).await.unwrap();
        assert!(redis.clients() <= 2 + 2, "{}", redis.cli(&["CLIENT", "LIST"]));
        subject.end().await;
    });
}
