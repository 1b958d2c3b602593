//! Settings that are wrong say what is right, and no setting shows a secret.

use seawall::{Runtime, downstream::Downstream};
use seawall_postgres::{Postgres, PostgresSettings};
use seawall_testkit::virtual_time;

fn read(text: &str) -> Result<PostgresSettings, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn what_is_wrong_is_said() {
    let user = "\npostgres = { user = \"shop\" }";
    for (text, part) in [
        (format!("url = \"db:5432\"{user}"), "begins with postgres://"),
        (user.to_owned(), "`url` is missing"),
        (format!("urls = []{user}"), "is empty"),
        (format!("url = \"postgres://a\"\nurls = [\"postgres://b\"]{user}"), "both set"),
        (format!("urls = [\"postgres://a\", \"postgres://a:5432\"]{user}"), "a:5432 is there twice"),
        (format!("urls = [\"postgres://a/x\", \"postgres://b/y\"]{user}"), "two databases"),
        (format!("url = \"postgres://shop:hunter2@db\"{user}"), "password = { env = \"..\" }"),
        (format!("url = \"postgres://db?sslmode=require\"{user}"), "each of them is a setting"),
        (format!("url = \"postgres://db:0\"{user}"), "host:port"),
        ("url = \"postgres://db\"\npostgres = { user = \"\" }".into(), "`postgres.user` is empty"),
        ("url = \"postgres://db\"\npostgres = { user = \"a\", password = \"hunter2\" }".into(), "must not be written here"),
        ("url = \"postgres://db\"\npostgres = { user = \"a\", ssl_mode = \"on\" }".into(), "verify-full"),
        ("url = \"postgres://db\"\npostgres = { user = \"a\", read_only_endpoints = [\"u@b\"] }".into(), "postgres.user"),
        (
            "url = \"postgres://db\"\ntls = { server_name = \"x\" }\npostgres = { user = \"a\", ssl_mode = \"disable\" }".into(),
            "is \"disable\"",
        ),
    ] {
        let error = read(&text).expect_err(&text);
        assert!(error.contains(part), "{text}: {error}");
        // The line of the file is toml's own; what stands behind it is ours.
        let ours = error.lines().last().unwrap_or_default();
        assert!(!ours.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_endpoint_is_named_without_who_we_are() {
    let text = "urls = [\"postgres://a\", \"postgresql://[::1]:6432/shop\"]\npostgres = { user = \"shop\" }";
    let settings = read(text).expect("valid");
    assert_eq!(Postgres::endpoints(&settings)[0].as_str(), "postgres://a:5432,[::1]:6432");
}

#[test]
fn defaults_are_explained_and_the_password_is_a_reference() {
    virtual_time(async || {
        let runtime = Runtime::builder()
            .kind::<Postgres>()
            .parse(
                "[services.orders]\nkind = \"postgres\"\nurl = \"postgres://db\"\npool = { max = 7 }\nstartup = { mode = \"lazy\" }\n\
                 postgres = { user = \"shop\", password = { env = \"PATH\" } }",
            )
            .expect("it is TOML")
            .current_thread()
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let rows = runtime.explain_settings("orders").expect("it is there").rows;
        let shown: Vec<_> = rows.iter().map(|row| format!("{} = {}", row.key, row.value)).collect();
        for row in [
            "postgres.password.env = \"PATH\"",
            "postgres.ssl_mode = \"verify-full\"",
            "postgres.statement_cache = 256",
            "postgres.statement_timeout = \"deadline\"",
            "postgres.read_only_endpoints = []",
            "postgres.max_result = \"32MiB\"",
            "pool.shards = 2",
            "bulkhead.max_in_flight = 7",
        ] {
            assert!(shown.contains(&format!("services.orders.{row}")), "{row} in {shown:#?}");
        }
        let path = std::env::var("PATH").expect("it is set");
        assert!(!shown.iter().any(|row| row.contains(&path)), "{shown:#?}");
        runtime.drain().await;
    });
}
