//! Every way in which an exchange ends without an answer.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::{
    call::Attempt,
    downstream::{
        Blame::{self, Downstream, Local},
        Downstream as _, Failure, OpenContext, PoolSettings,
        Reached::{self, Maybe, No, Yes},
        Stage, Symptom,
    },
};
use seawall_http::{Empty, Http, Raw, Request};
use support::{Client, Reaction, Server, answer, attempt, run};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

fn assert_failed(failure: &Failure, code: &str, blame: Blame, symptom: Symptom, reached: Reached) {
    let found = (failure.get_code(), failure.blame(), failure.looked_like(), failure.has_reached());
    assert_eq!(found, (Some(code), blame, symptom, reached), "{failure:?}");
}

/// One GET, and whether it was marked as sent.
async fn fail(client: &Client, request: Request) -> (Failure, bool) {
    let attempt = attempt();
    let failure = client.http.send::<Raw>(request, &attempt).await.unwrap_err();
    (failure, attempt.is_sent())
}

fn get() -> Request {
    Request::get().path("/")
}

#[test]
fn a_refused_connection_was_never_sent() {
    run(async {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let client = Client::open(&format!("url = \"http://{free}\""), |context| context).await;
        let (failure, sent) = fail(&client, get()).await;
        assert_failed(&failure, "refused", Downstream, Symptom::Connect, No);
        assert!(!sent);
    });
}

#[test]
fn an_unknown_name_is_the_downstreams_fault() {
    run(async {
        // Too long a label for any resolver to ask about.
        let url = format!("url = \"http://{}.invalid\"", "x".repeat(64));
        let client = Client::open(&url, |context| context).await;
        let (failure, sent) = fail(&client, get()).await;
        assert_failed(&failure, "dns", Downstream, Symptom::Connect, No);
        assert!(!sent);
    });
}

#[test]
fn a_server_that_speaks_no_tls_gets_no_request() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("url = \"https://{}\"", listener.local_addr().unwrap());
        let client = Client::open(&url, |context| context).await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&answer("400 Bad Request", "", "plain HTTP")).await.unwrap();
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received).await;
            received
        };
        let ((failure, sent), received) = tokio::join!(fail(&client, get()), serve);
        assert_failed(&failure, "tls", Downstream, Symptom::Connect, No);
        assert!(!sent && !received.windows(3).any(|window| window == b"GET"));
    });
}

#[test]
fn a_connection_that_breaks_before_the_answer_may_have_reached_it() {
    run(async {
        for reaction in [|| Reaction::WriteAndClose(Vec::new()), || Reaction::Reset] {
            let server = Server::start(move |_, _| reaction()).await;
            let (failure, sent) = fail(&server.client().await, get()).await;
            assert_failed(&failure, "reset", Downstream, Symptom::Reset, Maybe);
            assert!(sent);
            assert_eq!(server.received().len(), 1, "only a stale connection is tried again");
        }
    });
}

#[test]
fn a_head_that_is_cut_short_is_a_reset() {
    run(async {
        let server =
            Server::start(|_, _| Reaction::WriteAndClose(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())).await;
        let (failure, _) = fail(&server.client().await, get()).await;
        assert_failed(&failure, "reset", Downstream, Symptom::Reset, Maybe);
    });
}

#[test]
fn a_body_that_is_cut_short_is_no_answer() {
    run(async {
        for cut in [
            "content-length: 10\r\n\r\nabc",
            "content-length: 10\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nabc",
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "transfer-encoding: chunked\r\n\r\n",
        ] {
            let cut = format!("HTTP/1.1 200 OK\r\n{cut}").into_bytes();
            let server = Server::start(move |_, _| Reaction::WriteAndClose(cut.clone())).await;
            let (failure, _) = fail(&server.client().await, get()).await;
            assert_failed(&failure, "reset", Downstream, Symptom::Reset, Yes);
        }
    });
}

#[test]
fn a_body_in_chunks_is_whole_with_its_last() {
    run(async {
        let body =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec();
        let server = Server::start(move |_, _| Reaction::WriteAndClose(body.clone())).await;
        for _ in 0..20 {
            assert_eq!(server.client().await.send::<Raw>(get()).await.unwrap(), "abcde");
        }
    });
}

#[test]
fn an_answer_that_is_no_http_is_a_bad_answer() {
    run(async {
        for garbage in
            ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
        {
            let server = Server::start(move |_, _| Reaction::WriteAndClose(garbage.into())).await;
            let (failure, _) = fail(&server.client().await, get()).await;
            assert_failed(&failure, "protocol", Downstream, Symptom::Response, Yes);
        }
    });
}

#[test]
fn a_head_without_an_end_is_given_up() {
    run(async {
        let head = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(300_000)).into_bytes();
        let server = Server::start(move |_, _| Reaction::Hang(head.clone())).await;
        let (failure, _) = fail(&server.client().await, get()).await;
        assert_failed(&failure, "protocol", Downstream, Symptom::Response, Yes);
        assert_eq!(failure.to_string(), "the answer's head is larger than 64KiB (`http.max_header`)");
    });
}

#[test]
fn a_full_pool_is_our_own_fault() {
    run(async {
        let server = Server::start(|_, _| Reaction::Hang(Vec::new())).await;
        let pool =
            PoolSettings { max: 1, acquire_timeout: Duration::from_millis(20), ..PoolSettings::default() };
        let context = OpenContext::new("users", Duration::from_secs(1), pool);
        let settings = toml::from_str(&format!("url = \"http://{}\"", server.address)).unwrap();
        let client = Client { http: Http::open(&settings, &context).await.unwrap() };
        let waiting = attempt();
        let hanging = client.http.send::<Empty>(get(), &waiting);
        tokio::pin!(hanging);
        tokio::select! {
            biased;
            _ = &mut hanging => panic!("it hangs"),
            (failure, sent) = fail(&client, get()) => {
                assert_failed(&failure, "pool", Local, Symptom::Timeout(Stage::Pool), No);
                assert!(!sent);
            }
        }
        assert!(waiting.is_sent());
    });
}

/// Answers the first request of a connection and closes it at the second, as a server does that closes an idle
/// connection at that very moment.
async fn closing_at_reuse() -> Server {
    let first = std::cell::Cell::new(None);
    Server::start(move |_, received| {
        if first.replace(Some(received.connection)) == Some(received.connection) {
            Reaction::WriteAndClose(Vec::new())
        } else {
            Reaction::Write(answer("200 OK", "", ""))
        }
    })
    .await
}

#[test]
fn a_stale_connection_is_not_the_callers_trouble() {
    run(async {
        let server = closing_at_reuse().await;
        let client = server.client().await;
        client.send::<Empty>(get()).await.unwrap();
        client.send::<Empty>(get()).await.unwrap();
        assert_eq!(server.received().len(), 3);
    });
}

#[test]
fn what_must_not_be_sent_twice_is_not() {
    run(async {
        let server = closing_at_reuse().await;
        let client = server.client().await;
        client.send::<Empty>(get()).await.unwrap();
        let (failure, _) = fail(&client, Request::post().path("/")).await;
        assert_failed(&failure, "reset", Downstream, Symptom::Reset, Maybe);
        assert_eq!(server.received().len(), 2);
    });
}

#[test]
fn a_request_is_sent_with_its_first_byte() {
    run(async {
        let server = Server::start(|_, _| Reaction::Hang(Vec::new())).await;
        let client = server.client().await;
        let attempt = Attempt::new("users", "GetUser", Instant::now() + Duration::from_secs(5));
        let sending = client.http.send::<Empty>(get(), &attempt);
        tokio::pin!(sending);
        assert!(futures_util::poll!(&mut sending).is_pending());
        assert!(!attempt.is_sent(), "nothing is sent before there is a connection");
        while server.received().is_empty() {
            assert!(futures_util::poll!(&mut sending).is_pending());
            tokio::task::yield_now().await;
        }
        assert!(attempt.is_sent());
    });
}

#[test]
fn a_closed_service_keeps_no_connection() {
    run(async {
        let server = Server::answering(answer("200 OK", "", "")).await;
        let client = server.client().await;
        client.send::<Empty>(get()).await.unwrap();
        client.http.close().await;
        client.send::<Empty>(get()).await.unwrap();
        let connections: Vec<_> = server.received().iter().map(|received| received.connection).collect();
        assert_eq!(connections, [0, 1]);
    });
}
