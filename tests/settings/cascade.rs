//! Who beats whom: files by their order, scopes by how near they are to the call.

use std::time::Duration;

use insta::assert_snapshot;
use seawall::{
    config::{ConfigErrors, Layers},
    service::CallSettings,
};

use crate::support::{Directory, explained, layers, users_under};

/// The settings of a call of `users`.
fn call(layers: &Layers, kind_defaults: &str, derived: &str) -> CallSettings {
    let scope = layers.service("users", "vault", kind_defaults).expect("the defaults are TOML");
    let scope = layers.call(&scope, "users", "GetUser", derived).expect("the derive is TOML");
    let mut errors = ConfigErrors::new();
    let settings = scope.reader(&mut errors).read();
    settings.unwrap_or_else(|| panic!("{errors}"))
}

#[test]
fn scopes_beat_each_other_in_order() {
    let scopes = [
        "[defaults]\ntimeout = \"12s\"\n",
        "[kinds.vault]\ntimeout = \"13s\"\n",
        "[services.users]\nkind = \"vault\"\ntimeout = \"14s\"\n",
        "[services.users.calls.GetUser]\ntimeout = \"16s\"\n",
    ];
    let timeout = |written: &[&str], kind: &str, derived: &str| {
        let layers = layers(&written.concat(), &[]).expect("it is right");
        call(&layers, kind, derived).timeout.as_secs()
    };
    let (kind, derived) = ("timeout = \"11s\"", "timeout = \"15s\"");
    assert_eq!(timeout(&[], "", ""), 3);
    assert_eq!(timeout(&[], kind, ""), 11);
    assert_eq!(timeout(&scopes[..1], kind, ""), 12);
    assert_eq!(timeout(&scopes[..2], kind, ""), 13);
    assert_eq!(timeout(&scopes[..3], kind, ""), 14);
    assert_eq!(timeout(&scopes[..3], kind, derived), 15);
    assert_eq!(timeout(&scopes, kind, derived), 16);
}

#[test]
fn nearer_scope_beats_later_file() {
    let directory = Directory::new(
        "nearer",
        &[
            ("default.toml", b"[services.users]\nkind = \"vault\"\ntimeout = \"5s\""),
            ("local.toml", b"[defaults]\ntimeout = \"9s\"\nmax_timeout = \"10s\""),
        ],
    );
    let layers = directory.load(None, &[]).expect("it is right");
    let settings = call(&layers, "", "");
    assert_eq!((settings.timeout.as_secs(), settings.max_timeout.as_secs()), (5, 10));
}

#[test]
fn later_files_beat_earlier_ones_and_variables_all() {
    let timeouts = |timeout: &str, more: &str| {
        format!("[services.users]\nkind = \"vault\"\ntimeout = \"{timeout}\"\n{more}").into_bytes()
    };
    let directory = Directory::new(
        "later",
        &[
            ("default.toml", &timeouts("1s", "retry = { attempts = 5, on = [\"connect\", \"reset\"] }")),
            ("staging.toml", &timeouts("2s", "retry = { backoff = \"9ms\" }")),
            ("local.toml", &timeouts("3s", "retry.on = [\"timeout\"]")),
        ],
    );
    let variables = [("SEAWALL__SERVICES__USERS__TIMEOUT", "4s")];
    let read = |environment, variables: &[(&str, &str)]| {
        call(&directory.load(environment, variables).expect("it is right"), "", "")
    };
    assert_eq!(read(None, &[]).timeout.as_secs(), 3);
    assert_eq!(read(None, &variables).timeout.as_secs(), 4);
    let retry = read(Some("staging"), &[]).retry.expect("it is on");
    assert_eq!((retry.attempts, retry.backoff), (5, Duration::from_millis(9)));
    assert_eq!(retry.on.len(), 1, "arrays are replaced whole");
}

#[test]
fn false_turns_a_policy_off_and_a_table_on_again() {
    let on = "[services.users.calls.GetUser]\nretry = { backoff = \"5ms\" }";
    let off = "[defaults]\nretry = { attempts = 9 }\n[services.users]\nretry = false\n";
    let read = |settings: &str| call(&layers(settings, &[]).expect("it is right"), "", "").retry;
    assert_eq!(read(off), None);
    let retry = read(&format!("{off}{on}")).expect("it is on again");
    assert_eq!((retry.attempts, retry.backoff), (2, Duration::from_millis(5)), "what was off begins anew");
    assert_eq!(
        read("[defaults]\nrate = false\n[services.users]\nretry = {}").map(|retry| retry.attempts),
        Some(2)
    );
}

#[test]
fn order_in_a_whole_runtime() {
    let settings = "retry = { jitter = \"none\" }\n[kinds.vault]\nretry = { retry_after_max = \"9s\" }\n\
                    [defaults]\nretry = { attempts = 6 }\n[services.users.calls.Read]\nretry = { on = [] }";
    assert_snapshot!(explained(settings, &["retry."]), @r#"
        services.users.calls.Read.retry.backoff = "7ms"  # derive of Read
        services.users.calls.Read.retry.on = []  # settings:11:11
        services.users.retry.attempts = 6  # settings:9:11, over defaults of kind vault
        services.users.retry.backoff = "50ms"  # built-in default
        services.users.retry.backoff_max = "1s"  # built-in default
        services.users.retry.jitter = "none"  # settings:5:11
        services.users.retry.on = ["connect", "reset", "timeout", "overload"]  # built-in default
        services.users.retry.other_endpoint = true  # built-in default
        services.users.retry.retry_after_max = "9s"  # settings:7:11
        "#);
}

#[test]
fn service_with_a_dot_in_its_name_is_no_path() {
    let layers = layers("[services.\"a.b\"]\nkind = \"x\"\n[services.a.b]\n", &[]).expect("it is right");
    assert_eq!(layers.services(), ["a", "a.b"]);
    assert_eq!(layers.kind_of("a.b").as_deref(), Some("x"));
}

#[test]
fn table_of_names_takes_any_name() {
    let read = users_under("labels = { \"a.b\" = \"c\", kind = \"d\" }", &[]);
    assert_eq!(read.unwrap_or_else(|errors| panic!("{errors}")).own.labels.len(), 2);
}
