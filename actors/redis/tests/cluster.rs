//! A real cluster of three: commands go to the node that has their key, also while it changes.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::downstream::{Blame, Reached};
use seawall_redis::{Command, Get, Incr, Pipeline, Script, Set, Transaction};
use seawall_testkit::RedisCluster;
use support::{Subject, failure, run};
use tokio::time::{Instant, timeout};

async fn subject(cluster: &RedisCluster) -> Subject {
    let urls = cluster.urls().join("\", \"");
    let settings = format!(
        "urls = [\"{urls}\"]\nconnect_timeout = \"300ms\"\nredis = {{ topology = \"cluster\", check = \"300ms\" }}"
    );
    Subject::start(&settings).await
}

const DEADLINE: Duration = Duration::from_millis(500);
/// Slots of the third node, and their keys.
const SLOT: u16 = 12_182;
const KEY: &str = "foo";

#[test]
fn keys_are_where_they_belong() {
    run(async {
        let cluster = RedisCluster::start().await;
        let subject = subject(&cluster).await;
        for number in 0..300 {
            subject.cache.send(Set::new(format!("user:{number}"), number)).await.unwrap();
        }
        for number in 0..300 {
            let got = subject.cache.send(Get::<u32>::new(format!("user:{number}"))).await.unwrap();
            assert_eq!(*got, Some(number));
        }
        let sizes: Vec<u32> =
            cluster.nodes().iter().map(|node| node.cli(&["DBSIZE"]).parse().unwrap()).collect();
        assert_eq!(sizes.iter().sum::<u32>(), 300);
        assert!(sizes.iter().all(|size| *size > 50), "{sizes:?}");
        subject.end().await;
    });
}

#[test]
fn several_commands_go_to_one_node() {
    run(async {
        let cluster = RedisCluster::start().await;
        let subject = subject(&cluster).await;
        let cache = &subject.cache;
        for count in 1..4 {
            let both = Pipeline::<(i64, i64)>::new().and(Incr::new("{foo}a")).and(Incr::new("{foo}b"));
            assert_eq!(*cache.send(both).await.unwrap(), (count, count));
        }
        let transaction =
            || Transaction::<(i64, i64)>::new().and(Incr::new("{foo}a")).and(Incr::new("{foo}b"));
        assert_eq!(*cache.send(transaction()).await.unwrap(), (4, 4));
        let apart = Pipeline::<()>::new().and(Incr::new("a")).and(Incr::new("b"));
        let failed = failure(cache.send(apart).await);
        assert_eq!((failed.blame(), failed.has_reached()), (Blame::Caller, Reached::No));
        let script = Script::<String>::new("return redis.call('GET', KEYS[1])").key("{foo}a");
        assert_eq!(*cache.send(script).await.unwrap(), "4");
        let waiting = || Command::<Option<(String, String)>>::new("BLPOP").arg("{foo}queue").arg("0.01");
        assert_eq!(*cache.send(waiting()).await.unwrap(), None);
        cache.send(Command::<i64>::new("RPUSH").arg("{foo}queue").arg("job")).await.unwrap();
        assert!(cache.send(waiting()).await.unwrap().is_some());

        // All of it moves: what was refused as a whole is carried out by the other, as a whole.
        cluster.begin_migration(SLOT, 2, 0);
        cluster.end_migration(SLOT, 2, 0);
        assert_eq!(*cache.send(transaction()).await.unwrap(), (5, 5));
        let both = Pipeline::<(i64, i64)>::new().and(Incr::new("{foo}a")).and(Incr::new("{foo}b"));
        assert_eq!(*cache.send(both).await.unwrap(), (6, 6));
        subject.end().await;
    });
}

#[test]
fn a_slot_moves_and_nobody_notices() {
    run(async {
        let cluster = RedisCluster::start().await;
        let subject = subject(&cluster).await;
        let mut count = 0;
        let mut add = async || {
            for key in [KEY, "{foo}:new"] {
                subject.cache.send(Incr::new(key)).deadline(DEADLINE).await.unwrap();
            }
            count += 1;
            // Each was carried out once and only once, whoever had it.
            assert_eq!(*subject.cache.send(Get::<u32>::new(KEY)).await.unwrap(), Some(count));
        };
        add().await;
        cluster.begin_migration(SLOT, 2, 0);
        add().await;
        // What is not there any more is asked of the other, which takes it only because it is asked to.
        let (from, to) = (&cluster.nodes()[2], cluster.nodes()[0].addr().port().to_string());
        assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &to, KEY, "0", "5000"]), "OK");
        add().await;
        cluster.end_migration(SLOT, 2, 0);
        for _ in 0..20 {
            add().await;
        }
        assert_eq!(cluster.nodes()[0].cli(&["GET", KEY]), count.to_string());
        subject.end().await;
    });
}

#[test]
fn a_node_that_dies_or_hangs_takes_its_own_keys_and_no_others() {
    run(async {
        let cluster = RedisCluster::start().await;
        let subject = subject(&cluster).await;
        // One key for each node: of slots 5061, 9842 and 12182.
        let keys = ["bar", "hello0", KEY];
        let owner = |key: &str| {
            let place = cluster.nodes().iter().position(|node| node.cli(&["GET", key]) == "x");
            place.unwrap_or_else(|| panic!("nobody has {key}"))
        };
        for key in keys {
            subject.cache.send(Set::new(key, "x")).await.unwrap();
        }
        let lost = owner(KEY);
        let others: Vec<_> = keys.into_iter().filter(|key| owner(key) != lost).collect();
        assert!(!others.is_empty());
        for hang in [true, false] {
            let node = &cluster.nodes()[lost];
            if hang {
                node.freeze()
            } else {
                node.kill()
            }
            for _ in 0..10 {
                let began = Instant::now();
                let failed = subject.cache.send(Get::<String>::new(KEY)).deadline(DEADLINE).await;
                assert!(failed.is_err());
                assert!(began.elapsed() < DEADLINE + Duration::from_millis(200), "{:?}", began.elapsed());
                for key in &others {
                    let got = subject.cache.send(Get::<String>::new(*key)).deadline(DEADLINE).await.unwrap();
                    assert_eq!(got.as_deref(), Some("x"), "{key}");
                }
            }
            if hang {
                node.thaw()
            } else {
                node.restart().await
            }
            let recovers = async {
                while subject.cache.send(Get::<String>::new(KEY)).deadline(DEADLINE).await.is_err() {}
            };
            timeout(Duration::from_secs(10), recovers).await.expect("it recovers");
        }
        subject.end().await;
    });
}
