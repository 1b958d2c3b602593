use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{server::Server, *};

#[test]
fn an_exchange_tells_a_first_use_from_a_reuse() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(20));
        let first = Exchange::new();
        let mut kept = first.send(client.send("/ok")).await.unwrap();
        read(&mut kept).await;
        assert_eq!((first.sent(), first.answered(), first.reused()), (true, true, false));
        // The answer is kept on, as by a caller that still decodes: awc reuses the connection all the same.
        let second = Exchange::new();
        let mut answer = second.send(client.send("/ok")).await.unwrap();
        assert_eq!((second.sent(), second.answered(), second.reused()), (true, true, true));
        drop(kept);
        assert_eq!(client.wires().permits().idle(), 0, "the second has it");
        read(&mut answer).await;
        drop(answer);
        assert_eq!(client.wires().permits().idle(), 1);
        assert_eq!((server.accepted(), client.wires().counts().reused), (1, 1));
    });
}

#[test]
fn an_answer_dropped_half_read_takes_its_connection_with_it() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(1));
        let exchange = Exchange::new();
        let answer = exchange.send(client.send("/half")).await.unwrap();
        let mut waiting = Box::pin(client.get("/ok"));
        assert!((&mut waiting).now_or_never().is_none());
        drop(answer);
        assert_eq!(waiting.await.1.unwrap(), "fine");
        assert_eq!((server.accepted(), client.wires().counts().passed_on), (2, 0));
    });
}

#[test]
fn without_an_exchange_a_connection_is_never_idle() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(20));
        for _ in 0..2 {
            let (_, body) = client.send("/ok").await.unwrap();
            assert_eq!(body.count().await, 1);
        }
        assert_eq!((server.accepted(), client.wires().permits().idle()), (1, 0));
        client.ok().await;
        assert_eq!((server.accepted(), client.wires().permits().idle()), (1, 1));
        let (_, body) = client.send("/ok").await.unwrap();
        assert_eq!(client.wires().permits().idle(), 0);
        assert_eq!(body.count().await, 1);
    });
}

#[test]
fn a_request_that_waits_for_its_answer_was_sent() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(20));
        let exchange = Exchange::new();
        let waiting = tokio::time::timeout(Duration::from_millis(100), exchange.send(client.send("/wait")));
        assert!(waiting.await.is_err());
        assert_eq!((exchange.sent(), exchange.answered()), (true, false));
        assert_eq!(client.wires().permits().in_use(), 0, "cancelled, it is closed");
        drop(exchange);
        assert_eq!(client.wires().permits().idle(), 0);
    });
}

/// The second request on each connection is read and met with a close: what a client sees that sends just as the
/// server closes.
async fn closes_on_the_second() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    actix_rt::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            actix_rt::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = socket.read(&mut buffer).await;
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await;
                let _ = socket.read(&mut buffer).await;
            });
        }
    });
    url
}

#[test]
fn a_stale_connection_is_told_from_a_server_that_hangs_up() {
    run(async {
        let url = closes_on_the_second().await;
        let bare = awc::Client::default();
        let mut response = bare.get(&url).send().await.unwrap();
        response.body().await.unwrap();
        let stale = bare.get(&url).send().await.unwrap_err();
        assert!(
            matches!(stale, SendRequestError::Connect(_)),
            "bare awc: as if it never connected: {stale:?}"
        );

        let client = Client::new(settings(&url), permits(20));
        client.ok().await;
        let (exchange, answer) = client.get("/ok").await;
        let error = answer.unwrap_err();
        assert!(ConnectFailure::find(&error).is_none(), "{error:?}");
        assert!(exchange.looks_stale() && exchange.sent());
        // A new connection is made for the retry.
        let (exchange, answer) = client.get("/ok").await;
        assert_eq!(answer.unwrap(), "fine");
        assert!(!exchange.looks_stale());
    });
}

/// A server on a thread of its own, which closes the connection that it answered on when told to. To tell it keeps the
/// calling thread, and so its reactor, until that is done: as a busy thread's would be kept.
fn closes_when_told() -> (String, impl Fn()) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::sync_channel::<()>(0);
    let (closed, closes) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine");
            if told.recv().is_err() {
                return;
            }
            drop(socket);
            let _ = closed.send(());
        }
    });
    let close = move || {
        tell.send(()).unwrap();
        closes.recv().unwrap();
    };
    (url, close)
}

#[test]
fn a_close_that_the_reactor_has_not_seen_yet_is_seen_before_the_next_request() {
    run(async {
        let (url, close) = closes_when_told();
        let bare = awc::Client::default();
        let mut response = bare.get(&url).send().await.unwrap();
        response.body().await.unwrap();
        close();
        assert!(bare.get(&url).send().await.is_err(), "bare awc sends into the closed connection");

        let (url, close) = closes_when_told();
        let client = Client::new(settings(&url), permits(20));
        for _ in 0..20 {
            client.ok().await;
            close();
        }
        assert_eq!(client.wires().counts().closed_by_server, 19);
    });
}

#[test]
fn idle_connections_are_not_trusted_once_one_has_hung() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(20));
        let both = futures_util::future::join_all([client.get("/wait"), client.get("/wait")]);
        let (both, ()) = tokio::join!(both, async {
            until("both arrive", || server.requests() == 2).await;
            server.go();
        });
        assert!(both.iter().all(|(_, answer)| answer.is_ok()));
        assert_eq!(client.wires().permits().idle(), 2);
        let hung = Exchange::new();
        let given_up = tokio::time::timeout(Duration::from_millis(20), hung.send(client.send("/wait")));
        assert!(given_up.await.is_err());
        assert!(hung.looks_stale());
        client.wires().distrust_idle();
        let (exchange, answer) = client.get("/ok").await;
        assert_eq!(answer.unwrap(), "fine");
        assert!(!exchange.reused(), "the other idle one is not used");
        assert_eq!(client.wires().counts().closed_distrusted, 1);
        assert!(client.get("/ok").await.0.reused(), "but what has answered since is");
    });
}
