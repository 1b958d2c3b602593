//! What awc does by itself with servers that are not as it expects, and what becomes of the same through seawall. If a test's
//! first half fails one day, awc has been mended, and something here can go.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use awc::ClientResponse;
use seawall_http::{Raw, Request};
use support::{Client, Reaction, Server, answer, attempt, run};
use tokio::time::timeout;

/// Long for this machine, and short for a test.
const A_WHILE: Duration = Duration::from_millis(200);

/// A client that gives a request so long.
fn bare() -> awc::Client {
    awc::Client::builder().timeout(A_WHILE / 4).finish()
}

macro_rules! ask {
    ($client:expr, $server:expr) => {
        $client.get(format!("http://{}/", $server.address)).send().await.unwrap()
    };
}

async fn read(
    mut response: ClientResponse<
        impl futures_util::Stream<Item = Result<bytes::Bytes, awc::error::PayloadError>> + Unpin,
    >,
) -> (u16, String) {
    let body = response.body().await.unwrap();
    (response.status().as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

async fn ours(client: &Client) -> Result<String, Option<String>> {
    let body = client.send::<Raw>(Request::get().path("/")).await;
    body.map(|body| String::from_utf8(body.to_vec()).unwrap())
        .map_err(|failure| failure.get_code().map(str::to_owned))
}

#[test]
fn a_body_that_is_cut_short_is_whole_to_awc() {
    run(async {
        for cut in [
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n8\r\nc",
        ] {
            let server = Server::start(move |_, _| Reaction::WriteAndClose(cut.into())).await;
            let (status, body) = read(ask!(bare(), server)).await;
            assert!(status == 200 && body.starts_with("ab"), "{body}");
            assert_eq!(ours(&server.client().await).await, Err(Some("reset".to_owned())), "{cut}");
        }
    });
}

#[test]
fn a_body_that_ends_with_its_connection_is_none_to_awc() {
    run(async {
        let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it";
        let server = Server::start(move |_, _| Reaction::WriteAndClose(closing.into())).await;
        assert_eq!(read(ask!(bare(), server)).await, (200, String::new()));
        assert_eq!(ours(&server.client().await).await, Ok("all of it".to_owned()));
    });
}

#[test]
fn an_early_hint_gives_awcs_next_caller_the_answer_of_the_one_before() {
    run(async {
        const HINT: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        let (one, other) = (answer("200 OK", "", "one's"), answer("200 OK", "", "the other's"));
        // One that takes its time between the hint and the answer: until the other has asked, over the same connection.
        let both = [one.clone(), other.clone()].concat();
        let server = Server::start(move |number, _| match number {
            0 => Reaction::Write(HINT.into()),
            _ => Reaction::Write(both.clone()),
        })
        .await;
        let client = bare();
        assert_eq!(read(ask!(client, server)).await, (103, String::new()));
        assert_eq!(read(ask!(client, server)).await, (200, "one's".to_owned()));

        let server = Server::start(move |number, _| match number {
            0 => Reaction::Write([HINT, &one].concat()),
            _ => Reaction::Write(other.clone()),
        })
        .await;
        let client = server.client().await;
        assert_eq!(ours(&client).await, Ok("one's".to_owned()));
        assert_eq!(ours(&client).await, Ok("the other's".to_owned()));
    });
}

#[test]
fn awcs_time_for_a_request_is_not_for_its_body() {
    run(async {
        let stuck = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab";
        let server = Server::start(move |_, _| Reaction::Hang(stuck.into())).await;
        let mut response = ask!(bare(), server);
        assert!(timeout(A_WHILE, response.body()).await.is_err(), "it waits on, past its time");
        // An attempt is dropped at its deadline, body or not, and takes its connection along.
        let client = server.client().await;
        let (attempt, request) = (attempt(), Request::get().path("/"));
        assert!(timeout(A_WHILE, client.http.send::<Raw>(request, &attempt)).await.is_err());
        assert!(attempt.is_sent());
    });
}
