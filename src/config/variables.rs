use std::collections::{BTreeMap, BTreeSet};

use config::{Map, Value, ValueKind};

use super::{
    diagnostics::ConfigErrors,
    names::{Names, fold, unknown},
    origin::{Mark, Origin},
    path::{self, Step, join, shown},
    shape::{TOP_LEVEL, complain},
    text::{DEEPEST, parse_value},
};

/// What variables that are settings begin with. `SEAWALL_ENV` and its like are none.
const PREFIX: &str = "SEAWALL__";

/// Reads the variables that are settings, on top of what files say.
///
/// Their names are matched without case, and `-` as `_`: against the services and calls that files or code name, and
/// against the keys that files have. Their values stay text, whose type is known when it is read; only arrays and tables
/// are taken apart here, so that a table merges.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    files: &Map<String, Value>,
    names: &Names,
    errors: &mut ConfigErrors,
) -> Map<String, Value> {
    let mut tree = Map::new();
    let known = Known { files, names };
    // Sorted, so that the same variables give the same errors, and a whole comes before its parts.
    let variables: BTreeMap<_, _> = variables.into_iter().collect();
    for (name, text) in variables {
        let Some(rest) = settings_name(&name) else { continue };
        let origin = Origin::Variable(name.clone());
        // What `to_string_lossy` makes of other bytes: no setting has that character.
        if name.contains(char::REPLACEMENT_CHARACTER) || text.contains(char::REPLACEMENT_CHARACTER) {
            errors.add(origin, "", "it is not UTF-8");
            continue;
        }
        match known.keys(rest) {
            Ok(keys) => {
                let key = keys.iter().fold(String::new(), |path, key| join(&path, key));
                let value = value(text, &origin, &key);
                if let Err(other) = insert(&mut tree, &keys, value) {
                    errors.add(origin, key, format!("{other} sets the same; one of the two must go"));
                }
            }
            Err(message) => errors.add(origin, "", message),
        }
    }
    tree
}

fn settings_name(variable: &str) -> Option<&str> {
    let (prefix, rest) = variable.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(rest)
}

fn value(text: String, origin: &Origin, key: &str) -> Value {
    let structured = text.trim_start().starts_with(['[', '{']);
    structured.then(|| parse_value(text.trim(), origin, key)).flatten().unwrap_or_else(|| {
        let mark = Mark { origin: origin.clone(), key: key.to_owned() };
        Value::new(Some(&mark.encode()), ValueKind::String(text))
    })
}

/// Puts a value into the tree.
///
/// # Errors
/// The variable that has set it, or that it is a part of, or that is a part of it.
fn insert(tree: &mut Map<String, Value>, keys: &[String], value: Value) -> Result<(), Origin> {
    let Some((first, rest)) = keys.split_first() else { return Ok(()) };
    if rest.is_empty() {
        return match tree.get(first) {
            Some(other) => Err(origin(other)),
            None => {
                tree.insert(first.clone(), value);
                Ok(())
            }
        };
    }
    let table = tree.entry(first.clone()).or_insert_with(|| {
        Value::new(value.origin().map(str::to_owned).as_ref(), ValueKind::Table(Map::new()))
    });
    match &mut table.kind {
        ValueKind::Table(table) => insert(table, rest, value),
        _ => Err(origin(table)),
    }
}

fn origin(value: &Value) -> Origin {
    Mark::of(value).map(|mark| mark.origin).unwrap_or_default()
}

/// Names of services and calls that variables cannot tell apart.
pub(super) fn judge_names(files: &Map<String, Value>, names: &Names, errors: &mut ConfigErrors) {
    let known = Known { files, names };
    let services = known.services();
    judge_among(files, &["services"], &services, errors);
    for service in services {
        judge_among(files, &["services", service, "calls"], &known.calls(service), errors);
    }
}

fn judge_among(
    files: &Map<String, Value>,
    table: &[&str],
    names: &BTreeSet<&str>,
    errors: &mut ConfigErrors,
) {
    let mut folded = BTreeMap::new();
    for name in names {
        let Some(other) = folded.insert(fold(name), name) else { continue };
        let keys: Vec<&str> = table.iter().copied().chain([*name]).collect();
        let key = shown("", &keys.iter().map(|key| Step::Key((*key).to_owned())).collect::<Vec<_>>());
        let message = format!("variables cannot tell `{name}` from `{other}`; rename one of them");
        match path::find(files, &keys) {
            Some(value) => complain(errors, value, &key, message),
            None => errors.add("", key, message),
        }
    }
}

/// What a part of a variable's name may stand for.
struct Known<'a> {
    files: &'a Map<String, Value>,
    names: &'a Names,
}

impl<'a> Known<'a> {
    fn services(&self) -> BTreeSet<&'a str> {
        self.written(&["services"]).chain(self.names.services()).collect()
    }

    fn calls(&self, service: &str) -> BTreeSet<&'a str> {
        self.written(&["services", service, "calls"]).chain(self.names.calls(service)).collect()
    }

    fn written(&self, table: &[&str]) -> impl Iterator<Item = &'a str> {
        path::table(self.files, table).into_iter().flat_map(|table| table.keys().map(String::as_str))
    }

    /// The keys of the setting that a variable's name, without its prefix, stands for.
    fn keys(&self, name: &str) -> Result<Vec<String>, String> {
        let parts: Vec<&str> = name.split("__").collect();
        if parts.len() > DEEPEST {
            return Err(format!("its name has more than {DEEPEST} parts, and no setting is that deep"));
        }
        if parts.iter().any(|part| part.is_empty()) {
            return Err("a part of its name is empty; parts are separated by two underscores".to_owned());
        }
        let mut keys: Vec<String> = Vec::new();
        for part in &parts {
            let above: Vec<&str> = keys.iter().map(String::as_str).collect();
            let key = match above[..] {
                [] => one_of(part, "section", &TOP_LEVEL.into_iter().collect())?,
                ["services"] => one_of(part, "service", &self.services())?,
                ["services", service, "calls"] => one_of(part, "call", &self.calls(service))?,
                _ => {
                    let folded = fold(part);
                    self.written(&above).find(|key| fold(key) == folded).map_or(folded, str::to_owned)
                }
            };
            keys.push(key);
        }
        let is_table = match keys.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["services" | "kinds", ..] => keys.len() < 3 || (keys.len() < 5 && keys[2] == "calls"),
            _ => keys.len() < 2,
        };
        if is_table { Err("it names a whole table, not one setting in it".to_owned()) } else { Ok(keys) }
    }
}

fn one_of(part: &str, what: &str, known: &BTreeSet<&str>) -> Result<String, String> {
    let folded = fold(part);
    known
        .iter()
        .find(|name| fold(name) == folded)
        .map(|name| (*name).to_owned())
        .ok_or_else(|| unknown(what, &folded, known.iter().copied()))
}
