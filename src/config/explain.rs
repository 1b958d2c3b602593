use std::fmt;

use config::{Map, ValueKind};
use serde::Serialize;
use toml::Value;

use super::{Diagnostic, Scope, names::without_password, origin::Origin, path::join, plain::plain};

/// Every effective value of a scope, and where it comes from.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// A row for each value, by key.
    pub rows: Vec<Row>,
    /// What is allowed, and hardly meant.
    pub doubts: Vec<Diagnostic>,
}

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `services.users.breaker.window`.
    pub key: String,
    /// As TOML writes it: `"10s"`. What is off is `false`; a secret is its reference.
    pub value: String,
    /// Where it is written.
    pub origin: Origin,
    /// Where it is written too, and does not count: the strongest first.
    pub beaten: Vec<Origin>,
}

impl Explanation {
    /// Adds the values of `settings`, which were read from `scope`. What cannot be written as settings is left out.
    pub fn add(&mut self, scope: &Scope, settings: &impl Serialize) {
        self.add_those(scope, settings, &|_| true);
    }

    /// Adds those values of `settings` that `scope` says itself, and does not inherit.
    pub fn add_own(&mut self, scope: &Scope, settings: &impl Serialize) {
        self.add_those(scope, settings, &|keys| scope.says(keys));
    }

    /// Adds what is written in `scope` and has no row yet: settings that only their kind can read.
    pub fn add_written(&mut self, scope: &Scope) {
        let known: Vec<String> = self.rows.iter().map(|row| row.key.clone()).collect();
        let is_within = |key: &str, around: &str| {
            key.strip_prefix(around).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let written = Value::Table(table(&scope.merged()));
        self.add_value(scope, &written, &|keys| {
            let key = full(scope, keys);
            !known.iter().any(|known| is_within(known, &key) || is_within(&key, known))
        });
    }

    fn add_those(&mut self, scope: &Scope, settings: &impl Serialize, wanted: &dyn Fn(&[&str]) -> bool) {
        if let Ok(value) = plain(settings) {
            self.add_value(scope, &value, wanted);
        }
    }

    fn add_value(&mut self, scope: &Scope, value: &Value, wanted: &dyn Fn(&[&str]) -> bool) {
        self.walk(scope, &mut Vec::new(), value, wanted);
        self.rows.sort_by(|one, other| one.key.cmp(&other.key));
    }

    fn walk<'a>(
        &mut self,
        scope: &Scope,
        keys: &mut Vec<&'a str>,
        value: &'a Value,
        wanted: &dyn Fn(&[&str]) -> bool,
    ) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    keys.push(name);
                    self.walk(scope, keys, value, wanted);
                    keys.pop();
                }
            }
            value if !keys.is_empty() && wanted(keys) => {
                let mut origins = scope.origins(keys).into_iter();
                self.rows.push(Row {
                    key: full(scope, keys),
                    value: without_password(&value.to_string()),
                    origin: origins.next().unwrap_or_default(),
                    beaten: origins.collect(),
                });
            }
            _ => {}
        }
    }
}

fn full(scope: &Scope, keys: &[&str]) -> String {
    keys.iter().fold(scope.path().to_owned(), |key, name| join(&key, name))
}

fn table(table: &Map<String, config::Value>) -> toml::Table {
    table.iter().map(|(key, value)| (key.clone(), as_toml(value))).collect()
}

fn as_toml(value: &config::Value) -> Value {
    match &value.kind {
        ValueKind::Boolean(on) => Value::Boolean(*on),
        ValueKind::I64(number) => Value::Integer(*number),
        ValueKind::Float(number) => Value::Float(*number),
        ValueKind::String(text) => Value::String(text.clone()),
        ValueKind::Array(values) => Value::Array(values.iter().map(as_toml).collect()),
        ValueKind::Table(entries) => Value::Table(table(entries)),
        // Settings have no others.
        other => Value::String(other.to_string()),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Row { key, value, origin, beaten } in &self.rows {
            write!(f, "{key} = {value}  # {origin}")?;
            for (at, beaten) in beaten.iter().enumerate() {
                write!(f, "{}{beaten}", if at == 0 { ", over " } else { ", " })?;
            }
            writeln!(f)?;
        }
        for Diagnostic { origin, key, message } in &self.doubts {
            writeln!(f, "warning: {message}\n  --> {origin}: {key}")?;
        }
        Ok(())
    }
}
