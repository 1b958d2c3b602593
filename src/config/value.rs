use std::{cell::RefCell, collections::BTreeSet};

use config::{Map, Value, ValueKind};
use serde::{
    Deserialize as _,
    de::{self, IntoDeserializer, value::StrDeserializer},
};

use super::{
    mistake::{Mistake, found, quoted},
    names::{shortened, unknown},
    origin::Mark,
    path::Step,
    secret,
    standin::{self, StandIn},
};

/// What reading notes by the way.
#[derive(Default)]
pub(super) struct Notes {
    known: RefCell<BTreeSet<&'static str>>,
    wrong: RefCell<Vec<(Vec<Step>, String)>>,
}

impl Notes {
    /// The keys that the struct at the root knows; and what is wrong further in that does not stop the reading.
    pub(super) fn take(self) -> (BTreeSet<&'static str>, Vec<(Vec<Step>, String)>) {
        (self.known.into_inner(), self.wrong.into_inner())
    }
}

/// The table that structs are read from. Each sees those of its keys that it knows.
pub(super) struct Root<'a> {
    pub(super) table: &'a Map<String, Value>,
    pub(super) notes: &'a Notes,
}

impl<'de> de::Deserializer<'de> for Root<'_> {
    type Error = Mistake;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let entries = Entries::new(self.table, &[], self.notes, |_| true);
        visitor.visit_map(entries).map_err(|mistake| mistake.at(&[]))
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.notes.known.borrow_mut().extend(fields);
        let entries = Entries::new(self.table, &[], self.notes, |key| fields.contains(&key));
        visitor.visit_map(entries).map_err(|mistake| mistake.at(&[]))
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    // A kind without settings has `()`.
    fn deserialize_unit<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// A table's entries being read.
struct Entries<'a> {
    /// The next is the last.
    entries: Vec<(&'a String, &'a Value)>,
    current: Option<One<'a>>,
    path: &'a [Step],
    notes: &'a Notes,
}

impl<'a> Entries<'a> {
    fn new(
        table: &'a Map<String, Value>,
        path: &'a [Step],
        notes: &'a Notes,
        known: impl Fn(&str) -> bool,
    ) -> Self {
        let mut entries: Vec<_> = table.iter().filter(|(key, _)| known(key)).collect();
        entries.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(key.as_str()));
        Self { entries, current: None, path, notes }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, value)) = self.entries.pop() else { return Ok(None) };
        let one = One::within(value, self.path, Step::Key(key.clone()), self.notes);
        let key: StrDeserializer<'_, Mistake> = key.as_str().into_deserializer();
        let key = seed.deserialize(key).map_err(|mistake| mistake.at(&one.path))?;
        self.current = Some(one);
        Ok(Some(key))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let one = self.current.take().ok_or_else(|| de::Error::custom("a value was read before its key"))?;
        let path = one.path.clone();
        let read = match standin::form(one.value) {
            Some(form) => seed.deserialize(StandIn(form)),
            None => seed.deserialize(one),
        };
        read.map_err(|mistake: Mistake| mistake.at(&path))
    }
}

/// An array's elements being read.
struct Elements<'a> {
    values: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    path: &'a [Step],
    notes: &'a Notes,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Mistake;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mistake> {
        let Some((index, value)) = self.values.next() else { return Ok(None) };
        let one = One::within(value, self.path, Step::Index(index), self.notes);
        let path = one.path.clone();
        seed.deserialize(one).map(Some).map_err(|mistake| mistake.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

/// One value being read.
#[derive(Clone)]
struct One<'a> {
    value: &'a Value,
    path: Vec<Step>,
    notes: &'a Notes,
}

impl<'a> One<'a> {
    fn within(value: &'a Value, path: &[Step], step: Step, notes: &'a Notes) -> Self {
        Self { value, path: [path, &[step]].concat(), notes }
    }

    /// A variable's text, which means whatever is wanted of it.
    fn variable(&self) -> Option<&'a str> {
        match &self.value.kind {
            ValueKind::String(text) if Mark::is_variable(self.value) => Some(text.trim()),
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
        if let Some(text) = self.variable() {
            return scalar(text, visitor);
        }
        match &self.value.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(on) => visitor.visit_bool(*on),
            ValueKind::I64(number) => integer(*number, visitor),
            ValueKind::I128(number) => visitor.visit_i128(*number),
            ValueKind::U64(number) => visitor.visit_u64(*number),
            ValueKind::U128(number) => visitor.visit_u128(*number),
            ValueKind::Float(number) => visitor.visit_f64(*number),
            ValueKind::String(text) => visitor.visit_str(text),
            ValueKind::Array(values) => visitor.visit_seq(Elements {
                values: values.iter().enumerate(),
                path: &self.path,
                notes: self.notes,
            }),
            ValueKind::Table(table) => {
                visitor.visit_map(Entries::new(table, &self.path, self.notes, |_| true))
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

    fn deserialize_str<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.variable() {
            Some(text) => visitor.visit_str(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match (&self.value.kind, self.variable()) {
            (ValueKind::Boolean(false) | ValueKind::Nil, _) | (_, Some("false")) => visitor.visit_none(),
            _ => {
                let path = self.path.clone();
                visitor.visit_some(self).map_err(|mistake| mistake.or_off(&path))
            }
        }
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let ValueKind::Table(table) = &self.value.kind else {
            return Err(Mistake::unfit(
                found(self.value),
                format_args!("a table with {}", fields.join(", ")),
            ));
        };
        let is_known = |key: &str| fields.contains(&key);
        let mut wrong = self.notes.wrong.borrow_mut();
        for key in table.keys().filter(|key| !is_known(key)) {
            let path = [self.path.as_slice(), &[Step::Key(key.clone())]].concat();
            wrong.push((path, unknown("key", key, fields.iter().copied())));
        }
        drop(wrong);
        visitor.visit_map(Entries::new(table, &self.path, self.notes, is_known))
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.value.kind {
            ValueKind::String(_) => {
                let word = String::deserialize(self)?;
                let word: StrDeserializer<'_, Mistake> = word.as_str().into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            // A variant with a value: `{ file = "roots.pem" }`.
            ValueKind::Table(table) if table.len() == 1 => {
                let entries = Entries::new(table, &self.path, self.notes, |_| true);
                visitor.visit_enum(de::value::MapAccessDeserializer::new(entries))
            }
            _ => Err(Mistake::unfit(found(self.value), format_args!("one of {}", quoted(variants)))),
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if name == secret::NAME
            && let Ok(secret) = self.clone().deserialize_any(secret::Visitor)
            && let Err(missing) = secret.check()
        {
            self.notes.wrong.borrow_mut().push((self.path.clone(), missing.to_string()));
        }
        visitor.visit_newtype_struct(self)
    }

    // What is ignored is an unknown key of a struct that was not asked for by its name, but within a type of its own.
    fn deserialize_ignored_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if let Some(Step::Key(key)) = self.path.last() {
            let message = format!("unknown key `{}`", shortened(key).escape_debug());
            self.notes.wrong.borrow_mut().push((self.path, message));
        }
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}

fn integer<'de, V: de::Visitor<'de>>(number: i64, visitor: V) -> Result<V::Value, Mistake> {
    match u64::try_from(number) {
        Ok(number) => visitor.visit_u64(number),
        Err(_) => visitor.visit_i64(number),
    }
}

/// A variable's text, where nobody says what is wanted: what TOML would take it for.
fn scalar<'de, V: de::Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Mistake> {
    let looks_like_a_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    match (text.parse::<bool>(), text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(on), ..) => visitor.visit_bool(on),
        (_, Ok(number), _) => integer(number, visitor),
        (_, _, Ok(number)) if looks_like_a_number => visitor.visit_f64(number),
        _ => visitor.visit_str(text),
    }
}
