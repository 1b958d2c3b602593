use std::fmt;

use serde::Serialize;
use toml::Value;

use super::{Scope, origin::Origin, path::join, plain::plain};

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
        if let Ok(value) = plain(settings) {
            self.walk(scope, &mut Vec::new(), &value);
            self.rows.sort_by(|one, other| one.key.cmp(&other.key));
        }
    }

    fn walk<'a>(&mut self, scope: &Scope, keys: &mut Vec<&'a str>, value: &'a Value) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    keys.push(name);
                    self.walk(scope, keys, value);
                    keys.pop();
                }
            }
            value => {
                let mut origins = scope.origins(keys).into_iter();
                self.rows.push(Row {
                    key: keys.iter().fold(scope.path().to_owned(), |key, name| join(&key, name)),
                    value: value.to_string(),
                    origin: origins.next().unwrap_or_default(),
                    beaten: origins.collect(),
                });
            }
        }
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
        Ok(())
    }
}
