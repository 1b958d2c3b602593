use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use config::{Map, Value};
use serde::Deserialize;

use super::{
    Scope,
    diagnostics::ConfigErrors,
    mistake::Mistake,
    names::unknown,
    origin::Mark,
    path::{self, Step, join},
    shape::complain,
    standin,
    value::{Notes, Root},
};

/// Errors that one struct may have before reading it is given up.
const MOST_ERRORS: usize = 200;

/// Reads structs from one table. Several may be read from the same: each takes the keys it knows, and what none knew is
/// an error when the reading is finished.
///
/// What a struct knows is what serde's derive says it knows: `#[serde(flatten)]` hides that, and cannot be read here.
pub struct Reader<'a> {
    scope: &'a Scope,
    errors: &'a mut ConfigErrors,
    merged: Map<String, Value>,
    known: BTreeSet<&'static str>,
    /// Whether others may add what is missing.
    partial: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(scope: &'a Scope, errors: &'a mut ConfigErrors) -> Self {
        Self { scope, errors, merged: scope.merged(), known: BTreeSet::new(), partial: false }
    }

    /// Reads what is only a part: what is missing is no error, since others may add it.
    #[must_use]
    pub fn partial(self) -> Self {
        Self { partial: true, ..self }
    }

    /// Reads one struct.
    ///
    /// All that is wrong is noted, and then taken as if it were not written, so that the rest is judged too: with
    /// errors noted, what is returned is good for finding more of them, and for nothing else. `None` if it cannot be
    /// read without what is wrong or missing; all keys that are missing are told.
    pub fn read<T: for<'de> Deserialize<'de>>(&mut self) -> Option<T> {
        let mut table = self.merged.clone();
        let mut dropped: BTreeSet<Vec<Step>> = BTreeSet::new();
        let mut stand_ins: BTreeMap<Vec<Step>, i64> = BTreeMap::new();
        for _ in 0..MOST_ERRORS {
            let notes = Notes::default();
            let read = T::deserialize(Root { table: &table, notes: &notes });
            let (known, wrong) = notes.take();
            self.known.extend(known);
            for (path, message) in wrong {
                self.note(&table, &path, message);
            }
            let Mistake { path, missing, message, .. } = match read {
                Ok(value) => return stand_ins.is_empty().then_some(value),
                Err(mistake) => mistake,
            };
            let mut path = path.unwrap_or_default();
            if let Some(name) = missing {
                let missing = [path.as_slice(), &[Step::Key(name.to_owned())]].concat();
                // What was dropped for being wrong is not missing.
                if !self.partial && !dropped.contains(&missing) {
                    let Mark { origin, key } = match path::deepest(&table, &path).and_then(Mark::of) {
                        Some(Mark { origin, key }) => Mark { origin, key: join(&key, name) },
                        None => self.scope.place_for(&missing),
                    };
                    self.errors.add(origin, key, message);
                }
                // What is missing behind it is found without it.
                if path::put(&mut table, &missing, standin::value(0)) {
                    dropped.insert(missing.clone());
                    stand_ins.insert(missing, 0);
                    continue;
                }
            } else if let Some((at, form)) = stand_ins.iter_mut().find(|(at, _)| path.starts_with(at)) {
                *form += 1;
                if *form < standin::FORMS && path::put(&mut table, at, standin::value(*form)) {
                    continue;
                }
                path = at[..at.len() - 1].to_vec();
            } else if !dropped.iter().any(|dropped| dropped.starts_with(&path)) {
                // Otherwise it may be wrong only for what was dropped from it.
                self.note(&table, &path, message);
            }
            if !path::remove(&mut table, &path) {
                return None;
            }
            match path.split_last() {
                // The next element has its index now: what was dropped there was not of that one.
                Some((Step::Index(_), array)) => {
                    dropped.retain(|dropped| !dropped.starts_with(&path));
                    dropped.insert(array.to_vec());
                }
                _ => {
                    dropped.insert(path);
                }
            }
        }
        None
    }

    /// Ends the reading: keys that no struct knew are errors. `others` are known to somebody else.
    pub fn finish(self, others: &[&'static str]) {
        let known: BTreeSet<_> = self.known.iter().chain(others).copied().collect();
        for (key, value) in self.scope.own() {
            if !known.contains(key.as_str()) {
                let message = unknown("key", &key, known.iter().copied());
                complain(self.errors, &value, &join(self.scope.path(), &key), message);
            }
        }
    }

    fn note(&mut self, table: &Map<String, Value>, path: &[Step], message: String) {
        match path::deepest(table, path).and_then(Mark::of) {
            Some(Mark { origin, key }) => self.errors.add(origin, key, message),
            None => {
                let Mark { origin, key } = self.scope.place_for(path);
                self.errors.add(origin, key, message);
            }
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("scope", &self.scope.path()).finish_non_exhaustive()
    }
}
