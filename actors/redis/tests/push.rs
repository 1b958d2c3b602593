//! Tracked keys: each change is told, and so is that none would be told any more.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{sync::Arc, time::Duration};

use seawall::{Call, Failure, call::Attempt};
use seawall_redis::{Listener, Redis, Tracking};
use seawall_testkit::RedisServer;
use support::{Subject, run};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

#[derive(Debug, PartialEq)]
enum Told {
    Connected,
    Changed(String),
    Flushed,
    Lost,
}

struct Tell(mpsc::Sender<Told>);

impl Listener for Tell {
    fn connected(&self) {
        self.0.try_send(Told::Connected).unwrap();
    }

    fn changed(&self, key: &[u8]) {
        self.0.try_send(Told::Changed(String::from_utf8_lossy(key).into_owned())).unwrap();
    }

    fn flushed(&self) {
        self.0.try_send(Told::Flushed).unwrap();
    }

    fn lost(&self, _: &Failure) {
        self.0.try_send(Told::Lost).unwrap();
    }
}

/// Begins to track what begins with `user:`.
struct Track(Arc<Tell>);

impl Call<Redis> for Track {
    type Reply = Tracking;
    const NAME: &'static str = "Track";

    async fn attempt(&self, redis: &Redis, _: &Attempt) -> Result<Tracking, Failure> {
        Ok(redis.track(["user:"], self.0.clone()))
    }
}

struct Tracked {
    subject: Subject,
    tracking: Tracking,
    told: mpsc::Receiver<Told>,
}

impl Tracked {
    async fn start(redis: &RedisServer) -> Self {
        let settings =
            format!("url = \"{}\"\nconnect_timeout = \"300ms\"\nredis.check = \"200ms\"", redis.url());
        let subject = Subject::start(&settings).await;
        let (tell, told) = mpsc::channel(64);
        let answer = subject.cache.send(Track(Arc::new(Tell(tell)))).await.unwrap();
        let tracking = answer.try_into_inner().expect("nobody shares it");
        let mut tracked = Self { subject, tracking, told };
        assert_eq!(tracked.next().await, Told::Connected);
        tracked
    }

    async fn next(&mut self) -> Told {
        timeout(Duration::from_secs(10), self.told.recv()).await.expect("it is told").expect("it runs")
    }
}

#[test]
fn changes_below_the_prefix_are_told_whoever_makes_them() {
    run(async {
        let redis = RedisServer::start().await;
        let mut tracked = Tracked::start(&redis).await;
        redis.cli(&["SET", "other:1", "x"]);
        redis.cli(&["SET", "user:1", "x"]);
        assert_eq!(tracked.next().await, Told::Changed("user:1".into()));
        redis.cli(&["MSET", "user:2", "x", "user:3", "x"]);
        let both = [tracked.next().await, tracked.next().await];
        assert!(
            both.contains(&Told::Changed("user:2".into())) && both.contains(&Told::Changed("user:3".into()))
        );
        redis.cli(&["FLUSHALL"]);
        assert_eq!(tracked.next().await, Told::Flushed);
        let Tracked { subject, tracking, mut told } = tracked;
        assert!(tracking.is_running());
        drop(tracking);
        assert_eq!(told.recv().await, None, "it ends when it is dropped");
        subject.end().await;
    });
}

#[test]
fn a_loss_is_told_once_and_it_comes_back() {
    run(async {
        let redis = RedisServer::start().await;
        let mut tracked = Tracked::start(&redis).await;
        redis.kill();
        assert_eq!(tracked.next().await, Told::Lost);
        redis.restart().await;
        assert_eq!(tracked.next().await, Told::Connected);
        redis.cli(&["SET", "user:1", "x"]);
        assert_eq!(tracked.next().await, Told::Changed("user:1".into()));
        tracked.subject.end().await;
    });
}

#[test]
fn a_server_that_hangs_is_told_within_the_check() {
    run(async {
        let redis = RedisServer::start().await;
        let mut tracked = Tracked::start(&redis).await;
        redis.freeze();
        let began = Instant::now();
        assert_eq!(tracked.next().await, Told::Lost);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        redis.thaw();
        assert_eq!(tracked.next().await, Told::Connected);
        tracked.subject.end().await;
    });
}
