//! Secrets are references: what is secret is in no settings, and in no text about them.

use std::{fs, io::Write as _};

use insta::assert_snapshot;
use seawall::config::Secret;

use crate::support::{Directory, explained, refused, users_under, variables_refused};

fn token(written: &str) -> String {
    refused(format!("[services.users]\nkind = \"vault\"\nurl = \"a\"\ntoken = {written}"))
}

#[test]
fn written_in_plain() {
    let errors = token("\"hunter2\"");
    assert!(!errors.contains("hunter2"));
    assert_snapshot!(errors, @r#"
        the settings have an error
        error: a secret must not be written here; refer to it by { env = "NAME" } or { file = "path" }
          --> settings:4:1: services.users.token
        "#);
    for plain in
        ["4711", "-4711", "47.11", "[\"4711\"]", "{ value = \"4711\" }", "{ env = \"A\", file = \"4711\" }"]
    {
        let errors = token(plain);
        assert!(!errors.contains("4711") && !errors.contains("47.11"), "{errors}");
    }
}

#[test]
fn plain_in_a_variable() {
    for plain in ["hunter2", "4711", "[hunter2", "{hunter2}"] {
        let errors = variables_refused(&[("SEAWALL__SERVICES__USERS__TOKEN", plain)]);
        assert!(!errors.contains(plain.trim_matches(['[', '{', '}'])), "{errors}");
    }
    assert_snapshot!(variables_refused(&[("SEAWALL__SERVICES__USERS__TOKEN", "hunter2")]), @r#"
        the settings have an error
        error: a secret must not be written here; refer to it by { env = "NAME" } or { file = "path" }
          --> variable SEAWALL__SERVICES__USERS__TOKEN: services.users.token
        "#);
}

#[test]
fn of_both_sorts_or_none() {
    assert_snapshot!(token("{ env = \"A\", file = \"b\" }"), @r#"
        the settings have an error
        error: exactly one of `env` and `file` says where the secret is
          --> settings:4:1: services.users.token
        "#);
    assert_snapshot!(token("{}"), @r#"
        the settings have an error
        error: exactly one of `env` and `file` says where the secret is
          --> settings:4:1: services.users.token
        "#);
    assert_snapshot!(token("{ enw = \"A\" }"), @r#"
        the settings have an error
        error: exactly one of `env` and `file` says where the secret is
          --> settings:4:1: services.users.token
        "#);
    assert_snapshot!(token("true"), @r#"
        the settings have an error
        error: a secret must not be written here; refer to it by { env = "NAME" } or { file = "path" }
          --> settings:4:1: services.users.token
        "#);
}

#[test]
fn later_reference_replaces_an_earlier_one() {
    let read = users_under("", &[("SEAWALL__SERVICES__USERS__TOKEN", "{ file = \"Cargo.toml\" }")]);
    assert_eq!(read.unwrap_or_else(|errors| panic!("{errors}")).own.token, Secret::File("Cargo.toml".into()));
}

#[test]
fn password_of_an_address_is_not_shown() {
    let errors = refused("[services.users]\nkind = \"vault\"\ntimeout = \"redis://ann:hunter2@host:1/a@b\"");
    assert!(!errors.contains("hunter2"), "{errors}");
    let explanation = explained("labels = { main = \"redis://ann:hunter2@host:1/0\" }", &["labels"]);
    assert_snapshot!(explanation, @r#"services.users.labels.main = "redis://ann:...@host:1/0"  # settings:5:12"#);
}

#[test]
fn shown_as_references_only() {
    assert_snapshot!(explained("", &["token"]), @r#"services.users.token.env = "PATH"  # settings:4:11"#);
    let secret = Secret::Env("USERS_TOKEN".to_owned());
    assert_eq!(format!("{secret:?} {secret}"), "Env(\"USERS_TOKEN\") the secret in variable USERS_TOKEN");
}

#[test]
fn values_are_read_compared_and_not_shown() {
    let directory =
        Directory::new("secrets", &[("a", b"hunter2\n"), ("b", b"hunter2"), ("c", b"hunter3"), ("d", b"\n")]);
    let secret = |name: &str| Secret::File(directory.path().join(name));
    let read = |name: &str| secret(name).read().expect("it is there");
    assert_eq!(read("a"), read("b"));
    assert_ne!(read("a"), read("c"));
    assert_eq!(read("a").expose(), "hunter2");
    assert_eq!(format!("{:?}", read("a")), "SecretValue(..)");
    let why = |name: &str| {
        let error = secret(name).read().expect_err("there is none").to_string();
        error.replace(&directory.path().display().to_string(), "config")
    };
    assert_snapshot!(why("d"), @r#"the secret in file config/d: it is empty"#);
    assert_snapshot!(why("e"), @r#"the secret in file config/e: No such file or directory (os error 2)"#);
    fs::File::create(directory.path().join("f"))
        .and_then(|mut file| file.write_all(&[b'x'; 70_000]))
        .expect("it is written");
    assert_snapshot!(why("f"), @r#"the secret in file config/f: it is too large for a secret"#);
    fs::write(directory.path().join("g"), b"\xff").expect("it is written");
    assert_snapshot!(why("g"), @r#"the secret in file config/g: stream did not contain valid UTF-8"#);
    let unset = Secret::Env("SEAWALL_TEST_NOT_SET".to_owned());
    assert_snapshot!(unset.read().expect_err("it is not set"), @r#"the secret in variable SEAWALL_TEST_NOT_SET: it is not set"#);
}
