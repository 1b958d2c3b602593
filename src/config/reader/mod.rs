//! Reads structs from a scope's table, strictly, and goes on after an error.
//!
//! serde gives up at the first mistake. So a struct with one is read again without the value that was wrong, until no
//! mistake is left: every error costs one more reading, and all are shown at once. A required key that is missing, or was
//! taken out like that, is filled with a placeholder that reads as zero, empty or false. Nobody sees the struct that comes
//! of it: a reading with a mistake has no result.

mod mistake;
mod path;
mod values;

use std::{cell::RefCell, collections::BTreeSet, fmt};

use config::{Map, Value};
use serde::Deserialize;

use super::{Scope, diagnostics::ConfigErrors, key::join, names::unknown, origin::Origin};
use mistake::Mistake;
use path::{Path, Step};
use values::Table;

/// Errors that one struct may have before reading it is given up.
const MOST_ERRORS: usize = 200;

/// Reads structs from one table. Several may be read from the same: each takes the keys it knows, and what none knew is
/// an error when the reading is finished.
pub struct Reader<'a> {
    scope: &'a Scope,
    errors: &'a mut ConfigErrors,
    known: BTreeSet<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(scope: &'a Scope, errors: &'a mut ConfigErrors) -> Self {
        Self { scope, errors, known: BTreeSet::new() }
    }

    /// Reads one struct; `None` if it has errors, which are all noted.
    pub fn read<T: for<'de> Deserialize<'de>>(&mut self) -> Option<T> {
        let mut table = self.scope.merged().clone();
        let mut removed = BTreeSet::<Path>::new();
        let mut filled = BTreeSet::<Path>::new();
        let mut sound = true;
        for _ in 0..MOST_ERRORS {
            let notes = Notes::default();
            let read =
                T::deserialize(Table { table: &table, path: Path::default(), notes: &notes, root: true });
            self.known.extend(notes.known.take());
            for (path, message) in notes.unknown.take() {
                sound = false;
                self.complain(&table, &path, message);
            }
            let Mistake { path, message, missing } = match read {
                Ok(value) => return sound.then_some(value),
                Err(mistake) => mistake,
            };
            sound = false;
            let path = path.unwrap_or_default();
            if filled.iter().any(|filled| path.is_within(filled)) {
                // A placeholder that its type does not take: what comes after it stays unread.
                return None;
            }
            match missing {
                Some(name) => {
                    let key = path.with(Step::Key(name.to_owned()));
                    if !removed.contains(&key) {
                        self.complain(&table, &path, message);
                    }
                    if !key.fill(&mut table) {
                        return None;
                    }
                    filled.insert(key);
                }
                None => {
                    // What is said of a whole table may come of what is no longer in it.
                    let is_inner = |inner: &Path| *inner != path && inner.is_within(&path);
                    if !removed.iter().chain(&filled).any(is_inner) {
                        self.complain(&table, &path, message);
                    }
                    if !path.remove(&mut table) {
                        return None;
                    }
                    removed.insert(path);
                }
            }
        }
        None
    }

    /// Ends the reading: keys that no struct knew are errors. `others` are known to somebody else.
    pub fn finish(self, others: &[&'static str]) {
        let known = self.known.iter().chain(others).copied();
        for (key, value) in self.scope.own() {
            if !known.clone().any(|known| known == key) {
                let path = join(self.scope.path(), key);
                Scope::complain(self.errors, value, &path, unknown("key", key, known.clone()));
            }
        }
    }

    fn complain(&mut self, table: &Map<String, Value>, path: &Path, message: String) {
        match path.find(table).and_then(Origin::of) {
            Some(Origin { place, key }) => self.errors.add(place, key, message),
            None => self.errors.add(self.scope.place(), path.within(self.scope.path()), message),
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("scope", &self.scope.path()).finish_non_exhaustive()
    }
}

/// What reading notes by the way.
#[derive(Default)]
struct Notes {
    known: RefCell<BTreeSet<&'static str>>,
    unknown: RefCell<Vec<(Path, String)>>,
}
