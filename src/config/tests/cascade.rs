use std::time::Duration;

use super::{settings::PerCall, *};

const TEXT: &str = r#"
    [defaults]
    timeout = "10s"
    attempt_timeout = "1s"
    retry = ["connect", "reset"]
    breaker = { minimum_calls = 1, reset_growth = 1.5 }

    [kinds.http]
    timeout = "20s"
    breaker = { minimum_calls = 2 }

    [services.users]
    url = "a"
    retry = ["timeout"]

    [services.users.calls.GetUser]
    attempt_timeout = false
"#;

fn timeout(scope: &Scope) -> Duration {
    take::<PerCall>(scope).timeout
}

#[test]
fn the_more_specific_scope_wins_table_by_table() {
    let layers = parse(TEXT, &[]).unwrap();
    read(&layers).unwrap();
    let scope = users(&layers);
    let read: PerCall = take(&scope);
    assert_eq!(read.timeout, Duration::from_secs(20));
    assert_eq!(read.attempt_timeout, Some(Duration::from_secs(1)));
    assert_eq!(read.retry.len(), 1, "arrays are replaced whole");
    let breaker = read.breaker.unwrap();
    assert_eq!((breaker.minimum_calls, breaker.reset_growth), (2, 1.5));

    let call =
        layers.call(&scope, "users", "GetUser", "timeout = \"30s\"\nattempt_timeout = \"2s\"").unwrap();
    let read: PerCall = take(&call);
    assert_eq!((read.timeout, read.attempt_timeout), (Duration::from_secs(30), None));
}

#[test]
fn each_weaker_scope_counts_where_no_stronger_speaks() {
    let seconds = |text: &str| {
        let layers = parse(text, &[]).unwrap();
        timeout(&users(&layers)).as_secs()
    };
    assert_eq!(seconds("[services.users]"), 5, "the kind's");
    assert_eq!(seconds("[defaults]\ntimeout = \"6s\""), 6);
    assert_eq!(seconds("[defaults]\ntimeout = \"6s\"\n[kinds.http]\ntimeout = \"7s\""), 7);
    assert_eq!(seconds("[defaults]\ntimeout = \"6s\"\n[services.users]\ntimeout = \"8s\""), 8);
    let layers = parse("", &[]).unwrap();
    assert_eq!(timeout(&layers.service("users", "http", "").unwrap()).as_secs(), 3, "the library's");
}

#[test]
fn what_is_off_hides_what_weaker_scopes_say() {
    let layers =
        parse("[defaults.breaker]\nminimum_calls = 1\n[services.users]\nbreaker = false", &[]).unwrap();
    let scope = users(&layers);
    assert_eq!(take::<PerCall>(&scope).breaker, None);
    assert!(scope.is_written("breaker") && !scope.is_written("breaker.minimum_calls"));
    let call = layers.call(&scope, "users", "GetUser", "breaker = { minimum_calls = 7 }").unwrap();
    let breaker = take::<PerCall>(&call).breaker.unwrap();
    assert_eq!((breaker.minimum_calls, breaker.reset_growth), (7, 2.0));
}

#[test]
fn an_override_beats_all_files_and_a_narrower_one_beats_it() {
    let layers = parse(TEXT, &[("SEAWALL__SERVICES__USERS__TIMEOUT", "7s")]).unwrap();
    let set =
        |layers: &Layers, keys: &[&str], value: &str| layers.with_override(keys, &value, "a test").unwrap();
    let wide = set(&layers, &["services", "users", "timeout"], "1s");
    let call =
        |layers: &Layers| layers.call(&users(layers), "users", "GetUser", "timeout = \"30s\"").unwrap();
    assert_eq!(timeout(&users(&wide)).as_secs(), 1);
    assert_eq!(timeout(&call(&wide)).as_secs(), 1);
    let narrow = set(&wide, &["services", "users", "calls", "GetUser", "timeout"], "2s");
    assert_eq!(timeout(&users(&narrow)).as_secs(), 1);
    assert_eq!(timeout(&call(&narrow)).as_secs(), 2);
    let off = narrow.with_override(&["services", "users", "breaker"], &None::<bool>, "a test").unwrap();
    assert_eq!(take::<PerCall>(&call(&off)).breaker, None);
    assert_eq!(timeout(&call(&layers)).as_secs(), 30, "the first is as it was");
}

#[test]
fn an_override_is_judged_like_a_file() {
    let layers = parse("[services.users]", &[]).unwrap();
    let unknown = layers.with_override(&["servces", "users", "timeout"], &"1s", "a test").unwrap_err();
    insta::assert_snapshot!("override_of_no_section", unknown);
    let wrong = layers.with_override(&["services", "users", "timeout"], &5, "a test").unwrap();
    insta::assert_snapshot!("override_of_the_wrong_type", read(&wrong).unwrap_err());
    assert!(layers.with_override(&[], &5, "a test").is_err());
    assert!(layers.with_override(&["services"], &5, "a test").is_err());
}

#[test]
fn the_programs_own_texts_are_judged_too() {
    let layers = parse("[services.users]", &[]).unwrap();
    insta::assert_snapshot!(
        "kind_defaults_that_are_no_toml",
        layers.service("users", "http", "timeout = 5s").unwrap_err()
    );
    let derived = "timeout = \"1s\"\nrety = []";
    let call = layers.call(&users(&layers), "users", "GetUser", derived).unwrap();
    let mut errors = ConfigErrors::new();
    let mut reader = call.reader(&mut errors);
    let _ = reader.read::<PerCall>();
    reader.finish(&[]);
    insta::assert_snapshot!("derive_with_an_unknown_key", errors);
}

#[test]
fn contradictions_are_told_where_they_are_written() {
    let layers = parse("[defaults]\ntimeout = \"1s\"\n[services.users]\nurl = \"a\"", &[]).unwrap();
    let scope = users(&layers);
    let mut errors = ConfigErrors::new();
    scope.error(&mut errors, "timeout", "too short");
    scope.error(&mut errors, "pool.max", "too few");
    layers.error(&mut errors, &["services", "users"], "nobody asked for it");
    insta::assert_snapshot!("contradictions", errors);
}

#[test]
fn paths_are_taken_apart_as_they_are_shown() {
    let split = |path: &str| super::super::split(path).map(|keys| keys.join("|"));
    assert_eq!(split("users.timeout").as_deref(), Some("users|timeout"));
    assert_eq!(
        split("services.\"a.b\".calls.\"c d\".timeout").as_deref(),
        Some("services|a.b|calls|c d|timeout")
    );
    for path in ["", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "a\"b", "\"\".a"] {
        assert_eq!(split(path), None, "{path}");
    }
}
