use config::{Map, Value, ValueKind};
use toml::{
    Spanned,
    de::{DeFloat, DeInteger, DeTable, DeValue},
};

use super::{
    diagnostics::ConfigErrors,
    origin::{Mark, Origin},
    path::join,
};

/// Tables and arrays may be nested this deep: no setting is deeper, and hostile nesting must not exhaust the stack.
pub(super) const DEEPEST: usize = 16;

/// Mistakes that one file may have before no more of them are told.
const MOST_MISTAKES: usize = 20;

/// Reads a user's TOML so that every value knows its line and column.
///
/// The mistakes in it are noted; then nothing of it is read, for what a parser makes of the rest is a guess.
pub(super) fn parse(text: &str, file: &str, errors: &mut ConfigErrors) -> Map<String, Value> {
    let lines = Lines::new(text);
    let origin = |byte| {
        let (line, column) = lines.position(byte);
        Origin::File { file: file.to_owned(), line, column }
    };
    let (table, mistakes) = DeTable::parse_recoverable(text);
    for mistake in mistakes.iter().take(MOST_MISTAKES) {
        let start = mistake.span().map_or(0, |span| span.start);
        errors.add(origin(start), "", format!("this is not TOML: {}", mistake.message()));
    }
    if !mistakes.is_empty() {
        return Map::new();
    }
    Walk { origin: &origin, errors }.table(table.get_ref(), "", 0)
}

/// Reads TOML that the program itself brings: all of it comes from `what`.
pub(super) fn parse_own(text: &str, what: &str, key: &str, errors: &mut ConfigErrors) -> Map<String, Value> {
    match DeTable::parse(text) {
        Ok(table) => {
            let origin = |_| Origin::Text(what.to_owned());
            Walk { origin: &origin, errors }.table(table.get_ref(), key, 0)
        }
        Err(mistake) => {
            let (line, column) = Lines::new(text).position(mistake.span().map_or(0, |span| span.start));
            let message = format!("line {line}, column {column} is not TOML: {}", mistake.message());
            errors.add(Origin::Text(what.to_owned()), key, message);
            Map::new()
        }
    }
}

/// Reads one TOML value, as a variable may hold it: `["connect", "reset"]`. `None` if it is none.
pub(super) fn parse_value(text: &str, origin: &Origin, key: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let mut errors = ConfigErrors::new();
    let kind = Walk { origin: &|_| origin.clone(), errors: &mut errors }.kind(value.get_ref(), 0, key, 0);
    let mark = Mark { origin: origin.clone(), key: key.to_owned() };
    errors.is_empty().then(|| Value::new(Some(&mark.encode()), kind))
}

struct Walk<'a, O> {
    /// The origin of what starts at a byte.
    origin: &'a O,
    errors: &'a mut ConfigErrors,
}

impl<O: Fn(usize) -> Origin> Walk<'_, O> {
    fn table(&mut self, table: &DeTable<'_>, path: &str, depth: usize) -> Map<String, Value> {
        let mut read = Map::new();
        for (name, value) in table {
            let key = join(path, name.get_ref());
            read.insert(name.get_ref().to_string(), self.value(value, name.span().start, &key, depth));
        }
        read
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, start: usize, key: &str, depth: usize) -> Value {
        let mark = Mark { origin: (self.origin)(start), key: key.to_owned() };
        if depth >= DEEPEST {
            let message = format!("this is nested deeper than {DEEPEST} levels, and no setting is");
            self.errors.add(mark.origin, key, message);
            return Value::new(None, ValueKind::Nil);
        }
        Value::new(Some(&mark.encode()), self.kind(value.get_ref(), start, key, depth))
    }

    fn kind(&mut self, value: &DeValue<'_>, start: usize, key: &str, depth: usize) -> ValueKind {
        match value {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(on) => ValueKind::Boolean(*on),
            DeValue::Integer(number) => self.number(integer(number), number.as_str(), start, key),
            DeValue::Float(number) => self.number(float(number), number.as_str(), start, key),
            DeValue::Datetime(time) => {
                let message = format!("found the date or time {time}, and no setting is one; text is quoted");
                self.errors.add((self.origin)(start), key, message);
                ValueKind::Nil
            }
            DeValue::Array(values) => ValueKind::Array(
                values.iter().map(|value| self.value(value, value.span().start, key, depth + 1)).collect(),
            ),
            DeValue::Table(table) => ValueKind::Table(self.table(table, key, depth + 1)),
        }
    }

    fn number(&mut self, number: Option<ValueKind>, written: &str, start: usize, key: &str) -> ValueKind {
        number.unwrap_or_else(|| {
            let message = format!("found {written}, which is a larger number than any setting may be");
            self.errors.add((self.origin)(start), key, message);
            ValueKind::Nil
        })
    }
}

fn integer(number: &DeInteger<'_>) -> Option<ValueKind> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok().map(ValueKind::I64)
}

fn float(number: &DeFloat<'_>) -> Option<ValueKind> {
    number.as_str().replace('_', "").parse().ok().map(ValueKind::Float)
}

/// Where the lines of a text start: a position is then found by bisection, whatever the size of the file.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self { text, starts: std::iter::once(0).chain(newlines).collect() }
    }

    /// Line and column, both from 1, of a byte of the text.
    fn position(&self, byte: usize) -> (u32, u32) {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= byte);
        let column = self.text[self.starts[line - 1]..byte].chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// A value that code sets.
pub(super) fn from_plain(value: toml::Value, origin: &Origin, key: &str) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(on) => ValueKind::Boolean(on),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(values) => {
            ValueKind::Array(values.into_iter().map(|value| from_plain(value, origin, key)).collect())
        }
        toml::Value::Table(table) => ValueKind::Table(
            table
                .into_iter()
                .map(|(name, value)| {
                    let value = from_plain(value, origin, &join(key, &name));
                    (name, value)
                })
                .collect(),
        ),
    };
    Value::new(Some(&Mark { origin: origin.clone(), key: key.to_owned() }.encode()), kind)
}
