//! What stands in for a key that is missing, so that the next missing one is found too.
//!
//! Serde's derive ends at the first field that is not there, and says which fields a struct has, but not which it requires.
//! So a value is made up for it, and the struct is read again: by what is asked for where the field's type says so, else by
//! trying one form after the other. Nothing that was read so is ever used. Where a type takes none of the forms, the keys
//! behind it are told once it is written.

use config::{Value, ValueKind};
use serde::de::{
    self, IntoDeserializer as _,
    value::{MapDeserializer, SeqDeserializer, StrDeserializer},
};

use super::{mistake::Mistake, secret};

/// Texts that settings commonly take.
const TEXTS: [&str; 8] = ["x", "/x", "1", "1s", "50%", "1MiB", "http://x", "127.0.0.1:1"];

/// How many forms there are: the texts, a number, an array, a table, a truth.
pub(super) const FORMS: i64 = TEXTS.len() as i64 + 4;

/// By this in place of an origin a stand-in is known: nobody wrote it.
const ORIGIN: &str = "stand-in";

/// A value in place of one that is missing.
pub(super) fn value(form: i64) -> Value {
    Value::new(Some(&ORIGIN.to_owned()), ValueKind::I64(form))
}

/// The form of a stand-in; `None` of what somebody wrote.
pub(super) fn form(value: &Value) -> Option<i64> {
    match value.kind {
        ValueKind::I64(form) if value.origin() == Some(ORIGIN) => Some(form),
        _ => None,
    }
}

/// Reads a stand-in of this form.
#[derive(Clone, Copy)]
pub(super) struct StandIn(pub(super) i64);

impl StandIn {
    fn text(self) -> &'static str {
        usize::try_from(self.0).ok().and_then(|form| TEXTS.get(form)).copied().unwrap_or("x")
    }
}

impl<'de> de::IntoDeserializer<'de, Mistake> for StandIn {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! made_up {
    ($($method:ident => $visit:ident($value:expr)),+ $(,)?) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
            visitor.$visit($value)
        }
    )+};
}

impl<'de> de::Deserializer<'de> for StandIn {
    type Error = Mistake;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 - TEXTS.len() as i64 {
            0 => visitor.visit_u64(1),
            1 => self.deserialize_seq(visitor),
            2 => self.deserialize_map(visitor),
            3 => visitor.visit_bool(true),
            _ => visitor.visit_str(self.text()),
        }
    }

    made_up! {
        deserialize_bool => visit_bool(false),
        deserialize_i8 => visit_i64(1),
        deserialize_i16 => visit_i64(1),
        deserialize_i32 => visit_i64(1),
        deserialize_i64 => visit_i64(1),
        deserialize_u8 => visit_u64(1),
        deserialize_u16 => visit_u64(1),
        deserialize_u32 => visit_u64(1),
        deserialize_u64 => visit_u64(1),
        deserialize_f32 => visit_f64(1.0),
        deserialize_f64 => visit_f64(1.0),
        deserialize_char => visit_char('x'),
    }

    fn deserialize_str<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.text())
    }

    fn deserialize_string<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_str(self.text())
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if name == secret::NAME {
            return visitor.visit_newtype_struct(MapDeserializer::new([("env", "X")].into_iter()));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Self>()))
    }

    fn deserialize_tuple<V: de::Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_seq(SeqDeserializer::new(std::iter::repeat_n(self, len)))
    }

    fn deserialize_map<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, Self)>()))
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_map(MapDeserializer::new(fields.iter().map(|field| (*field, self))))
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let variant = usize::try_from(self.0).ok().and_then(|form| variants.get(form)).or(variants.first());
        let variant: StrDeserializer<'_, Mistake> = variant.copied().unwrap_or_default().into_deserializer();
        visitor.visit_enum(variant)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}
