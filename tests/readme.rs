//! The README's tables of settings are those of the code: no setting is missing, none is made up, no default is wrong. And
//! the maps from other libraries' names to ours, in `docs/`, name nothing that there is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use seawall::{
    Runtime,
    service::{RuntimeSettings, TelemetrySettings},
};
use seawall_testkit::{Scripted, virtual_time};

/// Settings and their defaults as the README has them. A cell of several names has one default for all, or as many; a name
/// without a table is in that of the one before it (`breaker.window`, `buckets`).
fn documented() -> BTreeMap<String, String> {
    let readme = read("README.md");
    let part = readme.split("## Settings").nth(1).and_then(|rest| rest.split("\n## ").next());
    let (mut documented, mut scope) = (BTreeMap::new(), "");
    for row in part.expect("it has a part on settings").lines() {
        match row {
            "| of `[runtime]` | default | |" => scope = "runtime.",
            "| of `[telemetry]` | default | |" => scope = "telemetry.",
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
    let of_telemetry = toml::Table::try_from(TelemetrySettings::default()).expect("it is a table");
    let of_telemetry = of_telemetry.into_iter().flat_map(|(name, value)| match value {
        toml::Value::Table(table) if !table.is_empty() => {
            table.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect()
        }
        value => vec![(name, value)],
    });
    of_service
        .chain(of_runtime.into_iter().map(|(name, value)| (format!("runtime.{name}"), value.to_string())))
        .chain(of_telemetry.map(|(name, value)| (format!("telemetry.{name}"), value.to_string())))
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

/// Settings with every policy turned on, so that each has its table.
const ALL_ON: &str = "[runtime]
allow_faults = true
[services.x]
kind = \"scripted\"
startup = { mode = \"lazy\" }
rate = {}
faults = {}
bulkhead.adaptive = {}
hedge = {}
throttle = {}
";

/// All names that there are: of settings, of their tables, of metrics, errors and events.
fn names() -> BTreeSet<String> {
    let rows = virtual_time(async || {
        let builder = Runtime::builder().kind::<Scripted>().parse(ALL_ON).expect("it is TOML");
        let runtime = builder.current_thread().start().await.expect("it starts");
        let rows = runtime.explain_settings("x").expect("it is there").rows;
        runtime.drain().await;
        rows
    });
    let telemetry = toml::Table::try_from(TelemetrySettings::default()).expect("it is a table");
    let mut names: BTreeSet<_> = telemetry.into_iter().map(|(name, _)| format!("telemetry.{name}")).collect();
    names.extend(defaults().into_keys());
    for row in rows {
        let name = row.key.replacen("services.x.", "", 1);
        names.extend(name.match_indices('.').map(|(end, _)| name[..end].to_owned()));
        names.insert(name);
    }
    names.extend(read("src/telemetry/names.rs").split('"').skip(1).step_by(2).map(str::to_owned));
    for (of, source) in [("Reason", "call/error"), ("CallError", "call/error"), ("What", "telemetry/events")]
    {
        names.extend(variants(&read(&format!("src/{source}.rs")), of));
    }
    names
}

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("it is there")
}

/// `What::Saturated` and all others, as the source of `pub enum What` has them: one to a line, indented once.
fn variants<'a>(source: &'a str, of: &'a str) -> impl Iterator<Item = String> + 'a {
    let body = source.split_once(&format!("pub enum {of} {{")).and_then(|(_, rest)| rest.split("\n}").next());
    let lines = body.unwrap_or_else(|| panic!("there is no {of}")).lines();
    let starts = lines.filter_map(|line| line.strip_prefix("    ")?.split(['(', ',', ' ']).next());
    starts
        .filter(|name| name.starts_with(|letter: char| letter.is_ascii_uppercase()))
        .map(move |name| format!("{of}::{name}"))
}

/// The words in backticks of our cells, the second and those after it, that look like the name of a setting or a metric, or
/// like an error or an event.
fn mapped(doc: &str) -> impl Iterator<Item = &str> {
    let rows = doc.lines().filter(|line| line.starts_with("| "));
    let ours = rows.filter_map(|row| row.split_once(" | ").map(|(_, ours)| ours));
    let words = ours.flat_map(|ours| ours.split('`').skip(1).step_by(2));
    words.filter(|word| {
        let dotted = word.chars().all(|letter| letter.is_ascii_lowercase() || "._".contains(letter));
        let variant = ["Reason::", "CallError::", "What::"].iter().any(|of| word.starts_with(of));
        variant || (dotted && word.contains('.'))
    })
}

#[test]
fn the_maps_from_other_libraries_name_what_there_is() {
    let names = names();
    let mut problems = Vec::new();
    for map in ["opossum", "resilience4j", "polly"] {
        let doc = read(&format!("docs/{map}.md"));
        assert!(mapped(&doc).count() > 20, "the names of {map} are not found");
        let made_up = mapped(&doc).filter(|name| !names.contains(*name));
        problems.extend(made_up.map(|name| format!("docs/{map}.md: there is no {name}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
