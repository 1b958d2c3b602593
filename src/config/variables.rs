use std::collections::{BTreeMap, BTreeSet};

use config::{Map, Value, ValueKind};

use super::{
    diagnostics::ConfigErrors,
    key::join,
    layers::TOP_LEVEL,
    names::{Names, fold, unknown},
    origin::Origin,
    text::parse_value,
};

/// What variables that are settings begin with.
const PREFIX: &str = "SEAWALL__";

/// What stands behind the prefix, if a variable of this name is a setting.
pub(super) fn setting(variable: &str) -> Option<&str> {
    let (prefix, rest) = variable.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

/// Reads the variables that are settings. Names of services and calls are matched against those known.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    known: &Known,
    errors: &mut ConfigErrors,
) -> Map<String, Value> {
    let mut tree = Map::new();
    let mut taken: BTreeMap<Vec<String>, String> = BTreeMap::new();
    // Sorted, so that the same variables give the same errors.
    let variables: BTreeMap<_, _> = variables.into_iter().collect();
    for (name, text) in variables {
        let Some(rest) = setting(&name) else { continue };
        let place = format!("variable {}", name.escape_debug());
        let path = match known.path(rest) {
            Ok(path) => path,
            Err(message) => {
                errors.add(place, "", message);
                continue;
            }
        };
        let key = path.iter().fold(String::new(), |parent, name| join(&parent, name));
        if let Some(other) = taken.get(&path) {
            errors.add(place, key, format!("{other} is the same setting; set one of them"));
            continue;
        }
        let origin = Origin::variable(&name, &key);
        let structured = text.trim_start().starts_with(['[', '{']);
        let value = match structured.then(|| parse_value(text.trim(), &origin)) {
            Some(Some(value)) => value,
            Some(None) => {
                errors.add(
                    place,
                    key,
                    "it begins like a TOML array or table, and is none: [\"one\", \"two\"] or { name = \"value\" }",
                );
                continue;
            }
            None => Value::new(Some(&origin.to_string()), ValueKind::String(text)),
        };
        insert(&mut tree, &path, value);
        taken.insert(path, name);
    }
    for (path, name) in &taken {
        let around = (1..path.len()).find_map(|length| taken.get(&path[..length]));
        if let Some(around) = around {
            let key = path.iter().fold(String::new(), |parent, name| join(&parent, name));
            errors.add(
                format!("variable {}", name.escape_debug()),
                key,
                format!("{} sets the whole that this is a part of; set one of them", around.escape_debug()),
            );
        }
    }
    tree
}

fn insert(tree: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            tree.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let table = tree.entry(first.clone()).or_insert_with(|| Map::<String, Value>::new().into());
            if !matches!(table.kind, ValueKind::Table(_)) {
                *table = Map::<String, Value>::new().into();
            }
            if let ValueKind::Table(table) = &mut table.kind {
                insert(table, rest, value);
            }
        }
    }
}

/// Names of services and of their calls, from files and from code, and of kinds, from files.
#[derive(Default)]
pub(super) struct Known {
    services: BTreeMap<String, BTreeSet<String>>,
    kinds: BTreeSet<String>,
}

impl Known {
    pub(super) fn new(layers: &[Map<String, Value>], names: &Names) -> Self {
        let mut known = Self::default();
        for service in names.services() {
            let calls = known.services.entry(service.to_owned()).or_default();
            calls.extend(names.calls(service).map(str::to_owned));
        }
        for layer in layers {
            known.kinds.extend(entries(layer, "kinds").map(|(kind, _)| kind.clone()));
            for (service, settings) in entries(layer, "services") {
                let calls = known.services.entry(service.clone()).or_default();
                if let ValueKind::Table(settings) = &settings.kind {
                    calls.extend(entries(settings, "calls").map(|(call, _)| call.clone()));
                }
            }
        }
        known
    }

    /// Services, and calls of one service, that variables cannot tell apart: the path of one, and the other's name.
    pub(super) fn ambiguous(&self) -> Vec<(Vec<&str>, &str)> {
        let services = same(self.services.keys()).map(|(one, other)| (vec!["services", one], other));
        let calls = self.services.iter().flat_map(|(service, calls)| {
            same(calls).map(move |(one, other)| (vec!["services", service, "calls", one], other))
        });
        services.chain(calls).collect()
    }

    /// The path of the setting that a variable's name, without its prefix, stands for.
    fn path(&self, name: &str) -> Result<Vec<String>, String> {
        let parts: Vec<&str> = name.split("__").collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err("a part of its name is empty; parts are separated by two underscores".to_owned());
        }
        let mut path = vec![find(parts[0], "section", TOP_LEVEL)?];
        let rest = match (path[0].as_str(), &parts[1..]) {
            ("services", [service, rest @ ..]) => {
                let service = find(service, "service", self.services.keys().map(String::as_str))?;
                let calls = &self.services[&service];
                path.push(service);
                match rest {
                    [word, call, rest @ ..] if word.eq_ignore_ascii_case("calls") => {
                        path.push("calls".to_owned());
                        path.push(find(call, "call", calls.iter().map(String::as_str))?);
                        rest
                    }
                    rest => rest,
                }
            }
            ("kinds", [kind, rest @ ..]) => {
                let wanted = fold(kind);
                let kind = self.kinds.iter().find(|kind| fold(kind) == wanted);
                path.push(kind.cloned().unwrap_or(wanted));
                rest
            }
            (_, rest) => rest,
        };
        if rest.is_empty() {
            return Err("it names a whole table; go on with two underscores and a setting in it".to_owned());
        }
        path.extend(rest.iter().map(|part| fold(part)));
        Ok(path)
    }
}

/// The entries of a table in this one.
fn entries<'a>(tree: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    match tree.get(name).map(|value| &value.kind) {
        Some(ValueKind::Table(table)) => Some(table),
        _ => None,
    }
    .into_iter()
    .flatten()
}

/// Pairs of names that fold to the same.
fn same<'a>(names: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut folded = BTreeMap::new();
    names
        .into_iter()
        .filter_map(move |name| folded.insert(fold(name), name.as_str()).map(|other| (name.as_str(), other)))
}

fn find<'a>(
    folded: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<String, String> {
    let wanted = fold(folded);
    known
        .clone()
        .into_iter()
        .find(|name| fold(name) == wanted)
        .map(str::to_owned)
        .ok_or_else(|| unknown(what, &wanted, known))
}
