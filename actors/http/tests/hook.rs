//! Code of the user's before each request.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use seawall::{
    Failure,
    call::Attempt,
    downstream::{Blame, Extensions, Reached},
};
use seawall_http::{Empty, Hook, HttpHook, Request, RequestParts};
use support::{Client, Reaction, Server, answer, run};

/// Gives a new token each time it is asked to.
#[derive(Default)]
struct Token {
    renewed: AtomicUsize,
    hopeless: bool,
}

impl HttpHook for Token {
    async fn before(&self, request: &mut RequestParts, _: &Attempt) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        let signed = format!("{} {} {}", request.method(), request.path_and_query(), request.body().len());
        request.set_header("x-signed", &signed)?;
        request.set_header("authorization", &format!("Bearer {}", self.renewed.load(SeqCst)))
    }

    async fn unauthorized(&self, _: &Attempt) -> bool {
        self.renewed.fetch_add(1, SeqCst);
        !self.hopeless
    }
}

async fn client(server: &Server, hook: impl HttpHook) -> Client {
    let mut extensions = Extensions::default();
    extensions.insert(Hook::new(hook));
    let url = format!("url = \"http://{}/v1\"", server.address);
    Client::open(&url, |context| context.with_extensions(extensions)).await
}

async fn wanting(token: &'static str) -> Server {
    Server::start(move |_, received| {
        let known = received.header("authorization") == Some(token);
        Reaction::Write(answer(if known { "200 OK" } else { "401 Unauthorized" }, "", ""))
    })
    .await
}

fn post() -> Request {
    Request::post().path("/users").query("a", "b c").json(&1)
}

#[test]
fn a_hook_sees_the_request_as_it_is_sent() {
    run(async {
        let server = wanting("Bearer 0").await;
        client(&server, Token::default()).await.send::<Empty>(post()).await.unwrap();
        assert_eq!(server.last().header("x-signed"), Some("POST /v1/users?a=b%20c 1"));
    });
}

#[test]
fn a_renewed_token_is_tried_once() {
    run(async {
        let server = wanting("Bearer 1").await;
        client(&server, Token::default()).await.send::<Empty>(post()).await.unwrap();
        assert_eq!(server.received().len(), 2);
        let server = wanting("Bearer 2").await;
        let failure = client(&server, Token::default()).await.send::<Empty>(post()).await.unwrap_err();
        assert_eq!((failure.get_code(), server.received().len()), (Some("401"), 2));
        let server = wanting("Bearer 1").await;
        let hopeless = Token { hopeless: true, ..Token::default() };
        client(&server, hopeless).await.send::<Empty>(post()).await.unwrap_err();
        assert_eq!(server.received().len(), 1);
    });
}

#[test]
fn a_hook_can_refuse_and_cannot_break_the_framing() {
    struct Refuses;
    impl HttpHook for Refuses {
        async fn before(&self, request: &mut RequestParts, _: &Attempt) -> Result<(), Failure> {
            request.set_header("x", "a\r\nb").unwrap_err();
            request.set_header("content-length", "1").unwrap_err();
            Err(Failure::new(Blame::Local, "no token").reached(Reached::No))
        }
    }
    run(async {
        let server = wanting("").await;
        let failure = client(&server, Refuses).await.send::<Empty>(post()).await.unwrap_err();
        assert_eq!(failure.to_string(), "no token");
        assert!(server.received().is_empty());
    });
}
