//! Files: which are read, which are missing, and what cannot be read.

use insta::assert_snapshot;

use crate::support::Directory;

#[test]
fn no_directory() {
    let directory = Directory::new("none", &[]);
    std::fs::remove_dir_all(directory.path()).expect("it can be removed");
    assert_snapshot!(directory.refused(None), @r#"
        the settings have an error
        error: there is no such directory; settings are read from its default.toml
          --> config
        "#);
}

#[test]
fn no_file() {
    assert_snapshot!(Directory::new("empty", &[("default.yaml", b"")]).refused(None), @r#"
        the settings have an error
        error: it holds no settings: none of default.toml, local.toml is there
          --> config
        "#);
}

#[test]
fn empty_file() {
    assert_snapshot!(Directory::new("blank", &[("default.toml", b" \n")]).refused(None), @r#"
        the settings have an error
        error: it is empty; delete it, or say in a comment that nothing is meant to be set
          --> config/default.toml
        "#);
}

#[test]
fn byte_order_mark_is_taken() {
    let directory = Directory::new("mark", &[("default.toml", "\u{feff}[services.users]".as_bytes())]);
    assert_eq!(directory.load(None, &[]).expect("it is right").services(), ["users"]);
}

#[test]
fn no_file_for_the_environment() {
    let directory = Directory::new("environment", &[("default.toml", b"#"), ("staging.toml", b"#")]);
    assert_snapshot!(directory.refused(Some("production")), @r#"
        the settings have an error
        error: there is no such file, and SEAWALL_ENV=production asks for it
          --> config/production.toml
        "#);
    directory.load(Some("staging"), &[]).expect("it is there");
    directory.load(Some(""), &[]).expect("none is asked for");
}

#[test]
fn environment_that_is_a_path() {
    let directory = Directory::new("hostile", &[("default.toml", b"a = ")]);
    assert_snapshot!(directory.refused(Some("../../etc/passwd")), @r#"
        the settings have 2 errors
        error: this is not TOML: string values must be quoted, expected literal string
          --> config/default.toml:1:5
        error: "../../etc/passwd" cannot be an environment's name: it is of letters, digits, - and _
          --> variable SEAWALL_ENV
        "#);
    assert_snapshot!(directory.refused(Some("a\u{fffd}\n")), @r#"
        the settings have 2 errors
        error: this is not TOML: string values must be quoted, expected literal string
          --> config/default.toml:1:5
        error: "a�\n" cannot be an environment's name: it is of letters, digits, - and _
          --> variable SEAWALL_ENV
        "#);
}

#[test]
fn not_utf8() {
    assert_snapshot!(Directory::new("binary", &[("default.toml", b"[services]\na = \"\xff\"")]).refused(None), @r#"
        the settings have an error
        error: it is not UTF-8: line 2, byte 16 of the file
          --> config/default.toml
        "#);
}

#[test]
fn too_large() {
    let large = vec![b'#'; (1 << 20) + 1];
    assert_snapshot!(Directory::new("large", &[("default.toml", &large)]).refused(None), @r#"
        the settings have an error
        error: it is larger than the 1024 KiB that settings may have
          --> config/default.toml
        "#);
}

#[test]
fn directory_in_place_of_a_file() {
    let directory = Directory::new("nested", &[("default.toml", b"#")]);
    std::fs::create_dir(directory.path().join("local.toml")).expect("it can be made");
    assert_snapshot!(directory.refused(None), @r#"
        the settings have an error
        error: it is a directory, not a file
          --> config/local.toml
        "#);
}

#[test]
fn errors_of_several_files_in_their_order() {
    let many = format!("{}[service.a]\n", "\n".repeat(10));
    let directory = Directory::new(
        "several",
        &[("default.toml", format!("\n[deflaults]{many}").as_bytes()), ("local.toml", b"a = 1\nb.c = 2\n")],
    );
    assert_snapshot!(directory.refused(None), @r#"
        the settings have 4 errors
        error: unknown section `deflaults`; did you mean `defaults`? Known here: defaults, kinds, runtime, services, telemetry
          --> config/default.toml:2:2: deflaults
        error: unknown section `service`; did you mean `services`? Known here: defaults, kinds, runtime, services, telemetry
          --> config/default.toml:12:2: service
        error: unknown section `a`; known here: defaults, kinds, runtime, services, telemetry
          --> config/local.toml:1:1: a
        error: unknown section `b`; known here: defaults, kinds, runtime, services, telemetry
          --> config/local.toml:2:1: b
        "#);
}

#[test]
fn broken_file_makes_no_variable_unknown() {
    let directory = Directory::new("broken", &[("default.toml", b"[services.orders")]);
    let errors = directory.load(None, &[("SEAWALL__SERVICES__ORDERS__TIMEOUT", "3s")]);
    assert_snapshot!(errors.expect_err("it is broken").to_string().replace(&directory.path().display().to_string(), "config"), @r#"
        the settings have an error
        error: this is not TOML: unclosed table, expected `]`
          --> config/default.toml:1:17
        "#);
}

#[cfg(unix)]
#[test]
fn pipe_in_place_of_a_file_is_not_waited_for() {
    let directory = Directory::new("pipe", &[("default.toml", b"#")]);
    let pipe = directory.path().join("local.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    assert_snapshot!(directory.refused(None), @r#"
        the settings have an error
        error: it is no regular file
          --> config/local.toml
        "#);
}
