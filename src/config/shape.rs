use config::{Map, Value, ValueKind};

use super::{diagnostics::ConfigErrors, mistake::found, names::unknown, origin::Mark, path::join};

/// The sections that settings have.
pub(super) const TOP_LEVEL: [&str; 5] = ["runtime", "telemetry", "defaults", "kinds", "services"];

/// Judges what all settings have in common: which sections there are, and what must be a table.
pub(super) fn judge(merged: &Map<String, Value>, errors: &mut ConfigErrors) {
    for (name, section) in merged {
        if !TOP_LEVEL.contains(&name.as_str()) {
            complain(errors, section, name, unknown("section", name, TOP_LEVEL));
            continue;
        }
        let Some(section) = table(section, name, errors) else { continue };
        match name.as_str() {
            "defaults" => of_many(section, name, errors),
            "kinds" => {
                for (kind, settings) in section {
                    let key = join(name, kind);
                    let Some(settings) = table(settings, &key, errors) else { continue };
                    of_many(settings, &key, errors);
                }
            }
            "services" => {
                for (service, settings) in section {
                    service_shape(settings, &join(name, service), errors);
                }
            }
            _ => {}
        }
    }
}

fn service_shape(settings: &Value, key: &str, errors: &mut ConfigErrors) {
    let Some(settings) = table(settings, key, errors) else { return };
    let Some(calls) = settings.get("calls") else { return };
    let key = join(key, "calls");
    let Some(calls) = table(calls, &key, errors) else { return };
    for (call, settings) in calls {
        table(settings, &join(&key, call), errors);
    }
}

fn table<'a>(value: &'a Value, key: &str, errors: &mut ConfigErrors) -> Option<&'a Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => {
            complain(errors, value, key, format!("found {}; wanted a table: [{key}]", found(value)));
            None
        }
    }
}

/// What a service says itself, and nobody for several.
const OF_ONE: [(&str, &str); 2] = [
    ("calls", "calls are a service's own; write them as [services.X.calls.C]"),
    ("kind", "each service says itself of what kind it is; write `kind` in [services.X]"),
];

fn of_many(settings: &Map<String, Value>, name: &str, errors: &mut ConfigErrors) {
    for (key, message) in OF_ONE {
        if let Some(value) = settings.get(key) {
            complain(errors, value, &join(name, key), message);
        }
    }
}

/// Notes what is wrong with a value, where it is written.
pub(super) fn complain(errors: &mut ConfigErrors, value: &Value, key: &str, message: impl Into<String>) {
    match Mark::of(value) {
        Some(Mark { origin, key }) => errors.add(origin, key, message),
        None => errors.add("", key, message),
    }
}
