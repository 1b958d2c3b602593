//! What a network does to frames: cut into pieces, thrown away one way, broken in the midst of an answer.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::downstream::Reached;
use seawall_redis::{Get, Incr, Pipeline, Set};
use seawall_testkit::{Cut, Direction, End, FaultProxy, RedisServer};
use support::{Subject, failure, run};

async fn behind_a_proxy() -> (RedisServer, FaultProxy, Subject) {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::start(redis.addr());
    let subject = Subject::at(&format!("redis://{}", proxy.addr())).await;
    (redis, proxy, subject)
}

#[test]
fn pieces_of_a_few_bytes_are_the_same_answers() {
    run(async {
        let (_redis, proxy, subject) = behind_a_proxy().await;
        for direction in [Direction::ToServer, Direction::ToClient] {
            proxy.flow(direction, |flow| flow.slice = Some(1..=3));
        }
        for number in 0..50 {
            let key = format!("user:{number}");
            let both =
                Pipeline::<(bool, Option<u32>)>::new().and(Set::new(&key, number)).and(Get::<u32>::new(&key));
            assert_eq!(*subject.cache.send(both).await.unwrap(), (true, Some(number)));
        }
        subject.end().await;
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_sent_once_and_told_to_be_unknown() {
    run(async {
        let (redis, proxy, subject) = behind_a_proxy().await;
        subject.cache.send(Incr::new("count")).await.unwrap();
        proxy.flow(Direction::ToClient, |flow| flow.lossy = true);
        let error =
            subject.cache.send(Incr::new("count")).deadline(Duration::from_millis(400)).await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(redis.cli(&["GET", "count"]), "2");
        subject.end().await;
    });
}

#[test]
fn half_an_answer_is_no_answer() {
    run(async {
        let (redis, proxy, subject) = behind_a_proxy().await;
        let large = "x".repeat(100_000);
        redis.cli(&["SET", "user", &large]);
        subject.cache.send(Get::<String>::new("other")).await.unwrap();
        proxy.flow(Direction::ToClient, |flow| flow.cut = Some(Cut { after: 50_000, how: End::Reset }));
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        assert_eq!((failed.has_reached(), failed.get_code()), (Reached::Maybe, Some("reset")), "{failed:?}");
        proxy.heal().await;
        assert_eq!(subject.cache.send(Get::<String>::new("user")).await.unwrap().as_deref(), Some(&*large));
        subject.end().await;
    });
}
