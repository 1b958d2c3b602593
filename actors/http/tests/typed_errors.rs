//! Errors that the server says in its body.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{error::Error as _, fmt};

use seawall::downstream::{Blame, Failure};
use seawall_http::{Empty, Json, Request, Typed};
use serde::Deserialize;
use support::{Reaction, Server, answer, run};

#[derive(Debug, PartialEq, Deserialize)]
struct ApiError {
    code: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the API says {}", self.code)
    }
}

impl std::error::Error for ApiError {}

async fn failure(server: &Server) -> Failure {
    let client = server.client().await;
    client.send_typed::<Json<u64>, Typed<ApiError>>(Request::get().path("/")).await.unwrap_err()
}

#[test]
fn a_typed_error_is_the_failures_source() {
    run(async {
        for (status, blame) in [("409 Conflict", Blame::Caller), ("503 X", Blame::Downstream)] {
            let server = Server::answering(answer(status, "", r#"{"code": "taken"}"#)).await;
            let failure = failure(&server).await;
            let error = failure.source().unwrap().downcast_ref::<ApiError>().unwrap();
            assert_eq!((error.code.as_str(), failure.blame()), ("taken", blame));
            assert_eq!(failure.get_code(), Some(&status[..3]));
        }
    });
}

#[test]
fn another_body_leaves_the_status_to_speak() {
    run(async {
        for body in ["", "<html>", "{}"] {
            let server = Server::answering(answer("409 Conflict", "", body)).await;
            let failure = failure(&server).await;
            assert!(failure.source().is_none());
            assert_eq!(failure.to_string(), "answered 409 Conflict");
        }
    });
}

#[test]
fn a_body_that_hangs_does_not_hide_the_status() {
    run(async {
        let hanging = b"HTTP/1.1 500 X\r\ncontent-length: 10\r\n\r\n{".to_vec();
        let server = Server::start(move |_, _| Reaction::Hang(hanging.clone())).await;
        let (client, plain) = (server.client().await, Request::get().path("/"));
        let (typed, plain) = tokio::join!(failure(&server), client.send::<Empty>(plain));
        assert_eq!(typed.get_code(), Some("500"));
        assert_eq!(plain.unwrap_err().get_code(), Some("500"));
    });
}
