use config::{Map, Value, ValueKind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{diagnostics::ConfigErrors, origin::Origin};

/// Tables may be nested this deep: no setting is deeper, and hostile nesting must not exhaust the stack.
const DEEPEST: usize = 16;

/// Reads TOML so that every value knows its place.
pub(super) fn parse(text: &str, file: &str, errors: &mut ConfigErrors) -> Map<String, Value> {
    let (table, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        let (line, column) = position(text, mistake.span().map_or(0, |span| span.start));
        errors.add(format!("{file}:{line}:{column}"), "", format!("not TOML: {}", mistake.message()));
    }
    if !mistakes.is_empty() {
        return Map::new();
    }
    Source { text, file }.table(table.get_ref(), "", 0, errors)
}

/// Reads one TOML value, as a variable may hold it: `["connect", "reset"]`.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let mut errors = ConfigErrors::new();
    let parsed = Source { text, file: "" }.kind(value.get_ref(), &origin.key, 0, &mut errors);
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
    text: &'a str,
    file: &'a str,
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
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let origin = Origin::file(self.file, position(self.text, key.span().start), &path);
            if depth >= DEEPEST {
                errors.add(
                    origin.place,
                    path,
                    format!("nested deeper than the {DEEPEST} tables that settings may be"),
                );
                continue;
            }
            let kind = self.kind(value.get_ref(), &path, depth, errors);
            read.insert(name, Value::new(Some(&origin.to_string()), kind));
        }
        read
    }

    fn kind(&self, value: &DeValue<'_>, path: &str, depth: usize, errors: &mut ConfigErrors) -> ValueKind {
        match value {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(on) => ValueKind::Boolean(*on),
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Integer(integer) => {
                let digits = integer.as_str().replace('_', "");
                match i64::from_str_radix(&digits, integer.radix()) {
                    Ok(number) => ValueKind::I64(number),
                    // No setting is that large; the number is shown as it was written.
                    Err(_) => ValueKind::String(digits),
                }
            }
            DeValue::Float(float) => match float.as_str().replace('_', "").parse() {
                Ok(number) => ValueKind::Float(number),
                Err(_) => ValueKind::String(float.as_str().to_owned()),
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
        let origin = Origin::file(self.file, position(self.text, value.span().start), path);
        if depth >= DEEPEST {
            errors.add(
                origin.place,
                path,
                format!("nested deeper than the {DEEPEST} levels that settings may be"),
            );
            return Value::new(None, ValueKind::Nil);
        }
        Value::new(Some(&origin.to_string()), self.kind(value.get_ref(), path, depth + 1, errors))
    }
}

/// Line and column, both from 1, of a byte of the text.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
