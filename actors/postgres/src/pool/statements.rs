//! A connection's prepared statements: as many as it may keep, the least recently used ones forgotten first.

use std::{collections::HashMap, sync::Arc};

use super::Prepared;

#[derive(Debug)]
pub(super) struct Statements {
    limit: usize,
    /// Counts uses.
    now: u64,
    by_text: HashMap<Arc<str>, (Prepared, u64)>,
}

impl Statements {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, now: 0, by_text: HashMap::new() }
    }

    pub(super) fn get(&mut self, text: &str) -> Option<Prepared> {
        let (prepared, used) = self.by_text.get_mut(text)?;
        self.now += 1;
        *used = self.now;
        Some(prepared.clone())
    }

    /// Keeps one. To forget one of the others looks at all of them, which is little beside the round trip of preparing.
    pub(super) fn keep(&mut self, text: &str, prepared: &Prepared) {
        if self.limit == 0 {
            return;
        }
        if self.by_text.len() >= self.limit
            && let Some(oldest) =
                self.by_text.iter().min_by_key(|(_, (_, used))| *used).map(|(text, _)| Arc::clone(text))
        {
            self.by_text.remove(&oldest);
        }
        self.now += 1;
        self.by_text.insert(text.into(), (prepared.clone(), self.now));
    }

    pub(super) fn forget(&mut self, text: &str) {
        self.by_text.remove(text);
    }

    pub(super) fn clear(&mut self) {
        self.by_text.clear();
    }
}

/// Whether a statement's text has words that leave something in the session and that the server does not tell of.
/// Too often is a reset too many; a function that does it inside is found by `postgres.reset = "always"` alone.
pub(crate) fn leaves(text: &str) -> bool {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).any(|word| {
        ["set_config", "temp", "temporary", "pg_temp", "pg_settings", "setseed", "dblink_connect"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
            || ["pg_advisory_lock", "pg_try_advisory_lock"]
                .iter()
                .any(|known| word.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known)))
    })
}

/// Whether a statement's text has the words of one that may commit in its course, so that it is not undone whole when it
/// fails: a `CALL` or a `DO`, but no `ON CONFLICT DO`.
pub(crate) fn commits(text: &str) -> bool {
    let words = || {
        text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
            .filter(|word| !word.is_empty())
    };
    let is = |word: &str, known: &[&str]| known.iter().any(|known| word.eq_ignore_ascii_case(known));
    words()
        .zip(words().skip(1).chain([""]))
        .any(|(word, next)| is(word, &["call"]) || is(word, &["do"]) && !is(next, &["nothing", "update"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_commit_in_its_course_is_found_in_its_words() {
        for text in
            ["call p()", "/* it */ CALL p($1)", "do $$ begin commit; end $$", "DO language plpgsql 'x'"]
        {
            assert!(commits(text), "{text}");
        }
        let upsert = "insert into t values (1) on conflict do nothing";
        for text in
            [upsert, "insert into t values (1) on conflict (id) do\nupdate set id = 2", "select 1", "commit"]
        {
            assert!(!commits(text), "{text}");
        }
    }

    #[test]
    fn what_a_select_leaves_is_found_in_its_words() {
        for text in [
            "select set_config('search_path', $1, false)",
            "SELECT PG_ADVISORY_LOCK(7)",
            "select pg_try_advisory_lock_shared(1, 2)",
            "select 1 as one into temp t",
            "create temporary table t (id int)",
            "create table pg_temp.t as select 1 as id",
            "update pg_settings set setting = 'elsewhere' where name = 'search_path'",
        ] {
            assert!(leaves(text), "{text}");
        }
        for text in ["select temperature from templates", "select pg_advisory_xact_lock(7)", "select 1"] {
            assert!(!leaves(text), "{text}");
        }
    }
}
