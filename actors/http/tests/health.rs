//! Whether a service says that it is well.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use seawall::downstream::Downstream;
use support::{Server, answer, run};

#[test]
fn the_health_path_is_asked() {
    run(async {
        let well = Server::answering(answer("200 OK", "", "fine")).await;
        let client = well.client_with("http = { health = \"/health\" }").await;
        client.http.check().await.unwrap();
        assert_eq!(well.last().line, "GET /health HTTP/1.1");
        let ill = Server::answering(answer("503 X", "", "")).await;
        let failure =
            ill.client_with("http = { health = \"/health\" }").await.http.check().await.unwrap_err();
        assert_eq!(failure.get_code(), Some("503"));
    });
}

#[test]
fn without_one_nothing_is_asked() {
    run(async {
        let server = Server::answering(answer("503 X", "", "")).await;
        server.client().await.http.check().await.unwrap();
        assert!(server.received().is_empty());
    });
}
