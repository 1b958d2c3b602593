use std::fmt;

use serde::ser::{self, Serialize};
use toml::{Table, Value};

/// A value as settings write it: as TOML, and what is turned off as `false`, which TOML's own serializer leaves out.
///
/// # Errors
/// For bytes, and for maps whose keys are no text.
pub(crate) fn plain(value: &(impl Serialize + ?Sized)) -> Result<Value, Unwritable> {
    value.serialize(Plain)
}

/// What settings cannot hold.
#[derive(Debug)]
pub(crate) struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Plain;

macro_rules! integers {
    ($($method:ident: $type:ty),+) => {$(
        fn $method(self, number: $type) -> Result<Value, Unwritable> {
            // Larger ones are shown all the same; no setting takes them.
            Ok(i64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::Integer))
        }
    )+};
}

impl ser::Serializer for Plain {
    type Ok = Value;
    type Error = Unwritable;
    type SerializeSeq = Elements;
    type SerializeTuple = Elements;
    type SerializeTupleStruct = Elements;
    type SerializeTupleVariant = Elements;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, on: bool) -> Result<Value, Unwritable> {
        Ok(Value::Boolean(on))
    }

    fn serialize_f32(self, number: f32) -> Result<Value, Unwritable> {
        Ok(Value::Float(number.into()))
    }

    fn serialize_f64(self, number: f64) -> Result<Value, Unwritable> {
        Ok(Value::Float(number))
    }

    fn serialize_char(self, character: char) -> Result<Value, Unwritable> {
        Ok(Value::String(character.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, Unwritable> {
        Ok(Value::String(text.to_owned()))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Unwritable> {
        Err(ser::Error::custom("bytes are no text"))
    }

    fn serialize_none(self) -> Result<Value, Unwritable> {
        Ok(Value::Boolean(false))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Unwritable> {
        Ok(Value::Boolean(false))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Unwritable> {
        Ok(Value::Boolean(false))
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        word: &'static str,
    ) -> Result<Value, Unwritable> {
        Ok(Value::String(word.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        word: &'static str,
        value: &T,
    ) -> Result<Value, Unwritable> {
        Ok(tagged(Some(word), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, Unwritable> {
        Ok(Elements::default())
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements, Unwritable> {
        Ok(Elements::default())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Elements, Unwritable> {
        Ok(Elements::default())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        word: &'static str,
        _: usize,
    ) -> Result<Elements, Unwritable> {
        Ok(Elements { word: Some(word), values: Vec::new() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Unwritable> {
        Ok(Entries::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, Unwritable> {
        Ok(Entries::default())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        word: &'static str,
        _: usize,
    ) -> Result<Entries, Unwritable> {
        Ok(Entries { word: Some(word), ..Entries::default() })
    }
}

/// A variant with values is a table of one entry.
fn tagged(word: Option<&'static str>, value: Value) -> Value {
    match word {
        Some(word) => Value::Table(Table::from_iter([(word.to_owned(), value)])),
        None => value,
    }
}

#[derive(Default)]
struct Elements {
    word: Option<&'static str>,
    values: Vec<Value>,
}

impl Elements {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        self.values.push(plain(value)?);
        Ok(())
    }

    fn done(self) -> Result<Value, Unwritable> {
        Ok(tagged(self.word, Value::Array(self.values)))
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident),+) => {$(
        impl ser::$trait for Elements {
            type Ok = Value;
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Unwritable> {
                self.done()
            }
        }
    )+};
}

elements! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field
}

#[derive(Default)]
struct Entries {
    word: Option<&'static str>,
    key: Option<String>,
    table: Table,
}

impl ser::SerializeMap for Entries {
    type Ok = Value;
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        self.key = match plain(key)? {
            Value::String(key) => Some(key),
            other => Some(other.to_string()),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let key = self.key.take().ok_or_else(|| ser::Error::custom("a value came before its key"))?;
        self.table.insert(key, plain(value)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Unwritable> {
        Ok(tagged(self.word, Value::Table(self.table)))
    }
}

macro_rules! fields {
    ($($trait:ident),+) => {$(
        impl ser::$trait for Entries {
            type Ok = Value;
            type Error = Unwritable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Unwritable> {
                self.table.insert(key.to_owned(), plain(value)?);
                Ok(())
            }

            fn end(self) -> Result<Value, Unwritable> {
                Ok(tagged(self.word, Value::Table(self.table)))
            }
        }
    )+};
}

fields! { SerializeStruct, SerializeStructVariant }
