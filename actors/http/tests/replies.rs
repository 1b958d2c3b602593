//! What becomes of a body.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use bytes::Bytes;
use seawall::downstream::{Blame, Failure, Reached, Symptom};
use seawall_http::{Empty, Json, Maybe, Raw, Request, Text, Whole};
use serde::Deserialize;
use support::{Reaction, Server, answer, attempt, chain, json, run};

#[derive(Debug, PartialEq, Deserialize)]
struct User {
    id: u64,
    name: String,
}

const ANN: &str = r#"{"id": 1, "name": "ann"}"#;

fn ann() -> User {
    User { id: 1, name: "ann".into() }
}

fn get() -> Request {
    Request::get().path("/users/1")
}

fn assert_bad_answer(failure: &Failure, part: &str) {
    assert!(failure.to_string().contains(part), "{failure}");
    let found = (failure.blame(), failure.looked_like(), failure.has_reached());
    assert_eq!(found, (Blame::Downstream, Symptom::Response, Reached::Yes), "{failure:?}");
}

#[test]
fn json_is_decoded() {
    run(async {
        let server = Server::answering(json(ANN)).await;
        assert_eq!(server.client().await.send::<Json<User>>(get()).await.unwrap(), ann());
        let received = server.last();
        assert_eq!(received.header("accept"), Some("application/json"));
    });
}

#[test]
fn what_is_missing_is_none() {
    run(async {
        let missing = [
            answer("404 Not Found", "", "no such user"),
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            json("null"),
            json(""),
        ];
        for answer in missing {
            let client = Server::answering(answer).await.client().await;
            assert_eq!(client.send::<Maybe<Json<User>>>(get()).await.unwrap(), None);
        }
        let client = Server::answering(json(ANN)).await.client().await;
        assert_eq!(client.send::<Maybe<Json<User>>>(get()).await.unwrap(), Some(ann()));
    });
}

#[test]
fn raw_text_and_empty_bodies_are_given_as_they_are() {
    run(async {
        let client = Server::answering(answer("200 OK", "", "grüße")).await.client().await;
        assert_eq!(client.send::<Raw>(get()).await.unwrap(), Bytes::from("grüße"));
        assert_eq!(client.send::<Text>(get()).await.unwrap(), "grüße");
        client.send::<Empty>(get()).await.unwrap();
        let mut broken = answer("200 OK", "", "ab?");
        *broken.last_mut().unwrap() = 0xff;
        let client = Server::answering(broken).await.client().await;
        let failure = client.send::<Text>(get()).await.unwrap_err();
        assert_bad_answer(&failure, "no UTF-8 from byte 2 on");
    });
}

#[test]
fn status_and_headers_are_there_for_who_asks() {
    run(async {
        let created = answer("201 Created", "location: /users/1\r\ncontent-type: application/json\r\n", ANN);
        let client = Server::answering(created).await.client().await;
        let response = client.send::<Whole<Json<User>>>(Request::post().path("/users")).await.unwrap();
        assert_eq!((response.status.as_u16(), response.header("location")), (201, Some("/users/1")));
        assert_eq!(response.body, ann());
        let gone = Server::answering(answer("404 Not Found", "x-why: gone\r\n", "")).await.client().await;
        let response = gone.send::<Whole<Maybe<Json<User>>>>(get()).await.unwrap();
        assert_eq!((response.header("x-why"), &response.body), (Some("gone"), &None));
    });
}

#[test]
fn a_body_that_does_not_fit_is_the_servers_fault_and_stays_secret() {
    run(async {
        let client = Server::answering(json(r#"{"id": "hunter2", "name": "x"}"#)).await.client().await;
        let failure = client.send::<Json<User>>(get()).await.unwrap_err();
        assert_bad_answer(&failure, "the answer is no User: at `id`, expected u64, found string");
        assert!(!chain(&failure).contains("hunter2"));
        let page = answer("200 OK", "content-type: text/html\r\n", "<p>hunter2");
        let client = Server::answering(page).await.client().await;
        let failure = client.send::<Json<User>>(get()).await.unwrap_err();
        assert_bad_answer(
            &failure,
            "its body is no JSON, at line 1, column 1, and its content type is not JSON",
        );
        assert!(!chain(&failure).contains("hunter2"));
    });
}

#[test]
fn a_body_is_limited_while_it_is_read() {
    run(async {
        // Declared: refused before a byte of it came.
        let declared = b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n".to_vec();
        let server = Server::start(move |_, _| Reaction::Hang(declared.clone())).await;
        let client = server.client_with("http = { max_body = \"1KiB\" }").await;
        assert_bad_answer(&client.send::<Raw>(get()).await.unwrap_err(), "larger than 1KiB");
        // Not declared, and without an end.
        let chunks = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
            "200\r\n".to_owned() + &"x".repeat(512) + "\r\n"
        );
        let endless = chunks.clone() + &("200\r\n".to_owned() + &"x".repeat(512) + "\r\n").repeat(3);
        let server = Server::start(move |_, _| Reaction::Hang(endless.clone().into_bytes())).await;
        let client = server.client_with("http = { max_body = \"1KiB\" }").await;
        assert_bad_answer(&client.send::<Raw>(get()).await.unwrap_err(), "larger than 1KiB");
        // As large as allowed.
        let server = Server::answering(answer("200 OK", "", &"x".repeat(1024))).await;
        let client = server.client_with("http = { max_body = \"1KiB\" }").await;
        let attempt = attempt();
        assert_eq!(client.http.send::<Raw>(get(), &attempt).await.unwrap().len(), 1024);
    });
}

#[test]
fn a_request_has_the_body_and_the_method_it_says() {
    run(async {
        let server = Server::answering(json("")).await;
        let client = server.client().await;
        let requests = [Request::post(), Request::put(), Request::patch(), Request::delete()]
            .map(|request| request.path("/users"));
        for request in requests {
            client.send::<Empty>(request.json(&vec!["a", "b"])).await.unwrap();
        }
        let received = server.received();
        let lines: Vec<_> =
            received.iter().map(|received| received.line.split(' ').next().unwrap()).collect();
        assert_eq!(lines, ["POST", "PUT", "PATCH", "DELETE"]);
        for received in received {
            assert_eq!(received.body, br#"["a","b"]"#);
            assert_eq!(received.header("content-type"), Some("application/json"));
        }
    });
}
