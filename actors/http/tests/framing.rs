//! No caller gets another's answer, whatever a server sends.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use seawall::downstream::{Blame, Reached};
use seawall_http::{Request, Text};
use support::{Reaction, Server, answer, run};

/// Sends `odd` for the first request, and a request's own path for the others.
async fn server(odd: &'static str) -> Server {
    Server::start(move |number, received| {
        let path = received.line.split(' ').nth(1).unwrap();
        match number {
            0 => Reaction::Write(odd.into()),
            _ => Reaction::Write(answer("200 OK", "", path)),
        }
    })
    .await
}

#[test]
fn an_answer_whose_end_is_unclear_is_not_the_next_callers() {
    run(async {
        for odd in [
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsecret",
        ] {
            let server = server(odd).await;
            let client = server.client().await;
            let failure = client.send::<Text>(Request::get().path("/first")).await.unwrap_err();
            assert_eq!(failure.get_code(), Some("protocol"), "{odd:?}: {failure:?}");
            assert_eq!((failure.blame(), failure.has_reached()), (Blame::Downstream, Reached::Yes));
            for path in ["/second", "/third"] {
                assert_eq!(client.send::<Text>(Request::get().path(path)).await.unwrap(), path, "{odd:?}");
            }
            assert_eq!(server.received()[1].connection, 1, "{odd:?}");
        }
    });
}

#[test]
fn a_body_of_http_1_0_ends_with_its_connection() {
    run(async {
        let server =
            Server::start(|_, _| Reaction::WriteAndClose(b"HTTP/1.0 200 OK\r\n\r\nold but whole".to_vec()))
                .await;
        let body = server.client().await.send::<Text>(Request::get().path("/")).await.unwrap();
        assert_eq!(body, "old but whole");
    });
}

#[test]
fn bytes_after_an_answer_are_nobodys() {
    run(async {
        let server =
            server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
        let client = server.client().await;
        // Whether or not the first is taken, what follows it must not be the second's.
        let _ = client.send::<Text>(Request::get().path("/first")).await;
        assert_eq!(client.send::<Text>(Request::get().path("/second")).await.unwrap(), "/second");
    });
}
