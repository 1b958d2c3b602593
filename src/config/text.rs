use config::{Map, Value, ValueKind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{diagnostics::ConfigErrors, key::join, origin::Origin};

/// Tables may be nested this deep: no setting is deeper, and hostile nesting must not exhaust the stack.
const DEEPEST: usize = 16;

/// Syntax errors shown of one file: what is no TOML at all has one in every byte.
const MOST_ERRORS: usize = 20;

/// Reads TOML so that every value knows its place.
pub(super) fn parse(text: &str, file: &str, errors: &mut ConfigErrors) -> Map<String, Value> {
    let (table, mistakes) = DeTable::parse_recoverable(text);
    let source = Source { file, places: Places::new(text) };
    for mistake in mistakes.iter().take(MOST_ERRORS) {
        let (line, column) = source.places.of(mistake.span().map_or(0, |span| span.start));
        errors.add(format!("{file}:{line}:{column}"), "", format!("not TOML: {}", mistake.message()));
    }
    if !mistakes.is_empty() {
        return Map::new();
    }
    source.table(table.get_ref(), "", 0, errors)
}

/// Reads one TOML value, as a variable may hold it: `["connect", "reset"]`.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let mut errors = ConfigErrors::new();
    let source = Source { file: "", places: Places::new(text) };
    let parsed = source.kind(&value, &origin.key, 0, &mut errors);
    errors.is_empty().then(|| stamped(parsed, origin))
}

/// Gives a value, and all in it, one origin.
fn stamped(kind: ValueKind, origin: &Origin) -> Value {
    let kind = match kind {
        ValueKind::Table(table) => ValueKind::Table(
            table.into_iter().map(|(key, value)| (key, stamped(value.kind, origin))).collect(),
        ),
        ValueKind::Array(values) => {
            ValueKind::Array(values.into_iter().map(|value| stamped(value.kind, origin)).collect())
        }
        kind => kind,
    };
    Value::new(Some(&origin.to_string()), kind)
}

struct Source<'a> {
    file: &'a str,
    places: Places<'a>,
}

impl Source<'_> {
    fn table(
        &self,
        table: &DeTable<'_>,
        path: &str,
        depth: usize,
        errors: &mut ConfigErrors,
    ) -> Map<String, Value> {
        let mut read = Map::new();
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let path = join(path, &name);
            let origin = Origin::file(self.file, self.places.of(key.span().start), &path);
            if depth >= DEEPEST {
                errors.add(
                    origin.place,
                    path,
                    format!("nested deeper than the {DEEPEST} tables that settings may be"),
                );
                continue;
            }
            let kind = self.kind(value, &path, depth, errors);
            read.insert(name, Value::new(Some(&origin.to_string()), kind));
        }
        read
    }

    fn kind(
        &self,
        value: &Spanned<DeValue<'_>>,
        path: &str,
        depth: usize,
        errors: &mut ConfigErrors,
    ) -> ValueKind {
        let mut refuse = |message: String| {
            let origin = Origin::file(self.file, self.places.of(value.span().start), path);
            errors.add(origin.place, path, message);
            ValueKind::Nil
        };
        match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(on) => ValueKind::Boolean(*on),
            DeValue::Datetime(time) => refuse(format!("no setting is a date; as text it is \"{time}\"")),
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                match i64::from_str_radix(&digits, integer.radix()) {
                    Ok(number) => ValueKind::I64(number),
                    Err(_) => refuse(format!("{integer} is larger than any setting may be")),
                }
            }
            DeValue::Float(float) => match float.as_str().replace('_', "").parse::<f64>() {
                Ok(number) if number.is_finite() => ValueKind::Float(number),
                _ => refuse(format!("{float} is no number that a setting may be")),
            },
            DeValue::Array(values) => ValueKind::Array(
                values
                    .iter()
                    .map(|value: &Spanned<DeValue<'_>>| self.element(value, path, depth, errors))
                    .collect(),
            ),
            DeValue::Table(table) => ValueKind::Table(self.table(table, path, depth + 1, errors)),
        }
    }

    fn element(
        &self,
        value: &Spanned<DeValue<'_>>,
        path: &str,
        depth: usize,
        errors: &mut ConfigErrors,
    ) -> Value {
        let origin = Origin::file(self.file, self.places.of(value.span().start), path);
        if depth >= DEEPEST {
            errors.add(
                origin.place,
                path,
                format!("nested deeper than the {DEEPEST} levels that settings may be"),
            );
            return Value::new(None, ValueKind::Nil);
        }
        Value::new(Some(&origin.to_string()), self.kind(value, path, depth + 1, errors))
    }
}

/// Lines and columns of a text, without counting from its beginning for each.
struct Places<'a> {
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// The characters before each step of so many bytes: a line may be as long as the text.
    characters: Vec<usize>,
}

const STEP: usize = 512;

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        let mut characters = vec![0];
        for step in text.as_bytes().chunks(STEP) {
            characters.push(characters.last().copied().unwrap_or_default() + starts(step));
        }
        Self { text, lines, characters }
    }

    /// Line and column, both from 1, of a byte of the text.
    fn of(&self, byte: usize) -> (usize, usize) {
        let byte = byte.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= byte);
        (line, self.before(byte) - self.before(self.lines[line - 1]) + 1)
    }

    /// How many characters begin before a byte of the text.
    fn before(&self, byte: usize) -> usize {
        let step = byte / STEP;
        self.characters[step] + starts(&self.text.as_bytes()[step * STEP..byte])
    }
}

/// How many characters begin in these bytes.
fn starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
