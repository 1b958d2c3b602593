//! Settings are judged when they are read, and explained as they are written.

mod support;

use seawall::Runtime;
use seawall_redis::Redis;
use support::{Subject, run};

async fn refused(settings: &str) -> String {
    let settings = format!("[services.cache]\nkind = \"redis\"\n{settings}");
    let builder =
        Runtime::builder().kind::<Redis>().parse(settings).unwrap_or_else(|error| panic!("{error}"));
    match builder.start().await {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_says_what_to_do() {
    run(async {
        for (settings, told) in [
            ("", "`url` is missing"),
            ("url = \"http://cache\"", "begins with redis://"),
            ("url = \"redis://user:canary@cache\"", "no password"),
            ("url = \"redis://cache/3\"", "`redis.database`"),
            ("url = \"redis://cache\"\ntls = { min_version = \"1.3\" }", "write rediss://"),
            ("url = \"redis://cache\"\nredis = { connections = 0 }", "from 1 to 16"),
            ("url = \"redis://cache\"\nredis = { check = \"1ms\" }", "from \"20ms\""),
            ("url = \"redis://cache\"\nredis = { username = \"shop\" }", "without a password"),
            ("url = \"redis://cache\"\nredis = { password = \"canary\" }", "must not be written here"),
            ("url = \"redis://cache\"\nredis = { databse = 1 }", "database"),
        ] {
            let error = refused(settings).await;
            assert!(error.contains(told), "{settings}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    });
}

#[test]
fn they_are_explained_with_their_defaults() {
    run(async {
        let settings =
            "url = \"redis://127.0.0.1:1\"\nredis = { connections = 3, password = { env = \"PATH\" } }";
        let subject = Subject::start(settings).await;
        let rows = subject.runtime.explain_settings("cache").unwrap().rows;
        let own: Vec<_> = rows
            .into_iter()
            .filter_map(|row| Some((row.key.strip_prefix("services.cache.redis.")?.to_owned(), row.value)))
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        assert_eq!(
            own,
            [
                "check = \"1s\"",
                "connections = 3",
                "database = 0",
                "password.env = \"PATH\"",
                "topology = \"standalone\"",
                "username = false",
            ]
        );
        subject.end().await;
    });
}
