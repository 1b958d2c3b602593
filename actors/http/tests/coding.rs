//! Bodies in gzip.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use seawall::downstream::{Blame, Reached, Symptom};
use seawall_http::{Raw, Request, Text, Whole};
use support::{Server, run};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn get() -> Request {
    Request::get().path("/")
}

#[test]
fn gzip_is_asked_for_and_decoded() {
    run(async {
        let text = "grüße ".repeat(40_000);
        let server = Server::answering(answer("gzip", &gzip(text.as_bytes()))).await;
        let response = server.client().await.send::<Whole<Text>>(get()).await.unwrap();
        assert!(response.body == text, "{} bytes", response.body.len());
        assert_eq!((response.header("content-encoding"), response.header("content-length")), (None, None));
        assert_eq!(server.last().header("accept-encoding"), Some("gzip"));
    });
}

#[test]
fn a_bomb_does_not_go_off() {
    run(async {
        let server = Server::answering(answer("gzip", &gzip(&vec![0; 4 << 20]))).await;
        let client = server.client_with("http = { max_body = \"64KiB\", max_decoded = \"1MiB\" }").await;
        let failure = client.send::<Raw>(get()).await.unwrap_err();
        assert!(failure.to_string().contains("larger than 1MiB once decoded"), "{failure}");
        let found = (failure.blame(), failure.looked_like(), failure.has_reached());
        assert_eq!(found, (Blame::Downstream, Symptom::Response, Reached::Yes));
    });
}

#[test]
fn what_is_no_gzip_is_a_bad_answer() {
    run(async {
        let whole = gzip(b"hello");
        for (body, part) in
            [(&b"as plain as plain can be"[..], "malformed"), (&whole[..whole.len() - 9], "ends too early")]
        {
            let server = Server::answering(answer("gzip", body)).await;
            let failure = server.client().await.send::<Raw>(get()).await.unwrap_err();
            assert!(failure.to_string().contains(part), "{failure}");
        }
        let server = Server::answering(answer("br", b"x")).await;
        let failure = server.client().await.send::<Raw>(get()).await.unwrap_err();
        assert!(failure.to_string().contains("coded as \"br\""), "{failure}");
    });
}
