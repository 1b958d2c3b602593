//! What is no TOML, and what is no table where one must be.

use insta::assert_snapshot;

use crate::support::{refused, users_refused};

#[test]
fn several_syntax_errors() {
    assert_snapshot!(refused("kind = vault\nurl = \"a\ntimeout = 3s\nretry = { attempts = }\n[services\n"), @r#"
        the settings have 5 errors
        error: this is not TOML: string values must be quoted, expected literal string
          --> settings:1:8
        error: this is not TOML: invalid basic string, expected `"`
          --> settings:2:9
        error: this is not TOML: string values must be quoted, expected literal string
          --> settings:3:11
        error: this is not TOML: invalid literal string, expected `'`
          --> settings:4:22
        error: this is not TOML: unclosed table, expected `]`
          --> settings:5:10
        "#);
}

#[test]
fn duplicate_keys() {
    assert_snapshot!(users_refused("timeout = \"1s\"\ntimeout = \"2s\""), @r#"
        the settings have an error
        error: this is not TOML: duplicate key
          --> settings:6:1
        "#);
}

#[test]
fn duplicate_tables() {
    assert_snapshot!(users_refused("[services.users]\nkind = \"vault\""), @r#"
        the settings have 2 errors
        error: this is not TOML: duplicate key
          --> settings:5:11
        error: this is not TOML: duplicate key
          --> settings:6:1
        "#);
}

#[test]
fn columns_count_characters() {
    assert_snapshot!(refused("a = \"\u{e4}\u{f6}\u{1f980}\" b"), @r#"
        the settings have an error
        error: this is not TOML: unexpected key or value, expected newline, `#`
          --> settings:1:11
        "#);
}

#[test]
fn rubbish_has_not_an_error_for_each_byte() {
    let errors = refused("= }\n".repeat(50_000));
    assert!(errors.lines().count() < 100, "{errors}");
}

#[test]
fn sections_that_are_no_tables() {
    assert_snapshot!(refused("runtime = 1\ndefaults = true\nservices = \"users\"\nkinds = []"), @r#"
        the settings have 4 errors
        error: found the integer 1; wanted a table: [runtime]
          --> settings:1:1: runtime
        error: found true; wanted a table: [defaults]
          --> settings:2:1: defaults
        error: found "users"; wanted a table: [services]
          --> settings:3:1: services
        error: found an array; wanted a table: [kinds]
          --> settings:4:1: kinds
        "#);
}

#[test]
fn services_calls_and_kinds_that_are_no_tables() {
    let settings = "kinds.vault = 1\nservices.orders = \"vault\"\n[services.users]\nkind = \"vault\"\n\
                    calls = { Read = false }\n[services.others]\ncalls = 3";
    assert_snapshot!(refused(settings), @r#"
        the settings have 7 errors
        error: found the integer 1; wanted a table: [kinds.vault]
          --> settings:1:7: kinds.vault
        error: found "vault"; wanted a table: [services.orders]
          --> settings:2:10: services.orders
        error: it is missing, and has no default
          --> settings:3:11: services.users.token
        error: it is missing, and has no default
          --> settings:3:11: services.users.url
        error: found false; wanted a table: [services.users.calls.Read]
          --> settings:5:11: services.users.calls.Read
        error: `kind` is missing: say what kind of downstream it is, one of "func", "vault"
          --> settings:6:11: services.others.kind
        error: found the integer 3; wanted a table: [services.others.calls]
          --> settings:7:1: services.others.calls
        "#);
}

#[test]
fn what_is_a_services_own_is_not_shared() {
    assert_snapshot!(refused("[defaults]\nkind = \"vault\"\n[kinds.vault.calls.Read]\ntimeout = \"3s\""), @r"
        the settings have 2 errors
        error: each service says itself of what kind it is; write `kind` in [services.X]
          --> settings:2:1: defaults.kind
        error: calls are a service's own; write them as [services.X.calls.C]
          --> settings:3:14: kinds.vault.calls
        ");
}

#[test]
fn nested_too_deep() {
    let settings = format!("labels{} = 1", ".a".repeat(20));
    assert_snapshot!(users_refused(&settings), @r#"
        the settings have an error
        error: this is nested deeper than 16 levels, and no setting is
          --> settings:5:34: services.users.labels.a.a.a.a.a.a.a.a.a.a.a.a.a.a
        "#);
    let settings = format!("labels = {}1{}", "[".repeat(30), "]".repeat(30));
    assert_snapshot!(users_refused(&settings), @r#"
        the settings have an error
        error: this is nested deeper than 16 levels, and no setting is
          --> settings:5:24: services.users.labels
        "#);
}

#[test]
fn nesting_that_would_exhaust_the_stack() {
    let errors = users_refused(&format!("labels = {}1{}", "[".repeat(100_000), "]".repeat(100_000)));
    assert!(errors.contains("not TOML"), "{}", &errors[..500.min(errors.len())]);
}
