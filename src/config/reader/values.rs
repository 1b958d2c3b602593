use config::{Map, Value, ValueKind};
use serde::de::{
    self, Deserializer as _, IntoDeserializer,
    value::{MapAccessDeserializer, StrDeserializer},
};

use super::{Mistake, Notes, Path, Step, mistake::named};
use crate::config::{names::unknown, origin::Origin};

/// A table being read.
pub(super) struct Table<'a> {
    pub(super) table: &'a Map<String, Value>,
    pub(super) path: Path,
    pub(super) notes: &'a Notes,
    /// Whether it is the scope's own, which several structs are read from.
    pub(super) root: bool,
}

impl<'a> Table<'a> {
    fn entries(&self, fields: Option<&[&str]>) -> Entries<'a> {
        let wanted = |key: &str| fields.is_none_or(|fields| fields.contains(&key));
        let mut entries: Vec<_> = self.table.iter().filter(|(key, _)| wanted(key)).collect();
        entries.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(key.as_str()));
        Entries { entries, current: None, path: self.path.clone(), notes: self.notes }
    }
}

impl<'de> de::Deserializer<'de> for Table<'_> {
    type Error = Mistake;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_map(self.entries(None)).map_err(|mistake| mistake.at(&self.path))
    }

    // Unknown keys are noted here and not shown to the struct, which may have its own way to refuse them.
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
                let path = self.path.with(Step::Key(key.clone()));
                unknown_keys.push((path, unknown("key", key, fields.iter().copied())));
            }
        }
        visitor.visit_map(self.entries(Some(fields))).map_err(|mistake| mistake.at(&self.path))
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    // A kind without settings of its own: `type Settings = ()`.
    fn deserialize_unit<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.root { visitor.visit_unit() } else { self.deserialize_any(visitor) }
    }

    fn deserialize_unit_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_unit(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A table's entries being read, the first last.
struct Entries<'a> {
    entries: Vec<(&'a String, &'a Value)>,
    current: Option<(&'a String, &'a Value)>,
    path: Path,
    notes: &'a Notes,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        self.current = self.entries.pop();
        let Some((key, _)) = self.current else { return Ok(None) };
        let path = self.path.with(Step::Key(key.clone()));
        let key: StrDeserializer<'_, Mistake> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mistake| mistake.at(&path))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some((key, value)) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        One { value, path: self.path.with(Step::Key(key.clone())), notes: self.notes }.seed(seed)
    }
}

/// An array's elements being read.
struct Elements<'a> {
    elements: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    path: Path,
    notes: &'a Notes,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Mistake;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        let Some((index, value)) = self.elements.next() else { return Ok(None) };
        One { value, path: self.path.with(Step::Index(index)), notes: self.notes }.seed(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

/// One value being read.
struct One<'a> {
    value: &'a Value,
    path: Path,
    notes: &'a Notes,
}

impl<'a> One<'a> {
    fn seed<'de, S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Mistake> {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|mistake| mistake.at(&path))
    }

    /// A variable's text, which means whatever is wanted of it.
    fn variable(&self) -> Option<&'a str> {
        match &self.value.kind {
            ValueKind::String(text) if Origin::is_variable(self.value) => Some(text.trim()),
            _ => None,
        }
    }

    /// Whether it stands for a value that is missing, or was wrong.
    fn is_placeholder(&self) -> bool {
        matches!(self.value.kind, ValueKind::Nil)
    }

    fn table(self, table: &'a Map<String, Value>) -> Table<'a> {
        Table { table, path: self.path, notes: self.notes, root: false }
    }

    /// The value as it is written.
    fn plain<'de, V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
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
                let elements = values.iter().enumerate();
                visitor.visit_seq(Elements { elements, path: self.path, notes: self.notes })
            }
            ValueKind::Table(table) => self.table(table).deserialize_any(visitor),
        }
    }

    /// What was found, for an error.
    fn found(&self) -> String {
        match &self.value.kind {
            ValueKind::Boolean(on) => named(de::Unexpected::Bool(*on)),
            ValueKind::I64(number) => named(de::Unexpected::Signed(*number)),
            ValueKind::Float(number) => named(de::Unexpected::Float(*number)),
            ValueKind::String(text) => named(de::Unexpected::Str(text)),
            ValueKind::Array(_) => named(de::Unexpected::Seq),
            ValueKind::Table(_) => named(de::Unexpected::Map),
            other => format!("`{other}`"),
        }
    }
}

macro_rules! scalars {
    ($($method:ident => $parse:ty, $visit:ident);+ $(;)?) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            match self.variable().map(str::parse::<$parse>) {
                Some(Ok(value)) => visitor.$visit(value),
                _ if self.is_placeholder() => visitor.$visit(<$parse>::default()),
                _ => self.deserialize_any(visitor),
            }
        }
    )+};
}

macro_rules! texts {
    ($($method:ident)+) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            if self.is_placeholder() { visitor.visit_str("") } else { self.plain(visitor) }
        }
    )+};
}

impl<'de> de::Deserializer<'de> for One<'_> {
    type Error = Mistake;

    /// What takes several types takes a variable's text for the number, or the truth value, that it looks like.
    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Some(text) = self.variable() else { return self.plain(visitor) };
        if let Ok(number) = text.parse() {
            visitor.visit_u64(number)
        } else if let Ok(number) = text.parse() {
            visitor.visit_i64(number)
        } else if let Ok(on) = text.parse() {
            visitor.visit_bool(on)
        } else {
            visitor.visit_str(text)
        }
    }

    scalars! {
        deserialize_bool => bool, visit_bool;
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

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match (&self.value.kind, self.variable()) {
            (ValueKind::Boolean(false) | ValueKind::Nil, _) | (_, Some("false")) => visitor.visit_none(),
            (ValueKind::Boolean(true), _) | (_, Some("true")) => Err(de::Error::custom(
                "`true` says nothing here: leave it out for the defaults, or write what it should be",
            )),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.is_placeholder() {
            return visitor.visit_seq(Elements {
                elements: [].iter().enumerate(),
                path: self.path,
                notes: self.notes,
            });
        }
        self.plain(visitor)
    }

    fn deserialize_map<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.is_placeholder() {
            let entries = Entries { entries: Vec::new(), current: None, path: self.path, notes: self.notes };
            return visitor.visit_map(entries);
        }
        self.plain(visitor)
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.value.kind {
            ValueKind::Table(table) => self.table(table).deserialize_struct(name, fields, visitor),
            _ => Err(de::Error::custom(format_args!(
                "found {}, wanted a table with {}",
                self.found(),
                fields.join(", ")
            ))),
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
                let word: StrDeserializer<'_, Mistake> = word.trim().into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            ValueKind::Nil => {
                let first = variants.first().copied().unwrap_or_default();
                let word: StrDeserializer<'_, Mistake> = first.into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            ValueKind::Table(table) if table.len() == 1 => {
                let entries = self.table(table).entries(None);
                MapAccessDeserializer::new(entries).deserialize_enum(name, variants, visitor)
            }
            _ => Err(de::Error::custom(format_args!(
                "found {}, wanted one of these words: {}",
                self.found(),
                variants.join(", ")
            ))),
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
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct ignored_any
    }
}
