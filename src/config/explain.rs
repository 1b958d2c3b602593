use std::fmt;

use config::{Map, Value, ValueKind};
use serde::Serialize;

use super::{
    Scope,
    key::{join, without_password},
    scope::Origins,
};

/// Every effective value of a scope, and where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// A row for each value, by key.
    pub rows: Vec<Row>,
}

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `services.users.breaker.window`.
    pub key: String,
    /// As it would be written; a secret is its reference.
    pub value: String,
    /// Where it is written; `built-in default` where nobody did.
    pub origin: String,
    /// The places that it beat, the strongest first.
    pub beaten: Vec<String>,
}

impl Explanation {
    /// Adds the values of `settings`, which were read from `scope`.
    pub fn add(&mut self, scope: &Scope, settings: &impl Serialize) {
        // Settings are plain data with names for keys: turning them into values cannot fail.
        let values = serde_json::to_value(settings).unwrap_or_default();
        let mut rows = Vec::new();
        walk(&mut rows, scope, "", values);
        self.extend(rows);
    }

    /// Adds those values of `settings` that `scope` says itself, and does not inherit.
    pub fn add_own(&mut self, scope: &Scope, settings: &impl Serialize) {
        let mut whole = Self::default();
        whole.add(scope, settings);
        let says = |row: &Row| scope.says(&row.key[scope.path().len() + 1..]);
        self.extend(whole.rows.into_iter().filter(says).collect());
    }

    /// Adds what is written in `scope` and has no row yet: settings that only their kind can read.
    pub fn add_written(&mut self, scope: &Scope) {
        let mut rows = Vec::new();
        walk(&mut rows, scope, "", table(scope.merged()));
        let is_within = |row: &Row, key: &str| {
            row.key == key || row.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        };
        rows.retain(|row| {
            !self.rows.iter().any(|known| is_within(known, &row.key) || is_within(row, &known.key))
        });
        self.extend(rows);
    }

    fn extend(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
        self.rows.sort_by(|one, other| one.key.cmp(&other.key));
    }
}

fn walk(rows: &mut Vec<Row>, scope: &Scope, key: &str, value: serde_json::Value) {
    if let serde_json::Value::Object(table) = value {
        for (name, value) in table {
            walk(rows, scope, &join(key, &name), value);
        }
        return;
    }
    let Origins { winner, beaten } = scope.origins(key);
    rows.push(Row {
        key: format!("{}.{key}", scope.path()),
        value: written(&value),
        origin: winner.unwrap_or_else(|| "built-in default".to_owned()),
        beaten,
    });
}

/// A value as a settings file writes it.
fn written(value: &serde_json::Value) -> String {
    match value {
        // TOML has no null: what is turned off is `false`.
        serde_json::Value::Null => "false".to_owned(),
        serde_json::Value::String(text) => format!("\"{}\"", without_password(text).escape_debug()),
        serde_json::Value::Array(values) => {
            format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(table) => {
            let entries = table.iter().map(|(key, value)| format!("{} = {}", join("", key), written(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn table(table: &Map<String, Value>) -> serde_json::Value {
    table.iter().map(|(key, value)| (key.clone(), json(value))).collect()
}

fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(on) => (*on).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::U64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::String(text) => text.clone().into(),
        ValueKind::Array(values) => values.iter().map(json).collect(),
        ValueKind::Table(entries) => table(entries),
        // Settings files have none of them.
        ValueKind::I128(number) => number.to_string().into(),
        ValueKind::U128(number) => number.to_string().into(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { key, value, origin, beaten } in &self.rows {
            write!(f, "{key} = {value}  # {origin}")?;
            if !beaten.is_empty() {
                write!(f, ", over {}", beaten.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
