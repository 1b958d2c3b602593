use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::{Reader, diagnostics::ConfigErrors, layers::merge, origin::Origin};

/// The settings of one scope: a cascade of tables, the strongest last.
#[derive(Clone, Debug)]
pub struct Scope {
    path: String,
    cascade: Vec<Map<String, Value>>,
    /// What is this scope's alone, not inherited: where unknown keys are its own.
    own: Map<String, Value>,
    merged: Map<String, Value>,
    layers: Arc<[Map<String, Value>]>,
}

impl Scope {
    pub(super) fn new(path: String, cascade: Vec<Map<String, Value>>, layers: &[Map<String, Value>]) -> Self {
        let merged = merge(&cascade);
        Self { path, own: merged.clone(), merged, cascade, layers: layers.into() }
    }

    /// A scope within this one, with stronger tables of its own.
    pub(super) fn within(&self, path: String, own: Vec<Map<String, Value>>) -> Self {
        let cascade: Vec<_> = self.cascade.iter().cloned().chain(own.clone()).collect();
        Self { path, own: merge(&own), merged: merge(&cascade), cascade, layers: Arc::clone(&self.layers) }
    }

    /// Reads one or several structs from this scope's table.
    pub fn reader<'a>(&'a self, errors: &'a mut ConfigErrors) -> Reader<'a> {
        Reader::new(self, errors)
    }

    /// The key that this scope stands at: `services.users`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether anything but a default says what `key` (`pool.max`) is.
    pub fn is_written(&self, key: &str) -> bool {
        find(&self.merged, key).is_some()
    }

    /// Adds an error about `key` of this scope, at the place where it is written.
    pub fn error(&self, errors: &mut ConfigErrors, key: &str, message: impl Into<String>) {
        match find(&self.merged, key) {
            Some(value) => Self::complain(errors, value, &format!("{}.{key}", self.path), message),
            None => errors.add("", format!("{}.{key}", self.path), message),
        }
    }

    /// Where `key` is written, and what that beat, the strongest first.
    pub(super) fn origins(&self, key: &str) -> Vec<String> {
        let mut places = Vec::new();
        for table in self.cascade.iter().rev() {
            let Some(origin) = find(table, key).and_then(Origin::of) else { continue };
            places.push(origin.place);
            // The same key in files that this one's beat.
            let beaten =
                self.layers.iter().rev().filter_map(|layer| find(layer, &origin.key)).filter_map(Origin::of);
            places.extend(beaten.map(|origin| origin.place));
        }
        let mut seen = std::collections::HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        places
    }

    pub(super) fn merged(&self) -> &Map<String, Value> {
        &self.merged
    }

    pub(super) fn own(&self) -> &Map<String, Value> {
        &self.own
    }

    pub(super) fn complain(errors: &mut ConfigErrors, value: &Value, path: &str, message: impl Into<String>) {
        match Origin::of(value) {
            Some(Origin { place, key }) => errors.add(place, key, message),
            None => errors.add("", path, message),
        }
    }
}

/// The value at a dotted key.
fn find<'a>(table: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => match &table.get(first)?.kind {
            ValueKind::Table(table) => find(table, rest),
            _ => None,
        },
    }
}
