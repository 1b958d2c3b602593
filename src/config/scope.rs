use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::{Reader, diagnostics::ConfigErrors, key::join, layers::merge, origin::Origin};

/// The settings of one scope: a cascade of tables, the strongest last.
#[derive(Clone, Debug)]
pub struct Scope {
    path: String,
    /// Where its table is written.
    place: String,
    cascade: Vec<Map<String, Value>>,
    /// What is this scope's alone, not inherited: where unknown keys are its own.
    own: Map<String, Value>,
    merged: Map<String, Value>,
    layers: Arc<[Map<String, Value>]>,
}

impl Scope {
    pub(super) fn new(
        path: String,
        place: String,
        cascade: Vec<Map<String, Value>>,
        layers: &Arc<[Map<String, Value>]>,
    ) -> Self {
        let merged = merge(&cascade);
        Self { path, place, own: merged.clone(), merged, cascade, layers: Arc::clone(layers) }
    }

    /// A scope within this one, with stronger tables of its own.
    pub(super) fn within(&self, path: String, place: String, own: Vec<Map<String, Value>>) -> Self {
        let cascade: Vec<_> = self.cascade.iter().cloned().chain(own.clone()).collect();
        let layers = Arc::clone(&self.layers);
        Self { path, place, own: merge(&own), merged: merge(&cascade), cascade, layers }
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
        matches!(find(&self.merged, key), Found::Value(_))
    }

    /// Whether `key` is this scope's own, not inherited; `false` in place of its table says it too.
    pub(super) fn says(&self, key: &str) -> bool {
        !matches!(find(&self.own, key), Found::Nothing)
    }

    /// Adds an error about `key` of this scope, at the place where it is written.
    pub fn error(&self, errors: &mut ConfigErrors, key: &str, message: impl Into<String>) {
        self.error_among(errors, &[key], message);
    }

    /// Adds an error about several keys that contradict each other, at the one that was written last: the strongest.
    pub fn error_among(&self, errors: &mut ConfigErrors, keys: &[&str], message: impl Into<String>) {
        let strongest = self.cascade.iter().rev().find_map(|table| {
            keys.iter().find_map(|key| match find(table, key) {
                Found::Value(value) => Some((value, *key)),
                Found::Nothing | Found::Blocked(_) => None,
            })
        });
        match (strongest, keys.first()) {
            (Some((value, key)), _) => Self::complain(errors, value, &join(&self.path, key), message),
            (None, Some(key)) => errors.add(&self.place, format!("{}.{key}", self.path), message),
            (None, None) => errors.add(&self.place, &self.path, message),
        }
    }

    /// Where `key` is written, and what that beat, the strongest first.
    pub(super) fn origins(&self, key: &str) -> Origins {
        let mut origins = Origins::default();
        for table in self.cascade.iter().rev() {
            let value = match find(table, key) {
                Found::Value(value) => value,
                Found::Nothing => continue,
                Found::Blocked(value) => {
                    // A `false` on the way: nothing below it counts any more.
                    origins.beaten.extend(Origin::of(value).map(|origin| origin.place));
                    break;
                }
            };
            let Some(origin) = Origin::of(value) else { continue };
            let mut places = vec![origin.place];
            places.extend(self.in_files(&origin.key));
            if origins.winner.is_none() {
                origins.winner = Some(places.remove(0));
            }
            origins.beaten.extend(places);
        }
        let mut seen = std::collections::HashSet::new();
        origins.beaten.retain(|place| origins.winner.as_ref() != Some(place) && seen.insert(place.clone()));
        origins
    }

    /// Where the files, and the variables, write the setting of a whole key, the strongest first.
    fn in_files(&self, key: &str) -> Vec<String> {
        let mut places = Vec::new();
        for layer in self.layers.iter().rev() {
            let (value, last) = match find(layer, key) {
                Found::Value(value) => (value, false),
                Found::Nothing => continue,
                Found::Blocked(value) => (value, true),
            };
            places.extend(Origin::of(value).map(|origin| origin.place));
            if last {
                break;
            }
        }
        places
    }

    pub(super) fn merged(&self) -> &Map<String, Value> {
        &self.merged
    }

    pub(super) fn own(&self) -> &Map<String, Value> {
        &self.own
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn complain(errors: &mut ConfigErrors, value: &Value, path: &str, message: impl Into<String>) {
        match Origin::of(value) {
            Some(Origin { place, key }) => errors.add(place, key, message),
            None => errors.add("", path, message),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// `None` if nobody wrote it.
    pub(super) winner: Option<String>,
    /// What it beat, the strongest first.
    pub(super) beaten: Vec<String>,
}

enum Found<'a> {
    Value(&'a Value),
    Nothing,
    /// On the way stands something that is no table.
    Blocked(&'a Value),
}

/// What is at a dotted key.
fn find<'a>(table: &'a Map<String, Value>, key: &str) -> Found<'a> {
    let (entry, rest) = if key.starts_with('"') {
        // A name in quotes: found by how keys write it, for a dot in it separates nothing.
        let entry = table.iter().find_map(|(name, value)| {
            let rest = key.strip_prefix(join("", name).as_str())?;
            (rest.is_empty() || rest.starts_with('.')).then_some((value, rest.strip_prefix('.')))
        });
        entry.unzip()
    } else {
        let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
        (table.get(first), Some(rest))
    };
    match (entry, rest.flatten()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::Value(value),
        (Some(value), Some(rest)) => match &value.kind {
            ValueKind::Table(table) => find(table, rest),
            _ => Found::Blocked(value),
        },
    }
}
