use std::fmt;

use serde::Serialize;

use super::Scope;

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
        if let Ok(value) = toml::Value::try_from(settings) {
            self.walk(scope, "", &value);
            self.rows.sort_by(|one, other| one.key.cmp(&other.key));
        }
    }

    fn walk(&mut self, scope: &Scope, key: &str, value: &toml::Value) {
        if let toml::Value::Table(table) = value {
            for (name, value) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                self.walk(scope, &key, value);
            }
            return;
        }
        let mut places = scope.origins(key).into_iter();
        self.rows.push(Row {
            key: format!("{}.{key}", scope.path()),
            value: value.to_string(),
            origin: places.next().unwrap_or_else(|| "built-in default".to_owned()),
            beaten: places.collect(),
        });
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
