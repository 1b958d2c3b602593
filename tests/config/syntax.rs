//! What is no TOML, and what is no table where one must be.

use insta::assert_snapshot;

use crate::support::{refused, users_refused};

#[test]
fn several_syntax_errors() {
    assert_snapshot!(refused("kind = vault\nurl = \"a\ntimeout = 3s\nretry = { attempts = }\n[services\n"), @r#"
        the settings have 5 errors:
          settings:1:8: not TOML: string values must be quoted, expected literal string
          settings:2:9: not TOML: invalid basic string, expected `"`
          settings:3:11: not TOML: string values must be quoted, expected literal string
          settings:4:22: not TOML: invalid literal string, expected `'`
          settings:5:10: not TOML: unclosed table, expected `]`
        "#);
}

#[test]
fn duplicate_keys() {
    assert_snapshot!(users_refused("timeout = \"1s\"\ntimeout = \"2s\""), @r#"
        the settings have an error:
          settings:6:1: not TOML: duplicate key
        "#);
}

#[test]
fn duplicate_tables() {
    assert_snapshot!(users_refused("[services.users]\nkind = \"vault\""), @r#"
        the settings have 2 errors:
          settings:5:11: not TOML: duplicate key
          settings:6:1: not TOML: duplicate key
        "#);
}

#[test]
fn columns_count_characters() {
    assert_snapshot!(refused("a = \"\u{e4}\u{f6}\u{1f980}\" b"), @r#"
        the settings have an error:
          settings:1:11: not TOML: unexpected key or value, expected newline, `#`
        "#);
}

#[test]
fn rubbish_has_not_an_error_for_each_byte() {
    let errors = refused("= }\n".repeat(50_000));
    assert_eq!(errors.lines().count(), 21, "{errors}");
}

#[test]
fn sections_that_are_no_tables() {
    assert_snapshot!(refused("runtime = 1\ndefaults = true\nservices = \"users\"\nkinds = []"), @r#"
        the settings have 4 errors:
          settings:1:1: runtime: it must be a table, with its settings under [runtime]
          settings:2:1: defaults: it must be a table, with its settings under [defaults]
          settings:3:1: services: it must be a table, with its settings under [services]
          settings:4:1: kinds: it must be a table, with its settings under [kinds]
        "#);
}

#[test]
fn services_calls_and_kinds_that_are_no_tables() {
    let settings = "kinds.vault = 1\nservices.orders = \"vault\"\n[services.users]\nkind = \"vault\"\n\
                    calls = { Read = false }\n[services.others]\ncalls = 3";
    assert_snapshot!(refused(settings), @r#"
        the settings have 4 errors:
          settings:1:7: kinds.vault: it must be a table, with its settings under [kinds.vault]
          settings:2:10: services.orders: it must be a table, with its settings under [services.orders]
          settings:5:11: services.users.calls.Read: it must be a table, with its settings under [services.users.calls.Read]
          settings:7:1: services.others.calls: it must be a table, with its settings under [services.others.calls]
        "#);
}

#[test]
fn what_is_a_services_own_is_not_shared() {
    assert_snapshot!(refused("[defaults]\nkind = \"vault\"\n[kinds.vault.calls.Read]\ntimeout = \"3s\""), @r#"
        the settings have 2 errors:
          settings:2:1: defaults.kind: `kind` is each service's own: write it under [services.X]
          settings:3:14: kinds.vault.calls: `calls` is each service's own: write it under [services.X]
        "#);
}

#[test]
fn nested_too_deep() {
    let settings = format!("labels{} = 1", ".a".repeat(20));
    assert_snapshot!(users_refused(&settings), @r#"
        the settings have an error:
          settings:5:34: services.users.labels.a.a.a.a.a.a.a.a.a.a.a.a.a.a: nested deeper than the 16 tables that settings may be
        "#);
    let settings = format!("labels = {}1{}", "[".repeat(30), "]".repeat(30));
    assert_snapshot!(users_refused(&settings), @r#"
        the settings have an error:
          settings:5:25: services.users.labels: nested deeper than the 16 levels that settings may be
        "#);
}

#[test]
fn nesting_that_would_exhaust_the_stack() {
    let errors = users_refused(&format!("labels = {}1{}", "[".repeat(100_000), "]".repeat(100_000)));
    assert!(errors.contains("not TOML"), "{}", &errors[..500.min(errors.len())]);
}
