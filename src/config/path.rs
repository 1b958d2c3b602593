use config::{Map, Value, ValueKind};

/// One step from a table to a value in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The key at the end of a way. An element of an array has its array's: where it is written tells them apart.
pub(super) fn shown<'a>(start: &str, steps: impl IntoIterator<Item = &'a Step>) -> String {
    steps.into_iter().fold(start.to_owned(), |text, step| match step {
        Step::Key(key) => join(&text, key),
        Step::Index(_) => text,
    })
}

/// The key of a value in a table; a name that TOML would quote is quoted.
pub(crate) fn join(table: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let dot = if table.is_empty() { "" } else { "." };
    if bare { format!("{table}{dot}{key}") } else { format!("{table}{dot}{key:?}") }
}

/// The keys of a path as it is shown, `users."a.b".timeout`; `None` if it is none.
pub(crate) fn split(path: &str) -> Option<Vec<String>> {
    let (mut keys, mut rest) = (Vec::new(), path);
    loop {
        let (key, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if key.is_empty() || key.contains(['"', '\\']) {
            return None;
        }
        keys.push(key.to_owned());
        rest = match after.strip_prefix('.') {
            Some(rest) => rest,
            None if after.is_empty() => return Some(keys),
            None => return None,
        };
    }
}

/// The value at these keys.
pub(super) fn find<'a>(table: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    let value = table.get(*first)?;
    match (rest, &value.kind) {
        ([], _) => Some(value),
        (rest, ValueKind::Table(table)) => find(table, rest),
        _ => None,
    }
}

/// The table at these keys.
pub(super) fn table<'a>(tree: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Map<String, Value>> {
    match (keys, find(tree, keys).map(|value| &value.kind)) {
        ([], _) => Some(tree),
        (_, Some(ValueKind::Table(table))) => Some(table),
        _ => None,
    }
}

/// The value at the end of a way, or the last on it that is there.
pub(super) fn deepest<'a>(table: &'a Map<String, Value>, steps: &[Step]) -> Option<&'a Value> {
    let (Step::Key(first), rest) = steps.split_first()? else { return None };
    let mut value = table.get(first)?;
    for step in rest {
        let next = match (step, &value.kind) {
            (Step::Key(key), ValueKind::Table(table)) => table.get(key),
            (Step::Index(index), ValueKind::Array(values)) => values.get(*index),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    Some(value)
}

/// Takes a value out, and says whether it was there.
pub(super) fn remove(table: &mut Map<String, Value>, steps: &[Step]) -> bool {
    match steps {
        [] | [Step::Index(_), ..] => false,
        [Step::Key(last)] => table.remove(last).is_some(),
        [Step::Key(first), rest @ ..] => table.get_mut(first).is_some_and(|value| remove_in(value, rest)),
    }
}

fn remove_in(value: &mut Value, steps: &[Step]) -> bool {
    match (&mut value.kind, steps) {
        (ValueKind::Table(table), steps) => remove(table, steps),
        (ValueKind::Array(values), [Step::Index(index)]) if *index < values.len() => {
            values.remove(*index);
            true
        }
        (ValueKind::Array(values), [Step::Index(index), rest @ ..]) => {
            values.get_mut(*index).is_some_and(|value| remove_in(value, rest))
        }
        _ => false,
    }
}

/// Puts a value at the end of a way, whose tables and arrays are there; whether they are.
pub(super) fn put(table: &mut Map<String, Value>, steps: &[Step], value: Value) -> bool {
    match steps {
        [] | [Step::Index(_), ..] => false,
        [Step::Key(last)] => {
            table.insert(last.clone(), value);
            true
        }
        [Step::Key(first), rest @ ..] => {
            table.get_mut(first).is_some_and(|within| put_in(within, rest, value))
        }
    }
}

fn put_in(within: &mut Value, steps: &[Step], value: Value) -> bool {
    match (&mut within.kind, steps) {
        (ValueKind::Table(table), steps) => put(table, steps, value),
        (ValueKind::Array(values), [Step::Index(index), rest @ ..]) => {
            values.get_mut(*index).is_some_and(|within| put_in(within, rest, value))
        }
        _ => false,
    }
}
