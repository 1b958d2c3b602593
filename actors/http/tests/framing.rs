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
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nsecret",
            "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nsecret",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncontent-length: 6\r\n\r\nsecret",
            "HTTP/1.1 200 OK\r\ncontent-length: +6\r\n\r\nsecret",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nsecret",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nsecret",
            "HTTP/9.9 abc\r\n\r\n",
            "\0\0\u{1}garbage without an end",
            "\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
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
fn interim_answers_are_passed_over() {
    run(async {
        let server = server(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfinal",
        )
        .await;
        let client = server.client().await;
        assert_eq!(client.send::<Text>(Request::get().path("/first")).await.unwrap(), "final");
        assert_eq!(client.send::<Text>(Request::get().path("/second")).await.unwrap(), "/second");
        assert_eq!(server.received()[1].connection, 0, "the connection is as good as before");
    });
}

#[test]
fn a_body_may_end_with_its_connection_if_it_says_so() {
    run(async {
        for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n"] {
            let body = "whole ".repeat(20_000);
            let answer = format!("{head}{body}").into_bytes();
            let server = Server::start(move |_, _| Reaction::WriteAndClose(answer.clone())).await;
            let client = server.client().await;
            for _ in 0..2 {
                assert_eq!(client.send::<Text>(Request::get().path("/")).await.unwrap(), body);
            }
            assert_eq!(server.received()[1].connection, 1);
        }
    });
}

#[test]
fn a_head_without_end_is_an_error_at_its_limit() {
    run(async {
        let endless = "HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(100_000);
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ".to_owned() + &"y".repeat(3_000) + "\r\n\r\n";
        for bomb in [endless, interim, long] {
            let answer = bomb.into_bytes();
            let server = Server::start(move |_, _| Reaction::WriteAndClose(answer.clone())).await;
            let client = server.client_with("http = { max_header = \"2KiB\" }").await;
            let failure = client.send::<Text>(Request::get().path("/")).await.unwrap_err();
            assert_eq!(failure.get_code(), Some("protocol"));
            assert!(failure.to_string().contains("larger than 2KiB (`http.max_header`)"), "{failure}");
        }
    });
}

#[test]
fn too_many_headers_are_an_error() {
    run(async {
        let headers: String = (0..200).map(|at| format!("x-{at}: y\r\n")).collect();
        let server = Server::answering(answer("200 OK", &headers, "")).await;
        let failure = server.client().await.send::<Text>(Request::get().path("/")).await.unwrap_err();
        assert!(failure.to_string().contains("more than 96 headers"), "{failure}");
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
