//! No value leaves its place in the path, the query or a header, whatever it contains.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use seawall::downstream::{Blame, Failure, Reached};
use seawall_http::{Empty, Request};
use support::{Client, Server, json, run};

const HOSTILE: [&str; 16] = [
    "../admin",
    "..%2fadmin",
    "%2e%2e/",
    "%2e%2e",
    "//evil",
    "@evil",
    "?x=1",
    "#f",
    "a/../b",
    "\r\nx: y",
    "\n",
    "\0",
    "grüße",
    "...",
    "a b+c",
    "\\..\\",
];

fn user(id: &str) -> Request {
    Request::get().path("/users/").segment("id", id).path("/posts")
}

fn unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%".contains(c)
}

#[test]
fn a_value_stays_in_its_segment() {
    run(async {
        let server = Server::answering(json("")).await;
        let client = server.client_with("").await;
        for hostile in HOSTILE {
            client.send::<Empty>(user(hostile)).await.unwrap();
            let received = server.last();
            let path = received.line.strip_prefix("GET /users/").expect(hostile);
            let segment = path.strip_suffix("/posts HTTP/1.1").expect(hostile);
            assert!(!segment.is_empty() && segment.chars().all(unreserved), "{hostile:?}: {segment}");
            assert_eq!(received.header("host"), Some(server.address.to_string().as_str()));
            assert!(received.header("x").is_none());
        }
        let lines: Vec<_> = server.received().into_iter().map(|received| received.line).collect();
        assert_eq!(lines[0], "GET /users/..%2Fadmin/posts HTTP/1.1");
        assert_eq!(lines[1], "GET /users/..%252fadmin/posts HTTP/1.1");
        assert_eq!(lines[9], "GET /users/%0D%0Ax%3A%20y/posts HTTP/1.1");
        assert_eq!(lines[11], "GET /users/%00/posts HTTP/1.1");
        assert_eq!(lines[12], "GET /users/gr%C3%BC%C3%9Fe/posts HTTP/1.1");
    });
}

#[test]
fn the_path_of_the_url_stands_before_all() {
    run(async {
        let server = Server::answering(json("")).await;
        let client =
            Client::open(&format!("url = \"http://{}/v2/\"", server.address), |context| context).await;
        client.send::<Empty>(user("../admin")).await.unwrap();
        assert_eq!(server.last().line, "GET /v2/users/..%2Fadmin/posts HTTP/1.1");
    });
}

fn assert_refused(result: Result<(), Failure>, part: &str) {
    let failure = result.unwrap_err();
    assert!(failure.to_string().contains(part), "{failure}");
    assert_eq!((failure.blame(), failure.has_reached()), (Blame::Caller, Reached::No));
}

#[test]
fn a_value_that_would_change_the_path_alone_is_refused() {
    run(async {
        let server = Server::answering(json("")).await;
        let client = server.client().await;
        let send = async |request| client.send::<Empty>(request).await;
        assert_refused(send(user("")).await, "`id` is empty");
        assert_refused(send(user(".")).await, "`.` or `..`");
        assert_refused(send(user("..")).await, "`.` or `..`");
        let two = Request::get().path("/users/").segment("a", ".").segment("b", ".");
        assert_refused(send(two).await, "`.` or `..`");
        let none = Request::get().path("/users/").segment("id", &None::<u64>);
        assert_refused(send(none).await, "`id` is empty");
        let list = Request::get().path("/users/").segment("id", &vec![1, 2]);
        assert_refused(send(list).await, "a list cannot stand here");
        assert!(server.received().is_empty());
    });
}

#[test]
fn a_query_value_stays_in_its_parameter() {
    run(async {
        #[derive(serde::Serialize)]
        struct Page {
            after: Option<u64>,
            tags: Vec<&'static str>,
        }
        let server = Server::answering(json("")).await;
        let client = server.client().await;
        let request = Request::get()
            .path("/users")
            .query("q", "a&b=c#d")
            .query("none", &None::<u64>)
            .query("page", &Page { after: Some(7), tags: vec!["x y", "z"] });
        client.send::<Empty>(request).await.unwrap();
        assert_eq!(server.last().line, "GET /users?q=a%26b%3Dc%23d&after=7&tags=x%20y&tags=z HTTP/1.1");
    });
}

#[test]
fn a_header_value_stays_in_its_line() {
    run(async {
        let server = Server::answering(json("")).await;
        let client = server.client().await;
        for hostile in ["a\r\nx: y", "a\n", "\r", "a\0b", "grüße"] {
            let request = Request::get().path("/").header("x-tenant", hostile);
            assert_refused(client.send::<Empty>(request).await, "the header `x-tenant` has a character");
        }
        for name in ["host", "Content-Length", "transfer-encoding", "a b", "x:y", ""] {
            let request = Request::get().path("/").header(name, "x");
            assert_refused(client.send::<Empty>(request).await, "");
        }
        assert!(server.received().is_empty());
        let request = Request::get().path("/").header("x-tenant", "acme").header("x-none", &None::<u64>);
        client.send::<Empty>(request).await.unwrap();
        assert_eq!(server.last().header("x-tenant"), Some("acme"));
        assert_eq!(server.last().header("x-none"), None);
    });
}
