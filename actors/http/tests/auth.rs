//! Credentials by reference.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{fs, path::PathBuf};

use seawall::downstream::{Downstream, OpenContext, PoolSettings};
use seawall_http::{Empty, Http, Request};
use support::{Reaction, Server, answer, json, run};

fn secret(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("seawall-http-{name}-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

fn get() -> Request {
    Request::get().path("/")
}

#[test]
fn a_token_is_sent_and_read_anew_when_it_was_refused() {
    run(async {
        let server = Server::start(|_, received| {
            let known = received.header("authorization") == Some("Bearer new");
            Reaction::Write(answer(if known { "200 OK" } else { "401 Unauthorized" }, "", ""))
        })
        .await;
        let file = secret("token", "old\n");
        let client =
            server.client_with(&format!("http = {{ auth = {{ bearer = {{ file = {file:?} }} }} }}")).await;
        let failure = client.send::<Empty>(get()).await.unwrap_err();
        assert_eq!(failure.get_code(), Some("401"));
        assert_eq!(server.last().header("authorization"), Some("Bearer old"));
        fs::write(&file, "new").unwrap();
        client.send::<Empty>(get()).await.unwrap();
        fs::remove_file(&file).unwrap();
        client.send::<Empty>(get()).await.unwrap();
    });
}

#[test]
fn a_user_has_a_password() {
    run(async {
        let server = Server::answering(json("")).await;
        let file = secret("password", "open sesame");
        let auth = format!("http = {{ auth = {{ user = \"Aladdin\", password = {{ file = {file:?} }} }} }}");
        let client = server.client_with(&auth).await;
        fs::remove_file(&file).unwrap();
        client.send::<Empty>(get()).await.unwrap();
        assert_eq!(server.last().header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(!format!("{:?}", client.http).contains("sesame"));
    });
}

#[test]
fn a_secret_that_is_not_there_is_told_at_the_start() {
    run(async {
        let missing = "url = \"http://a\"\nhttp = { auth = { bearer = { env = \"SEAWALL_TEST_NO_SUCH\" } } }";
        let context = OpenContext::new("users", std::time::Duration::from_secs(1), PoolSettings::default());
        let error = Http::open(&toml::from_str(missing).unwrap(), &context).await.unwrap_err();
        assert!(error.to_string().contains("SEAWALL_TEST_NO_SUCH: it is not set"), "{error}");
    });
}
