//! What holds the settings, before anybody reads them: the sections, and the tables in them.

use config::{Map, Value, ValueKind};

use super::{Scope, diagnostics::ConfigErrors, key::join, layers::TOP_LEVEL, names::unknown};

/// Judges the shape of merged settings: what is no table here would be read as empty later, and nobody would be told.
pub(super) fn judge(merged: &Map<String, Value>, errors: &mut ConfigErrors) {
    for (section, value) in merged {
        match section.as_str() {
            "services" => {
                for (key, service) in members(section, value, errors) {
                    if let Some((name, calls)) = member(service, "calls") {
                        members(&join(&key, name), calls, errors);
                    }
                }
            }
            "kinds" => {
                for (key, kind) in members(section, value, errors) {
                    shared(&key, kind, errors);
                }
            }
            "defaults" => {
                must_be_table(section, value, errors);
                shared(section, value, errors);
            }
            known if TOP_LEVEL.contains(&known) => must_be_table(section, value, errors),
            _ => {
                let message = unknown("section", section, TOP_LEVEL);
                Scope::complain(errors, value, &join("", section), message);
            }
        }
    }
}

/// The values in a table of tables, by their keys.
fn members<'a>(key: &str, value: &'a Value, errors: &mut ConfigErrors) -> Vec<(String, &'a Value)> {
    must_be_table(key, value, errors);
    let ValueKind::Table(table) = &value.kind else { return Vec::new() };
    let members: Vec<_> = table.iter().map(|(name, value)| (join(key, name), value)).collect();
    for (key, value) in &members {
        must_be_table(key, value, errors);
    }
    members
}

fn must_be_table(key: &str, value: &Value, errors: &mut ConfigErrors) {
    if !matches!(value.kind, ValueKind::Table(_)) {
        Scope::complain(errors, value, key, format!("it must be a table, with its settings under [{key}]"));
    }
}

/// What several services share says neither what they are nor how one call of them is treated.
fn shared(key: &str, value: &Value, errors: &mut ConfigErrors) {
    for (name, value) in ["kind", "calls"].iter().filter_map(|name| member(value, name)) {
        let message = format!("`{name}` is each service's own: write it under [services.X]");
        Scope::complain(errors, value, &join(key, name), message);
    }
}

fn member<'a, 'b>(value: &'a Value, name: &'b str) -> Option<(&'b str, &'a Value)> {
    match &value.kind {
        ValueKind::Table(table) => table.get(name).map(|value| (name, value)),
        _ => None,
    }
}
