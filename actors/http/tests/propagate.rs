//! What goes along with every request.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use seawall_http::{ATTEMPT_HEADER, DEADLINE_HEADER, Empty, Request};
use support::{Server, json, run};

#[test]
fn the_time_left_goes_along() {
    run(async {
        let server = Server::answering(json("")).await;
        server.client().await.send::<Empty>(Request::get().path("/")).await.unwrap();
        let left: u64 = server.last().header(DEADLINE_HEADER).unwrap().parse().unwrap();
        assert!((1..=5000).contains(&left), "{left}");
        assert_eq!(server.last().header(ATTEMPT_HEADER), None, "a first attempt is no retry");
    });
}

#[test]
fn nothing_goes_along_that_is_not_listed() {
    run(async {
        let server = Server::answering(json("")).await;
        let client = server.client_with("http = { propagate = [] }").await;
        client.send::<Empty>(Request::get().path("/")).await.unwrap();
        assert_eq!(server.last().header(DEADLINE_HEADER), None);
    });
}

#[test]
fn headers_of_the_settings_yield_to_the_calls() {
    run(async {
        let server = Server::answering(json("")).await;
        let client =
            server.client_with("http = { headers = { x-team = \"shop\", user-agent = \"shop/1\" } }").await;
        client.send::<Empty>(Request::get().path("/").header("x-team", "search")).await.unwrap();
        let received = server.last();
        assert_eq!(received.header("x-team"), Some("search"));
        assert_eq!(received.header("user-agent"), Some("shop/1"));
    });
}
