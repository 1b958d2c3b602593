use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::{
    diagnostics::ConfigErrors,
    layers::TOP_LEVEL,
    names::{Names, fold, unknown},
    origin::Origin,
    text::parse_value,
};

/// What variables that are settings begin with.
const PREFIX: &str = "SEAWALL__";

/// Reads the variables that are settings. Names of services and calls are matched against those known.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    known: &Known,
    errors: &mut ConfigErrors,
) -> Map<String, Value> {
    let mut tree = Map::new();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    // Sorted, so that the same variables give the same errors.
    let variables: BTreeMap<_, _> = variables.into_iter().collect();
    for (name, text) in variables {
        let Some(rest) = name
            .get(..PREFIX.len())
            .filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
            .map(|_| &name[PREFIX.len()..])
        else {
            continue;
        };
        let place = format!("variable {name}");
        let path = match known.path(rest) {
            Ok(path) => path,
            Err(message) => {
                errors.add(place, "", message);
                continue;
            }
        };
        let key = path.join(".");
        if let Some(other) = taken.insert(key.clone(), name.clone()) {
            errors.add(place, key, format!("{other} is the same setting; set one of them"));
            continue;
        }
        let origin = Origin::variable(&name, &key);
        let structured = text.trim_start().starts_with(['[', '{']);
        let value = match structured.then(|| parse_value(&text, &origin)) {
            Some(Some(value)) => value,
            Some(None) => {
                errors.add(place, key, "it looks like a TOML array or table, and is none");
                continue;
            }
            None => Value::new(Some(&origin.to_string()), ValueKind::String(text)),
        };
        insert(&mut tree, &path, value);
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

/// Names of services and of their calls, from files and from code.
#[derive(Default)]
pub(super) struct Known {
    services: BTreeMap<String, Vec<String>>,
}

impl Known {
    pub(super) fn new(layers: &[&Map<String, Value>], names: &Names) -> Self {
        let mut known = Self::default();
        for service in names.services() {
            known
                .services
                .entry(service.to_owned())
                .or_default()
                .extend(names.calls(service).map(str::to_owned));
        }
        for layer in layers {
            let Some(ValueKind::Table(services)) = layer.get("services").map(|services| &services.kind)
            else {
                continue;
            };
            for (service, settings) in services {
                let calls = known.services.entry(service.clone()).or_default();
                if let ValueKind::Table(settings) = &settings.kind
                    && let Some(ValueKind::Table(own)) = settings.get("calls").map(|calls| &calls.kind)
                {
                    calls.extend(own.keys().cloned());
                }
            }
        }
        known
    }

    /// Services whose names variables cannot tell apart.
    pub(super) fn ambiguous(&self) -> Vec<(&str, &str)> {
        let mut folded: BTreeMap<String, &str> = BTreeMap::new();
        self.services
            .keys()
            .filter_map(|name| folded.insert(fold(name), name).map(|other| (other, name.as_str())))
            .collect()
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
            (_, rest) => rest,
        };
        if rest.is_empty() {
            return Err("it names no single setting".to_owned());
        }
        path.extend(rest.iter().map(|part| fold(part)));
        Ok(path)
    }
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
