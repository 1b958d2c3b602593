//! The README's tables of settings are those of the code: no setting is missing, none is made up, no default is wrong.

use std::{collections::BTreeMap, fs};

use seawall::{Runtime, service::RuntimeSettings};
use seawall_testkit::{Scripted, virtual_time};

/// Settings and their defaults as the README has them. A cell of several names has one default for all, or as many; a name
/// without a table is in that of the one before it (`breaker.window`, `buckets`).
fn documented() -> BTreeMap<String, String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("it is there");
    let part = readme.split("## Settings").nth(1).and_then(|rest| rest.split("\n## ").next());
    let (mut documented, mut scope) = (BTreeMap::new(), "");
    for row in part.expect("it has a part on settings").lines() {
        match row {
            "| of `[runtime]` | default | |" => scope = "runtime.",
            row if row.starts_with("| `") => read_row(row, scope, &mut documented),
            _ => {}
        }
    }
    documented
}

fn read_row(row: &str, scope: &str, documented: &mut BTreeMap<String, String>) {
    let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    let names: Vec<&str> = cells[0].split('`').skip(1).step_by(2).collect();
    let mut defaults: Vec<&str> = cells[1].split(", ").collect();
    if defaults.len() != names.len() {
        defaults = vec![cells[1]; names.len()];
    }
    let mut table = "";
    for (name, default) in names.into_iter().zip(defaults) {
        let key = match name.split_once('.') {
            Some((first, _)) => {
                table = first;
                name.to_owned()
            }
            None if table.is_empty() => name.to_owned(),
            None => format!("{table}.{name}"),
        };
        let default = default.split(';').next().unwrap_or_default().replace('`', "");
        assert!(documented.insert(format!("{scope}{key}"), default).is_none(), "{key} is there twice");
    }
}

/// The same as the code has them.
fn defaults() -> BTreeMap<String, String> {
    let rows = virtual_time(async || {
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .parse("[services.x]\nkind = \"scripted\"\nstartup = { mode = \"lazy\" }")
            .expect("it is TOML")
            .current_thread()
            .start()
            .await
            .expect("it starts");
        let rows = runtime.explain_settings("x").expect("it is there").rows;
        runtime.drain().await;
        rows
    });
    let of_service = rows.into_iter().map(|row| (row.key.replacen("services.x.", "", 1), row.value));
    let of_runtime = toml::Table::try_from(RuntimeSettings::default()).expect("it is a table");
    of_service
        .chain(of_runtime.into_iter().map(|(name, value)| (format!("runtime.{name}"), value.to_string())))
        // What this test itself says.
        .map(|(name, value)| match name.as_str() {
            "kind" => (name, "required".to_owned()),
            "startup.mode" => (name, "\"background\"".to_owned()),
            _ => (name, value),
        })
        .collect()
}

#[test]
fn the_tables_of_settings_are_right() {
    let (documented, mut defaults) = (documented(), defaults());
    let mut problems = Vec::new();
    for (name, default) in documented {
        match defaults.remove(&name) {
            None => problems.push(format!("there is no {name}")),
            Some(is) if is != default => problems.push(format!("{name} is {is} and not {default}")),
            Some(_) => {}
        }
    }
    problems.extend(defaults.into_iter().map(|(name, is)| format!("{name} = {is} is missing")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
