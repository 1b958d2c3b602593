//! What goes along with every request.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use seawall::{
    Context,
    call::{Attempt, Trace},
};
use seawall_http::{ATTEMPT_HEADER, DEADLINE_HEADER, Empty, Request, TRACE_HEADER, TRACE_STATE_HEADER};
use support::{Received, Server, attempt, json, run};

async fn received(attempt: Attempt) -> Received {
    let server = Server::answering(json("")).await;
    server.client().await.http.send::<Empty>(Request::get().path("/"), &attempt).await.unwrap();
    server.last()
}

#[test]
fn a_trace_goes_along_as_it_came() {
    run(async {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace { parent: parent.into(), state: Some("a=1,b=2".into()) };
        let received = received(attempt().in_context(Context::new().trace(trace))).await;
        assert_eq!(received.header(TRACE_HEADER), Some(parent));
        assert_eq!(received.header(TRACE_STATE_HEADER), Some("a=1,b=2"));
    });
}

#[test]
fn a_trace_that_is_no_header_is_left_out() {
    run(async {
        let trace = Trace { parent: "a\r\nx: y".into(), state: None };
        let received = received(attempt().in_context(Context::new().trace(trace))).await;
        assert_eq!((received.header(TRACE_HEADER), received.header("x")), (None, None));
    });
}

#[test]
fn a_retry_says_so_from_hop_to_hop() {
    run(async {
        assert_eq!(received(attempt().as_number(3)).await.header(ATTEMPT_HEADER), Some("3"));
        let further_down = attempt().in_context(Context::new().retried());
        assert_eq!(received(further_down).await.header(ATTEMPT_HEADER), Some("2"));
    });
}

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
