//! Files: which are read, which are missing, and what cannot be read.

use insta::assert_snapshot;

use crate::support::Directory;

#[test]
fn no_directory() {
    let directory = Directory::new("none", &[]);
    std::fs::remove_dir_all(directory.path()).expect("it can be removed");
    assert_snapshot!(directory.refused(None), @r#"
        the settings have an error:
          config: there is no such directory; settings are read from the files in it
        "#);
}

#[test]
fn no_file() {
    assert_snapshot!(Directory::new("empty", &[("default.yaml", b"")]).refused(None), @r#"
        the settings have an error:
          config: there are no settings in this directory: it has none of default.toml, local.toml
        "#);
}

#[test]
fn empty_file_is_taken() {
    let layers = Directory::new("blank", &[("default.toml", b"")]).load(None, &[]).expect("it is right");
    assert!(layers.services().is_empty());
}

#[test]
fn byte_order_mark_is_taken() {
    let directory = Directory::new("mark", &[("default.toml", "\u{feff}[services.users]".as_bytes())]);
    assert_eq!(directory.load(None, &[]).expect("it is right").services(), ["users"]);
}

#[test]
fn no_file_for_the_environment() {
    let directory = Directory::new("environment", &[("default.toml", b""), ("staging.toml", b"")]);
    assert_snapshot!(directory.refused(Some("production")), @r#"
        the settings have an error:
          config/production.toml: there is no such file, and SEAWALL_ENV asks for it
        "#);
    directory.load(Some("staging"), &[]).expect("it is there");
    directory.load(Some(""), &[]).expect("none is asked for");
}

#[test]
fn environment_that_is_a_path() {
    let directory = Directory::new("hostile", &[("default.toml", b"a = ")]);
    assert_snapshot!(directory.refused(Some("../../etc/passwd")), @r#"
        the settings have 2 errors:
          config/default.toml:1:5: not TOML: string values must be quoted, expected literal string
          variable SEAWALL_ENV: "../../etc/passwd" names no environment: a name has letters, digits, - and _ only, for it is a file's
        "#);
    assert_snapshot!(directory.refused(Some("a\u{fffd}\n")), @r#"
        the settings have 2 errors:
          config/default.toml:1:5: not TOML: string values must be quoted, expected literal string
          variable SEAWALL_ENV: "a�\n" names no environment: a name has letters, digits, - and _ only, for it is a file's
        "#);
}

#[test]
fn not_utf8() {
    assert_snapshot!(Directory::new("binary", &[("default.toml", b"[services]\na = \"\xff\"")]).refused(None), @r#"
        the settings have an error:
          config/default.toml: it is not UTF-8: line 2 has a byte, the file's 17th, that is no text
        "#);
}

#[test]
fn too_large() {
    let large = vec![b'#'; (1 << 20) + 1];
    assert_snapshot!(Directory::new("large", &[("default.toml", &large)]).refused(None), @r#"
        the settings have an error:
          config/default.toml: it is larger than the 1048576 bytes that settings may be
        "#);
}

#[test]
fn directory_in_place_of_a_file() {
    let directory = Directory::new("nested", &[("default.toml", b"")]);
    std::fs::create_dir(directory.path().join("local.toml")).expect("it can be made");
    assert_snapshot!(directory.refused(None), @r#"
        the settings have an error:
          config/local.toml: it is a directory; settings are read from a file
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
        the settings have 4 errors:
          config/default.toml:2:2: deflaults: unknown section `deflaults`; did you mean `defaults`?
          config/default.toml:12:2: service: unknown section `service`; did you mean `services`?
          config/local.toml:1:1: a: unknown section `a`; known here: admin, defaults, kinds, runtime, services, telemetry
          config/local.toml:2:1: b: unknown section `b`; known here: admin, defaults, kinds, runtime, services, telemetry
        "#);
}

#[test]
fn broken_file_makes_no_variable_unknown() {
    let directory = Directory::new("broken", &[("default.toml", b"[services.orders")]);
    let errors = directory.load(None, &[("SEAWALL__SERVICES__ORDERS__TIMEOUT", "3s")]);
    assert_snapshot!(errors.expect_err("it is broken").to_string().replace(&directory.path().display().to_string(), "config"), @r#"
        the settings have an error:
          config/default.toml:1:17: not TOML: unclosed table, expected `]`
        "#);
}

#[cfg(unix)]
#[test]
fn pipe_in_place_of_a_file_is_not_waited_for() {
    let directory = Directory::new("pipe", &[("default.toml", b"")]);
    let pipe = directory.path().join("local.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    assert_snapshot!(directory.refused(None), @r#"
        the settings have an error:
          config/local.toml: it is no file; settings are read from a file
        "#);
}
