use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::{
    Reader,
    diagnostics::{ConfigErrors, Diagnostic},
    merge::merge,
    origin::{Mark, Origin},
    path::{self, Step, join},
    tree::Tree,
};

/// The settings of one scope: a cascade of tables, the strongest last.
///
/// It only knows where its tables stand in the tree of all settings, so that it costs little to keep; they are merged
/// when they are read.
#[derive(Clone, Debug)]
pub struct Scope {
    key: String,
    tree: Arc<Tree>,
    cascade: Vec<Part>,
}

/// One table of a cascade.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) table: Table,
    /// Whether it is this scope's own, not inherited from one around it: an unknown key in it is this scope's to tell.
    pub(super) own: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Table {
    /// A text that the program brings.
    Text(Arc<Map<String, Value>>),
    /// In files and variables, at these keys.
    Written(Vec<String>),
    /// Set by code at run time, at these keys.
    Override(Vec<String>),
}

impl Scope {
    pub(super) fn new(key: String, tree: Arc<Tree>, cascade: Vec<Part>) -> Self {
        Self { key, tree, cascade }
    }

    /// A scope within this one, with stronger tables of its own.
    pub(super) fn within(&self, key: String, own: Vec<Part>) -> Self {
        let inherited = self.cascade.iter().map(|part| Part { own: false, ..part.clone() });
        Self { key, tree: Arc::clone(&self.tree), cascade: inherited.chain(own).collect() }
    }

    /// Reads one or several structs from this scope's table.
    pub fn reader<'a>(&'a self, errors: &'a mut ConfigErrors) -> Reader<'a> {
        Reader::new(self, errors)
    }

    /// The key that this scope stands at: `services.users`.
    pub fn path(&self) -> &str {
        &self.key
    }

    /// Whether anything but a struct's own default says what `key` (`pool.max`) is.
    pub fn is_written(&self, key: &str) -> bool {
        self.effective(&keys(key)).is_some()
    }

    /// Where `key` (`pool.max`) is written.
    pub fn origin(&self, key: &str) -> Origin {
        self.effective(&keys(key)).and_then(Mark::of).map(|mark| mark.origin).unwrap_or_default()
    }

    /// Adds an error about `key` (`pool.max`) of this scope, at the place where it is written; where it is not, at the
    /// table where it could be. What was wrong with it before it could be judged is not judged again.
    pub fn error(&self, errors: &mut ConfigErrors, key: &str, message: impl Into<String>) {
        let Diagnostic { origin, key, message } = self.diagnose(key, message);
        if !errors.is_about(&origin, &key) {
            errors.add(origin, key, message);
        }
    }

    /// What is to be said about `key` (`pool.max`) of this scope, with the place that it is said of.
    pub fn diagnose(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        let steps: Vec<Step> = key.split('.').map(|key| Step::Key(key.to_owned())).collect();
        let mark = self.effective(&keys(key)).and_then(Mark::of);
        let Mark { origin, key } = mark.unwrap_or_else(|| self.place_for(&steps));
        Diagnostic { origin, key, message: message.into() }
    }

    /// Adds an error about keys that contradict each other, at the one that the strongest table says: it was written
    /// last, or nearest to what it is about.
    pub fn error_among(&self, errors: &mut ConfigErrors, among: &[&str], message: impl Into<String>) {
        let strongest = self.cascade.iter().rev().find_map(|part| {
            let (table, _) = self.find_table(part)?;
            among.iter().find(|key| path::find(table, &keys(key)).is_some())
        });
        if let Some(key) = strongest.or(among.first()) {
            self.error(errors, key, message);
        }
    }

    /// Whether the value at these keys is this scope's own, not inherited.
    pub(super) fn says(&self, keys: &[&str]) -> bool {
        let own = self.cascade.iter().filter(|part| part.own);
        own.filter_map(|part| self.find_table(part))
            .any(|(table, _)| path::find(table, keys).is_some() || is_hidden(table, keys))
    }

    /// Where what is missing could be written: the table of this scope that is nearest to it.
    pub(super) fn place_for(&self, steps: &[Step]) -> Mark {
        let place = self.cascade.iter().rev().filter(|part| part.own).find_map(|part| {
            let Table::Written(at) = &part.table else { return None };
            let at: Vec<Step> = at.iter().cloned().map(Step::Key).collect();
            // The sections themselves may be missing too.
            let found = path::deepest(&self.tree.merged, &[&at, steps].concat())?;
            Some(Mark::of(found)?.origin)
        });
        Mark { origin: place.unwrap_or_default(), key: path::shown(&self.key, steps) }
    }

    /// Where a key is written, and what that beat, the strongest first.
    pub(super) fn origins(&self, keys: &[&str]) -> Vec<Origin> {
        let mut origins = Vec::new();
        for part in self.cascade.iter().rev() {
            let (tables, at): (Vec<_>, &[String]) = match &part.table {
                Table::Text(table) => (vec![&**table], &[]),
                Table::Override(at) => (vec![&self.tree.overrides], at),
                Table::Written(at) => {
                    (std::iter::once(&*self.tree.merged).chain(self.tree.beaten.iter().rev()).collect(), at)
                }
            };
            let keys = full(at, keys);
            let found = tables.into_iter().filter_map(|table| path::find(table, &keys)).filter_map(Mark::of);
            origins.extend(found);
            // What is off here hides what weaker tables say: it neither counts there, nor was it beaten.
            if self.find_table(part).is_some_and(|(table, at)| is_hidden(table, &keys[at.len()..])) {
                break;
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        origins.into_iter().map(|mark| mark.origin).filter(|origin| seen.insert(origin.clone())).collect()
    }

    /// All of it, merged.
    pub(super) fn merged(&self) -> Map<String, Value> {
        merge(self.cascade.iter().map(|part| self.table(part)))
    }

    /// What is this scope's own, merged.
    pub(super) fn own(&self) -> Map<String, Value> {
        merge(self.cascade.iter().filter(|part| part.own).map(|part| self.table(part)))
    }

    fn table(&self, part: &Part) -> Map<String, Value> {
        let Some((table, at)) = self.find_table(part) else { return Map::new() };
        // A service's calls are scopes of their own.
        let is_service = matches!(at, [section, _] if section == "services");
        table
            .iter()
            .filter(|(key, _)| !is_service || *key != "calls")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn find_table<'a>(&'a self, part: &'a Part) -> Option<(&'a Map<String, Value>, &'a [String])> {
        let (tree, at) = match &part.table {
            Table::Text(table) => return Some((table, &[])),
            Table::Written(at) => (&*self.tree.merged, at),
            Table::Override(at) => (&self.tree.overrides, at),
        };
        Some((path::table(tree, &full(at, &[]))?, at))
    }

    /// The value that counts at these keys.
    fn effective(&self, keys: &[&str]) -> Option<&Value> {
        for part in self.cascade.iter().rev() {
            let Some((table, _)) = self.find_table(part) else { continue };
            if let Some(value) = path::find(table, keys) {
                return Some(value);
            }
            if is_hidden(table, keys) {
                return None;
            }
        }
        None
    }
}

/// Whether a table says something that is no table, `breaker = false`, on the way to these keys: it hides all that weaker
/// tables say in its place.
fn is_hidden(table: &Map<String, Value>, keys: &[&str]) -> bool {
    (1..keys.len()).any(|len| {
        path::find(table, &keys[..len]).is_some_and(|value| !matches!(value.kind, ValueKind::Table(_)))
    })
}

/// The key of this name at the top of a scope.
pub(super) fn key_of(scope: &[&str]) -> String {
    scope.iter().fold(String::new(), |key, name| join(&key, name))
}

fn keys(key: &str) -> Vec<&str> {
    key.split('.').collect()
}

fn full<'a>(at: &'a [String], keys: &[&'a str]) -> Vec<&'a str> {
    at.iter().map(String::as_str).chain(keys.iter().copied()).collect()
}
