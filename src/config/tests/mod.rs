//! Each error's text is held by a snapshot: errors are a product. `INSTA_UPDATE=always cargo test -p seawall config`
//! writes them anew; then read what changed.

mod cascade;
mod errors;
mod explain;
mod files;
mod garbage;
mod missing;
mod secrets;
mod settings;
mod variables;

use super::*;
use settings::{Own, PerCall, PerService, Runtime};

fn names() -> Names {
    let mut names = Names::default();
    names.call("users", "GetUser").call("users", "GetReport").service("redis-main");
    names
}

fn variables(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str, vars: &[(&str, &str)]) -> Result<Layers, ConfigErrors> {
    Layers::parse(text, variables(vars), &names())
}

/// Reads all there is, as a runtime would.
fn read(layers: &Layers) -> Result<(), ConfigErrors> {
    let mut errors = ConfigErrors::new();
    let scope = layers.section("runtime");
    let mut reader = scope.reader(&mut errors);
    let _ = reader.read::<Runtime>();
    reader.finish(&[]);
    for name in layers.services() {
        let scope = match layers.service(&name, "http", "timeout = \"5s\"") {
            Ok(scope) => scope,
            Err(wrong) => {
                errors.extend(wrong);
                continue;
            }
        };
        let mut reader = scope.reader(&mut errors);
        let _ = reader.read::<PerService>();
        let calls = reader.read::<PerCall>();
        let _ = reader.read::<Own>();
        reader.finish(&[]);
        if calls.is_some_and(|calls| calls.timeout.is_zero()) {
            scope.error(&mut errors, "timeout", "it must be longer than 0s");
        }
        for call in layers.calls(&name) {
            match layers.call(&scope, &name, &call, "") {
                Ok(scope) => {
                    let mut reader = scope.reader(&mut errors);
                    let _ = reader.read::<PerCall>();
                    reader.finish(&[]);
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
    }
    errors.or(())
}

/// What is wrong with these settings.
fn wrong(text: &str, vars: &[(&str, &str)]) -> String {
    match parse(text, vars).and_then(|layers| read(&layers)) {
        Ok(()) => panic!("nothing is wrong with {text} and {vars:?}"),
        Err(errors) => errors.to_string(),
    }
}

/// The settings of service `users`.
fn users(layers: &Layers) -> Scope {
    layers.service("users", "http", "timeout = \"5s\"").unwrap()
}

fn take<T: for<'de> serde::Deserialize<'de>>(scope: &Scope) -> T {
    let mut errors = ConfigErrors::new();
    let read = scope.reader(&mut errors).read();
    errors.or(read).unwrap().unwrap()
}
