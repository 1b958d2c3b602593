use std::{cell::RefCell, collections::BTreeSet, fmt, rc::Rc};

use config::{Map, Value, ValueKind};
use serde::{
    Deserialize,
    de::{self, IntoDeserializer, value::StrDeserializer},
};

use super::{Scope, diagnostics::ConfigErrors, names::unknown, origin::Origin};

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
        let mut sound = true;
        for _ in 0..MOST_ERRORS {
            let notes = Rc::new(Notes::default());
            let read = T::deserialize(Table { table: &table, path: Vec::new(), notes: &notes, root: true });
            self.known.extend(notes.known.take());
            sound &= notes.unknown.borrow().is_empty();
            for (path, message) in notes.unknown.take() {
                self.complain(&table, &path, message);
            }
            match read {
                Ok(value) => return sound.then_some(value),
                Err(Mistake { path, message }) => {
                    sound = false;
                    let path = path.unwrap_or_default();
                    self.complain(&table, &path, message);
                    // The rest is read without it, so that its errors show too.
                    if !remove(&mut table, &path) {
                        return None;
                    }
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
                let path = format!("{}.{key}", self.scope.path());
                Scope::complain(self.errors, value, &path, unknown("key", key, known.clone()));
            }
        }
    }

    fn complain(&mut self, table: &Map<String, Value>, path: &[String], message: String) {
        let shown = std::iter::once(self.scope.path())
            .chain(path.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(".");
        match at(table, path).and_then(Origin::of) {
            Some(Origin { place, key }) => self.errors.add(place, key, message),
            None => self.errors.add("", shown, message),
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("scope", &self.scope.path()).finish_non_exhaustive()
    }
}

fn at<'a>(table: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    match (rest, &value.kind) {
        ([], _) => Some(value),
        (rest, ValueKind::Table(table)) => at(table, rest),
        // Elements of an array have no place of their own in a path.
        _ => Some(value),
    }
}

fn remove(table: &mut Map<String, Value>, path: &[String]) -> bool {
    match path {
        [] => false,
        [last] => table.remove(last).is_some(),
        [first, rest @ ..] => match table.get_mut(first).map(|value| &mut value.kind) {
            Some(ValueKind::Table(table)) => remove(table, rest),
            Some(_) => table.remove(first).is_some(),
            None => false,
        },
    }
}

/// What reading notes by the way.
#[derive(Default)]
struct Notes {
    known: RefCell<BTreeSet<&'static str>>,
    unknown: RefCell<Vec<(Vec<String>, String)>>,
}

/// What stopped the reading of a struct.
#[derive(Debug)]
struct Mistake {
    path: Option<Vec<String>>,
    message: String,
}

impl Mistake {
    fn at(mut self, path: &[String]) -> Self {
        self.path.get_or_insert_with(|| path.to_vec());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::custom(format_args!("found {}, where {wanted} is wanted", named(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(unknown("word", found, known.iter().copied()))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::custom(format_args!("`{name}` is missing, and has no default"))
    }
}

/// What was found, in the words of a settings file.
fn named(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(on) => format!("{on}"),
        de::Unexpected::Unsigned(number) => format!("the integer {number}"),
        de::Unexpected::Signed(number) => format!("the integer {number}"),
        de::Unexpected::Float(number) => format!("the number {number}"),
        de::Unexpected::Str(text) => format!("\"{text}\""),
        de::Unexpected::Map => "a table".to_owned(),
        de::Unexpected::Seq => "an array".to_owned(),
        other => other.to_string(),
    }
}

/// A table being read.
struct Table<'a> {
    table: &'a Map<String, Value>,
    path: Vec<String>,
    notes: &'a Notes,
    root: bool,
}

impl<'de> de::Deserializer<'de> for Table<'_> {
    type Error = Mistake;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let path = self.path.clone();
        visitor.visit_map(Entries::new(self)).map_err(|mistake| mistake.at(&path))
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if self.root {
            self.notes.known.borrow_mut().extend(fields);
        } else {
            let mut unknown_keys = self.notes.unknown.borrow_mut();
            for key in self.table.keys().filter(|key| !fields.contains(&key.as_str())) {
                let path = self.path.iter().cloned().chain([key.clone()]).collect();
                unknown_keys.push((path, unknown("key", key, fields.iter().copied())));
            }
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A table's entries being read.
struct Entries<'a> {
    entries: Vec<(&'a String, &'a Value)>,
    current: Option<(&'a String, &'a Value)>,
    path: Vec<String>,
    notes: &'a Notes,
}

impl<'a> Entries<'a> {
    fn new(table: Table<'a>) -> Self {
        let mut entries: Vec<_> = table.table.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(key.as_str()));
        Self { entries, current: None, path: table.path, notes: table.notes }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        self.current = self.entries.pop();
        let Some((key, _)) = self.current else { return Ok(None) };
        let key: StrDeserializer<'_, Mistake> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some((key, value)) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path: Vec<String> = self.path.iter().cloned().chain([key.clone()]).collect();
        let one = One { value, path: path.clone(), notes: self.notes };
        seed.deserialize(one).map_err(|mistake| mistake.at(&path))
    }
}

/// One value being read.
struct One<'a> {
    value: &'a Value,
    path: Vec<String>,
    notes: &'a Notes,
}

impl One<'_> {
    /// A variable's text, which means whatever is wanted of it.
    fn variable(&self) -> Option<&str> {
        match &self.value.kind {
            ValueKind::String(text) if Origin::is_variable(self.value) => Some(text.trim()),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($method:ident => $parse:ty, $visit:ident);+ $(;)?) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            match self.variable().map(str::parse::<$parse>) {
                Some(Ok(number)) => visitor.$visit(number),
                _ => self.deserialize_any(visitor),
            }
        }
    )+};
}

impl<'de> de::Deserializer<'de> for One<'_> {
    type Error = Mistake;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match &self.value.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(on) => visitor.visit_bool(*on),
            ValueKind::I64(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            ValueKind::I128(number) => visitor.visit_i128(*number),
            ValueKind::U64(number) => visitor.visit_u64(*number),
            ValueKind::U128(number) => visitor.visit_u128(*number),
            ValueKind::Float(number) => visitor.visit_f64(*number),
            ValueKind::String(text) => visitor.visit_str(text),
            ValueKind::Array(values) => {
                let notes = self.notes;
                let path = self.path;
                let elements = values.iter().map(|value| One { value, path: path.clone(), notes });
                visitor.visit_seq(de::value::SeqDeserializer::new(elements))
            }
            ValueKind::Table(table) => {
                Table { table, path: self.path, notes: self.notes, root: false }.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_bool<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.variable().map(str::parse::<bool>) {
            Some(Ok(on)) => visitor.visit_bool(on),
            _ => self.deserialize_any(visitor),
        }
    }

    numbers! {
        deserialize_i8 => i64, visit_i64;
        deserialize_i16 => i64, visit_i64;
        deserialize_i32 => i64, visit_i64;
        deserialize_i64 => i64, visit_i64;
        deserialize_u8 => u64, visit_u64;
        deserialize_u16 => u64, visit_u64;
        deserialize_u32 => u64, visit_u64;
        deserialize_u64 => u64, visit_u64;
        deserialize_f32 => f64, visit_f64;
        deserialize_f64 => f64, visit_f64;
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match (&self.value.kind, self.variable()) {
            (ValueKind::Boolean(false) | ValueKind::Nil, _) | (_, Some("false")) => visitor.visit_none(),
            (ValueKind::Boolean(true), _) | (_, Some("true")) => Err(de::Error::custom(
                "`true` says nothing here: leave it out for the defaults, or write what it should be",
            )),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.value.kind {
            ValueKind::Table(table) => {
                let table = Table { table, path: self.path, notes: self.notes, root: false };
                table.deserialize_struct(name, fields, visitor)
            }
            found => {
                let found = match found {
                    ValueKind::Boolean(on) => on.to_string(),
                    ValueKind::Array(_) => "an array".to_owned(),
                    other => format!("`{other}`"),
                };
                Err(de::Error::custom(format_args!(
                    "found {found}, where a table is wanted, with {}",
                    fields.join(", ")
                )))
            }
        }
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.value.kind {
            ValueKind::String(word) => {
                let word: StrDeserializer<'_, Mistake> = word.as_str().into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            _ => {
                Err(de::Error::custom(format_args!("one of these words is wanted: {}", variants.join(", "))))
            }
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Mistake> for One<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
