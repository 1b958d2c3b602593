//! Whatever is thrown at it, there is an answer: no panic, no endless loop, no guess.

use proptest::prelude::*;

use super::*;

/// Pieces that settings are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[services.users]\n",
        "[services.users.calls.GetUser]\n",
        "[defaults]\n",
        "[kinds.http]\n",
        "[runtime]\n",
        "[services]\n",
        "[[services]]\n",
        "[services.\"\"]\n",
        "services.users.",
        "timeout",
        "breaker",
        "retry",
        "hedge",
        "pool",
        "token",
        "headers",
        "tls",
        "roots",
        "calls",
        "threads",
        "minimum_calls",
        " = ",
        ".",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"5s\"",
        "\"",
        "'",
        "'''",
        "5",
        "-1",
        "1.9",
        "nan",
        "0xff",
        "1e400",
        "true",
        "false",
        "2026-11-25",
        "\"50%\"",
        "{ env = \"A\" }",
        "{ calls = 1 }",
        "#",
        "\u{0}",
        "\u{feff}",
        "é",
        "\\u0041",
        "\r\n",
        "\"\\uD800\"",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn lines() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "timeout",
        "breaker",
        "breaker.minimum_calls",
        "breaker.error_threshold",
        "retry",
        "hedge",
        "hedge.delay",
        "pool",
        "pool.max",
        "token",
        "headers",
        "tls.roots",
        "calls.GetUser.timeout",
        "calls.GetUser",
        "nonsense",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1.9",
        "inf",
        "true",
        "false",
        "\"5s\"",
        "\"5\"",
        "\"50%\"",
        "[]",
        "[1, \"reset\", {}]",
        "{}",
        "{ a = 1 }",
        "{ delay = 1, attempts = \"x\" }",
        "{ file = \"x\" }",
        "{ env = \"x\", file = 1 }",
        "07:32:00",
    ]);
    let line = (key, value).prop_map(|(key, value)| format!("{key} = {value}\n"));
    let section =
        prop::sample::select(vec!["defaults", "kinds.http", "services.users", "services.a-b", "runtime"]);
    let section = (section, prop::collection::vec(line, 0..6))
        .prop_map(|(name, lines)| format!("[{name}]\n{}", lines.concat()));
    prop::collection::vec(section, 0..5).prop_map(|sections| sections.concat())
}

fn variable() -> impl Strategy<Value = (String, String)> {
    let part = prop::sample::select(vec![
        "SERVICES",
        "users",
        "USERS",
        "A_B",
        "CALLS",
        "GETUSER",
        "TIMEOUT",
        "BREAKER",
        "MINIMUM_CALLS",
        "",
        "_",
        "é",
    ]);
    let value =
        prop::sample::select(vec!["5s", "", "false", "[", "[1]", "{a=1}", "{", "1e9", "-", "nan", "\u{1f}"]);
    (prop::collection::vec(part, 0..8), value)
        .prop_map(|(parts, value)| (format!("SEAWALL__{}", parts.join("__")), value.to_owned()))
}

/// Reads settings, and holds every error to what errors promise.
fn judge(text: &str, variables: Vec<(String, String)>) {
    let errors = match Layers::parse(text, variables, &names()).and_then(|layers| read(&layers)) {
        Ok(()) => return,
        Err(errors) => errors,
    };
    assert!(!errors.is_empty());
    for error in errors.iter() {
        assert!(!error.message.is_empty());
        let placed = !matches!(error.origin, Origin::BuiltIn) || !error.key.is_empty();
        assert!(placed, "this error says no place: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in ".{0,200}") {
        judge(&text, Vec::new());
    }

    #[test]
    fn any_pieces(text in pieces(), variables in prop::collection::vec(variable(), 0..3)) {
        judge(&text, variables);
    }

    #[test]
    fn any_settings(text in lines(), variables in prop::collection::vec(variable(), 0..4)) {
        judge(&text, variables);
    }
}

#[test]
fn settings_nested_without_end_are_refused() {
    for text in [
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{ a = ".repeat(100_000)),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        format!("{} = 1", vec!["services"; 70].join(".")),
    ] {
        assert!(parse(&text, &[]).is_err());
    }
    let name = format!("SEAWALL__RUNTIME{}", "__A".repeat(100_000));
    assert!(parse("", &[(&name, "1")]).is_err());
    let value = "[".repeat(100_000);
    assert!(parse("", &[("SEAWALL__RUNTIME__THREADS", &value)]).and_then(|layers| read(&layers)).is_err());
}
