//! A service of several replicas, over real connections: each is named as itself, and none of them takes the others along.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use seawall::{Runtime, Service, service::EndpointHealth};
use seawall_http::{Http, HttpCall};
use seawall_testkit::{IntoScript as _, Reply, Script, TestServer};
use support::run;

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = String)]
struct GetUser {
    id: u64,
}

/// A replica that answers in two milliseconds, unless it is sick: then it says 500 at once.
fn replica(sick: &Arc<AtomicBool>) -> TestServer {
    let sick = sick.clone();
    TestServer::start(move |request| match sick.load(Ordering::Relaxed) {
        true => Reply::status(500).into_script(request),
        false => {
            Script::new().wait(Duration::from_millis(2)).and(Reply::json(&"ann".into()).into_script(request))
        }
    })
}

async fn runtime(replicas: &[TestServer], more: &str) -> (Runtime, Service<Http>) {
    let urls: Vec<_> = replicas.iter().map(|replica| format!("\"{}\"", replica.url("/v1"))).collect();
    let settings = format!("[services.users]\nkind = \"http\"\nurls = [{}]\n{more}", urls.join(", "));
    let runtime = Runtime::builder().kind::<Http>().parse(settings).unwrap().start().await.unwrap();
    let users = runtime.service("users").unwrap();
    (runtime, users)
}

/// How many of these calls were answered, eight at a time.
async fn answered(users: &Service<Http>, calls: u64) -> u64 {
    let calling: FuturesUnordered<_> = (0..8)
        .map(|caller| async move {
            let mut answered = 0;
            for id in (0..calls).filter(|id| id % 8 == caller) {
                answered += u64::from(users.send(GetUser { id }).await.is_ok());
            }
            answered
        })
        .collect();
    calling.fold(0, |all, answered| async move { all + answered }).await
}

fn health(runtime: &Runtime) -> Vec<EndpointHealth> {
    let users = runtime.snapshot().service("users").cloned().unwrap();
    users.endpoints.into_iter().map(|endpoint| endpoint.health.unwrap()).collect()
}

#[test]
fn one_of_three_is_sick_and_then_one_is_gone() {
    run(async {
        let sick: Vec<_> = (0..3).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let mut replicas: Vec<_> = sick.iter().map(replica).collect();
        let (runtime, users) = runtime(&replicas, "").await;

        assert_eq!(answered(&users, 150).await, 150);
        for (replica, health) in replicas.iter().zip(health(&runtime)) {
            let requests = replica.requests();
            assert!(requests.len() > 15, "{}", requests.len());
            assert_eq!(requests.len() as u64, health.successes);
            let named = |request: &seawall_testkit::Request| {
                request.header("host").map(str::to_owned) == Some(replica.addr().to_string())
            };
            assert!(
                requests.iter().all(|request| named(request) && request.path().starts_with("/v1/users/"))
            );
            assert!(replica.stats().accepted <= 8, "{}", replica.stats().accepted);
        }

        sick[1].store(true, Ordering::Relaxed);
        let well = answered(&users, 1_000).await;
        assert!(well >= 990, "{well}");
        let bad = &health(&runtime)[1];
        assert_eq!(bad.failures, 1_000 - well, "all the failures are its");

        // The process of another is gone: what it had in hand is made again elsewhere, as is what it refuses.
        drop(replicas.remove(2));
        let well = answered(&users, 300).await;
        assert!(well >= 290, "{well}");
        runtime.drain().await;
    });
}
