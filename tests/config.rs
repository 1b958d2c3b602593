//! Settings through a runtime: what is wrong is told at the start and at a reload, and nothing of it is put in force.

use std::{env, fs, path::PathBuf, process};

use seawall::{Runtime, runtime::Builder};
use seawall_testkit::{Scripted, virtual_time};

/// A directory of settings that is gone when the test is.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("seawall-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("it can be written to");
    }

    /// A text, without what differs from one run to the next.
    fn told(&self, text: impl ToString) -> String {
        text.to_string().replace(&self.0.display().to_string(), "config")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn builder() -> Builder {
    Runtime::builder().kind::<Scripted>().current_thread().seed(7)
}

async fn wrong(settings: &str) -> String {
    let builder = builder().parse(settings).expect("its form is right");
    builder.start().await.expect_err("it is wrong").to_string()
}

#[test]
fn all_that_is_wrong_is_told_before_anything_starts() {
    virtual_time(async || {
        let told = wrong(
            r#"
            [runtime]
            drain = 30
            event_buffer = 0

            [defaults]
            retry = { attempts = 0 }

            [services.users]
            kind = "scripted"
            timeout = "5 parsecs"
            max_timeout = "1s"
            breaker = { error_threshold = 50, widnow = "10s", scope = "servce" }
            bulkhead = { max_in_flight = 1.9 }
            pool = { max = 5, min_idle = 6 }
            cache = true

            [services.users.calls.GetReport]
            timeout = "2m"
            pool = { max = 1 }

            [services.orders]
            kind = "scriptd"

            [services.nameless]
            "#,
        )
        .await;
        insta::assert_snapshot!(told);
    });
}

#[test]
fn a_bad_file_changes_nothing_and_says_where_it_is_wrong() {
    virtual_time(async || {
        let directory = Directory::new("reload");
        directory.write("default.toml", "[services.users]\nkind = \"scripted\"\ntimeout = \"5s\"\n");
        let runtime = builder().load(&directory.0).expect("it is TOML").start().await.expect("it is right");
        let timeout = || {
            let explained = runtime.explain_settings("users").expect("it is there");
            let row =
                explained.rows.iter().find(|row| row.key == "services.users.timeout").expect("it is said");
            directory.told(format!("{} from {}", row.value, row.origin))
        };
        assert_eq!(timeout(), "\"5s\" from config/default.toml:3:1");

        for (bad, place) in [
            ("", "config/local.toml"),
            ("[services.users", "config/local.toml:1:16"),
            ("[services.users]\ntimeout = 7", "config/local.toml:2:1: services.users.timeout"),
            ("[services.users]\n\ntimout = \"7s\"", "config/local.toml:3:1: services.users.timout"),
        ] {
            directory.write("local.toml", bad);
            let error = directory.told(runtime.reload().expect_err(bad));
            assert!(error.ends_with(&format!("--> {place}")), "{error}");
            assert_eq!(timeout(), "\"5s\" from config/default.toml:3:1");
        }

        directory.write("local.toml", "[services.users]\ntimeout = \"7s\"");
        runtime.reload().expect("it is right again");
        assert_eq!(timeout(), "\"7s\" from config/local.toml:2:1");
        runtime.drain().await;
    });
}

#[test]
fn how_it_is_written_and_what_it_says_are_judged_in_one() {
    virtual_time(async || {
        let settings = "[runtmie]\n[defaults]\nkind = \"scripted\"\n[services.users]\nkind = \"scripted\"\n\
                        timeout = 5\ncalls = 3\n[services.orders]\nkind = \"scriptd\"";
        let builder = builder().parse(settings).expect("it is TOML");
        let builder = builder.variable("SEAWALL__SERVICES__USRES__TIMEOUT", "1s");
        let told = builder.start().await.expect_err("it is wrong").to_string();
        insta::assert_snapshot!(told, @r#"
        the settings have 6 errors
        error: unknown section `runtmie`; did you mean `runtime`? Known here: defaults, kinds, runtime, services, telemetry
          --> settings:1:2: runtmie
        error: each service says itself of what kind it is; write `kind` in [services.X]
          --> settings:3:1: defaults.kind
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:6:1: services.users.timeout
        error: found the integer 3; wanted a table: [services.users.calls]
          --> settings:7:1: services.users.calls
        error: unknown kind `scriptd`; did you mean `scripted`? Known here: func, scripted (kinds are made known by `Builder::kind`)
          --> settings:9:1: services.orders.kind
        error: unknown service `usres`; did you mean `users`? Known here: orders, users
          --> variable SEAWALL__SERVICES__USRES__TIMEOUT
        "#);
    });
}
