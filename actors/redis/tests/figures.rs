//! What the connections are doing, as the snapshot has it; and the health check.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall_redis::{Command, Get};
use seawall_testkit::RedisServer;
use support::{Subject, run};

#[test]
fn the_snapshot_counts_shared_and_dedicated_connections() {
    run(async {
        let redis = RedisServer::start().await;
        let settings =
            format!("url = \"{}\"\npool = {{ max = 3 }}\nredis = {{ connections = 2 }}", redis.url());
        let subject = Subject::start(&settings).await;
        for _ in 0..10 {
            subject.cache.send(Get::<String>::new("user")).await.unwrap();
        }
        subject.cache.send(Command::<Option<()>>::new("BLPOP").arg("queue").arg("0.01")).await.unwrap();
        redis.wait_for(&["CLIENT", "LIST"], "cmd=blpop").await;
        let snapshot = subject.runtime.snapshot();
        let pool = snapshot.services.iter().find_map(|service| service.pool.as_ref()).unwrap();
        assert_eq!((pool.max, pool.open, pool.idle, pool.waiting), (3 + 2, 3, 1, 0), "{pool:?}");
        assert_eq!((pool.created, pool.closed, pool.timeouts), (3, 0, 0), "{pool:?}");
        assert!(pool.reused >= 10, "{pool:?}");
        assert_eq!(redis.clients(), 3);
        subject.end().await;
        redis.wait_for(&["INFO", "clients"], "connected_clients:1").await;
    });
}

#[test]
fn a_check_is_a_ping() {
    run(async {
        let redis = RedisServer::start().await;
        let settings =
            format!("url = \"{}\"\nhealth = {{ interval = \"20ms\" }}\nredis.check = \"60s\"", redis.url());
        let subject = Subject::start(&settings).await;
        redis.wait_for(&["INFO", "commandstats"], "cmdstat_ping").await;
        let get = subject.cache.send(Get::<String>::new("user")).deadline(Duration::from_secs(1)).await;
        assert_eq!(get.unwrap().into_inner(), None);
        subject.end().await;
    });
}
