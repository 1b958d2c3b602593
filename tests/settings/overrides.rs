//! What is said against an override, and what one may say.

use std::{fs, time::Duration};

use insta::assert_snapshot;
use seawall::{Runtime, config::Secret, telemetry::What};
use seawall_testkit::virtual_time;
use serde::Serialize;

use crate::{
    kind::{Downstreams, Vault},
    support::{Directory, USERS},
};

async fn started(settings: &str) -> Runtime {
    let builder = Runtime::builder().kind::<Vault>().services::<Downstreams>().current_thread();
    let started = builder.parse(settings).expect("it is TOML").start().await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// What is said against each of these; when they would have ended is left out.
fn refused(overrides: Vec<(&'static str, toml::Value)>) -> String {
    virtual_time(async move || {
        let runtime = started(USERS).await;
        let mut told = String::new();
        for (path, value) in overrides {
            let set = runtime.set(path, value.clone()).by("ops").because("a test");
            let Err(error) = set else { panic!("{path} = {value} is taken") };
            for line in error.to_string().lines().filter(|line| !line.starts_with("the settings have")) {
                let (before, until) = line.split_once(", until ").unwrap_or((line, ""));
                let after = until.split_once(": ").map_or("", |(_, key)| key);
                told.push_str(before);
                told.push_str(if after.is_empty() { "" } else { ": " });
                told.push_str(after);
                told.push('\n');
            }
        }
        told
    })
}

fn text(text: &str) -> toml::Value {
    toml::Value::String(text.to_owned())
}

#[test]
fn paths_that_lead_nowhere() {
    let paths = [
        "",
        "users",
        "users..timeout",
        "users.\"timeout",
        "usres.timeout",
        "users.timout",
        "users.breaker.widnow",
        "users.calls",
        "users.calls.Read",
        "users.calls.Raed.timeout",
        "users.calls.Read.pool.max",
        "users.kind",
        "users.startup.mode",
        "services",
        "runtime.drain",
        "telemetry.publish",
        "defaults.timeout",
        "kinds.vault.timeout",
    ];
    assert_snapshot!(refused(paths.into_iter().map(|path| (path, text("1s"))).collect()), @r#"
        error: this is no path of a setting: keys are separated by dots, and one that has a dot is quoted, as in `"a.b".timeout`
          --> override by ops, because a test
        error: it names a whole service; name a setting in it, such as `users.timeout`
          --> override by ops, because a test: users
        error: this is no path of a setting: keys are separated by dots, and one that has a dot is quoted, as in `"a.b".timeout`
          --> override by ops, because a test: users..timeout
        error: this is no path of a setting: keys are separated by dots, and one that has a dot is quoted, as in `"a.b".timeout`
          --> override by ops, because a test: users."timeout
        error: unknown service `usres`; did you mean `users`?
          --> override by ops, because a test: usres.timeout
        error: unknown key `timout`; did you mean `timeout`?
          --> override by ops, because a test: services.users.timout
        error: unknown key `widnow`; did you mean `window`?
          --> override by ops, because a test: services.users.breaker.widnow
        error: it names no call; write `users.calls.GetReport.timeout`
          --> override by ops, because a test: users.calls
        error: it names a whole call; name a setting in it, such as `users.calls.Read.timeout`
          --> override by ops, because a test: users.calls.Read
        error: unknown call `Raed`; did you mean `Read`? Known here: Read, Write
          --> override by ops, because a test: users.calls.Raed.timeout
        error: unknown key `pool`; known here: attempt_timeout, breaker, bulkhead, cache, classify, faults, hedge, max_timeout, on_cancel, priority, rate, retry, throttle, timeout
          --> override by ops, because a test: services.users.calls.Read.pool.max
        error: `kind` is read when the service is made; to override it changes nothing
          --> override by ops, because a test: users.kind
        error: `startup` is read when the service is made; to override it changes nothing
          --> override by ops, because a test: users.startup.mode
        error: it names no service; write `users.timeout`
          --> override by ops, because a test: services
        error: `runtime` is read once, at the start; only a service's settings can be overridden
          --> override by ops, because a test: runtime.drain
        error: `telemetry` is read once, at the start; only a service's settings can be overridden
          --> override by ops, because a test: telemetry.publish
        error: `defaults` is for files; an override is of one service, so that it is known whom it meets
          --> override by ops, because a test: defaults.timeout
        error: `kinds` is for files; an override is of one service, so that it is known whom it meets
          --> override by ops, because a test: kinds.vault.timeout
        "#);
}

#[test]
fn values_that_are_wrong() {
    let mut table = toml::Table::new();
    table.insert("max_in_flight".to_owned(), 0.into());
    table.insert("max_queue".to_owned(), text("many"));
    let values = vec![
        ("users.timeout", 5.into()),
        ("users.timeout", text("5 parsecs")),
        ("users.timeout", text("2m")),
        ("users.breaker.error_threshold", 50.into()),
        ("users.bulkhead", table.into()),
        ("users.url", 5.into()),
        ("users.calls.Read.timeout", text("0s")),
        // The derive of `Read` says 7s.
        ("users.max_timeout", text("6s")),
    ];
    assert_snapshot!(refused(values), @r#"
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> override by ops, because a test: services.users.timeout
        error: found "5 parsecs"; wanted a duration with its unit, such as "30s" or "500ms"
          --> override by ops, because a test: services.users.timeout
        error: timeout = 2m is longer than max_timeout = 1m
          --> override by ops, because a test: services.users.timeout
        error: 50 could mean 50% or 50 times; write "50%"
          --> override by ops, because a test: services.users.breaker.error_threshold
        error: with 0 no call could be made; it must be at least 1
          --> override by ops, because a test: services.users.bulkhead.max_in_flight
        error: found "many"; wanted an integer from 0 to 4294967295
          --> override by ops, because a test: services.users.bulkhead.max_queue
        error: found the integer 5; wanted text in quotes
          --> override by ops, because a test: services.users.url
        error: it must be longer than 0s: a call always has a deadline
          --> override by ops, because a test: services.users.calls.Read.timeout
        error: timeout = 7s is longer than max_timeout = 6s
          --> override by ops, because a test: services.users.max_timeout
        "#);
}

#[test]
fn a_secret_is_no_plain_value_and_is_not_repeated() {
    let told = refused(vec![("users.token", text("hunter2"))]);
    assert!(!told.contains("hunter2"), "{told}");
    assert_snapshot!(told, @r#"
        error: a secret must not be written here; refer to it by { env = "NAME" } or { file = "path" }
          --> override by ops, because a test: services.users.token
        "#);
    let told = refused(vec![("users.token.env", text("SEAWALL_THERE_IS_NONE"))]);
    assert_snapshot!(told, @r"
        error: the secret in variable SEAWALL_THERE_IS_NONE: it is not set
          --> override by ops, because a test: services.users.token.env
        ");
}

#[test]
fn a_secret_is_overridden_by_another_reference() {
    virtual_time(async || {
        let runtime = started(USERS).await;
        let home = Secret::Env("HOME".to_owned());
        let set = runtime.set("users.token", home).because("a test").expect("it is one");
        assert_eq!(set.value, "{ env = \"HOME\" }");
        runtime.set("users.url", "https://me:hunter2@users.internal").because("a test").expect("it is text");
        let shown =
            format!("{:?}{}", runtime.overrides(), runtime.explain_settings("users").expect("it is there"));
        assert!(!shown.contains("hunter2"), "{shown}");
    });
}

/// No setting is bytes.
struct Bytes;

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(b"x")
    }
}

#[test]
fn what_settings_cannot_hold() {
    virtual_time(async || {
        let runtime = started(USERS).await;
        let error = runtime.set("users.url", Bytes).because("a test").expect_err("it is no text").to_string();
        assert!(error.contains("no setting can be this: bytes are no text"), "{error}");
        let long = runtime.set("users.timeout", "1s").lasting(Duration::from_secs(7 * 24 * 3600));
        assert_snapshot!(long.because("a test").expect_err("it is too long"), @"an override lasts longer than 0s and at most 1day, and was to last 7days; what is meant to stay belongs in a file");
        let none = runtime.set("users.timeout", "1s").because("");
        assert_snapshot!(none.expect_err("it has no reason"), @"an override needs a reason, for whoever finds it: say one with `because`");
        assert_snapshot!(runtime.unset("users.timeout").expect_err("there is none"), @"unknown override `users.timeout`; none are known here");
        runtime.set("users.timeout", "1s").because("a test").expect("it is right");
        assert_snapshot!(runtime.unset("users.tiemout").expect_err("there is none"), @"unknown override `users.tiemout`; known here: services.users.timeout");
    });
}

#[test]
fn texts_are_cut_and_keep_to_their_line() {
    virtual_time(async || {
        let runtime = started(USERS).await;
        let set = runtime.set("users.timeout", "1s").by("me\nthere").because(&"long\t".repeat(100));
        let set = set.expect("it is right");
        assert_eq!((set.by.as_str(), set.because.len()), ("me there", 200));
        assert!(!runtime.explain_settings("users").expect("there").to_string().contains('\t'));
        let json = serde_json::to_value(runtime.overrides()).expect("it can be written");
        let until = json[0]["until"].as_str().expect("it is text");
        assert!(until.ends_with('Z') && until.contains('T'), "{until}");
    });
}

#[test]
fn an_end_that_cannot_be_put_in_force_is_tried_again() {
    virtual_time(async || {
        let directory = Directory::new("override-secret", &[("token", b"xyz")]);
        let file = directory.path().join("token");
        let settings = USERS.replace("env = \"PATH\"", &format!("file = {file:?}"));
        let runtime = started(&settings).await;
        runtime.set("users.timeout", "1s").lasting(Duration::from_secs(60)).because("a test").expect("right");
        fs::remove_file(&file).expect("it is there");
        let mut events = runtime.events();
        tokio::time::sleep(Duration::from_secs(61)).await;
        let mut told = std::iter::from_fn(|| events.try_next());
        assert!(told.any(|event| matches!(event.what, What::ReloadRefused { .. })), "it is told");
        assert_eq!(runtime.overrides().len(), 1, "it is in force, so it is listed");
        fs::write(&file, "xyz").expect("it can be written");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(runtime.overrides(), []);
    });
}

#[test]
fn explain_tells_an_override_and_what_it_beat() {
    virtual_time(async || {
        let runtime = started(&format!("{USERS}timeout = \"5s\"\nbreaker = {{ buckets = 5 }}")).await;
        let set =
            |path: &str, value| runtime.set(path, value).by("ops").because("a test").expect("it is right");
        set("users.timeout", toml::Value::from("1s"));
        set("users.breaker", toml::Value::from(false));
        set("users.calls.Write.priority", toml::Value::from("low"));
        let mut rows = runtime.explain_settings("users").expect("it is there");
        rows.rows.retain(|row| row.origin.to_string().starts_with("override"));
        let until = |text: &str| {
            let (before, rest) = text.split_once(", until ").expect("it has an end");
            format!("{before}{}\n", rest.split_once('Z').map_or("", |(_, beaten)| beaten))
        };
        let told: String = rows.to_string().lines().map(until).collect();
        assert_snapshot!(told, @r#"
        services.users.breaker = false  # override by ops, because a test, over settings:6:1
        services.users.calls.Read.timeout = "1s"  # override by ops, because a test, over derive of Read, settings:5:1, defaults of kind vault
        services.users.calls.Write.priority = "low"  # override by ops, because a test
        services.users.timeout = "1s"  # override by ops, because a test, over settings:5:1, defaults of kind vault
        "#);
    });
}
