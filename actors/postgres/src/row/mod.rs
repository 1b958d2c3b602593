//! Rows as values that serde reads.
//!
//! A struct's fields are found by the columns' names, a tuple's by their order; a row of one column is also that value
//! itself. Values come in PostgreSQL's binary form. Errors name the column, its type, and what was asked for, and never a
//! value.

mod value;

use std::fmt;

use seawall::downstream::Failure;
use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor,
        value::BorrowedStrDeserializer,
    },
    forward_to_deserialize_any,
};
use tokio_postgres::Row;

use crate::failure;
use value::{Cell, Raw};

/// Reads a row.
pub(crate) fn read<T: DeserializeOwned>(row: &Row) -> Result<T, Failure> {
    T::deserialize(Columns { row }).map_err(|error| failure::row(error.0))
}

/// Why a row is not what was asked for.
#[derive(Debug)]
pub(crate) struct RowError(String);

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RowError {}

impl de::Error for RowError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self(format!("it is {}, and {wanted} is asked for", without_value(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self(format!("its {} is none that was asked for: {wanted}", without_value(found)))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self(format!("its text is none of `{}`", known.join("`, `")))
    }
}

/// What was found, without what it was.
fn without_value(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "a boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "an integer",
        de::Unexpected::Float(_) => "a floating-point number",
        de::Unexpected::Char(_) | de::Unexpected::Str(_) => "a text",
        de::Unexpected::Bytes(_) => "bytes",
        de::Unexpected::Unit | de::Unexpected::Option => "null",
        de::Unexpected::Seq => "an array",
        de::Unexpected::Map => "an object",
        _ => "something else",
    }
}

/// A row.
struct Columns<'a> {
    row: &'a Row,
}

impl<'a> Columns<'a> {
    fn cell(&self, index: usize) -> Result<Cell<'a>, RowError> {
        let Raw { kind, bytes } =
            self.row.try_get::<_, Raw<'a>>(index).map_err(|error| RowError(error.to_string()))?;
        Ok(Cell { kind, bytes })
    }

    /// Reads one column.
    fn column<T>(
        &self,
        index: usize,
        read: impl FnOnce(Cell<'a>) -> Result<T, RowError>,
    ) -> Result<T, RowError> {
        self.cell(index).and_then(read).map_err(|RowError(problem)| {
            let column = &self.row.columns()[index];
            RowError(format!("column \"{}\" of type {}: {problem}", column.name(), column.type_()))
        })
    }

    fn only<T>(&self, read: impl FnOnce(Cell<'a>) -> Result<T, RowError>) -> Result<T, RowError> {
        match self.row.len() {
            1 => self.column(0, read),
            columns => Err(RowError(format!("the row has {columns} columns, and one value is asked for"))),
        }
    }
}

macro_rules! only {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
            self.only(|cell| cell.$method(visitor))
        }
    )*};
}

impl<'a> Deserializer<'a> for Columns<'a> {
    type Error = RowError;

    only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_seq
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_map(Fields { columns: self, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, length: usize, visitor: V) -> Result<V::Value, RowError> {
        if self.row.len() != length {
            let columns = self.row.len();
            return Err(RowError(format!(
                "the row has {columns} columns, and {length} values are asked for"
            )));
        }
        visitor.visit_seq(Fields { columns: self, next: 0 })
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.only(|cell| cell.deserialize_option(visitor))
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        self.only(|cell| cell.deserialize_enum(name, variants, visitor))
    }

    /// Nothing is asked of the row: its columns are of no interest.
    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { <V: Visitor<'a>> unit_struct identifier ignored_any }
}

/// A row's columns, one after the other.
struct Fields<'a> {
    columns: Columns<'a>,
    next: usize,
}

impl<'a> MapAccess<'a> for Fields<'a> {
    type Error = RowError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, RowError> {
        let row: &'a Row = self.columns.row;
        match row.columns().get(self.next) {
            Some(column) => seed.deserialize(BorrowedStrDeserializer::new(column.name())).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, RowError> {
        let index = self.next;
        self.next += 1;
        self.columns.column(index, |cell| seed.deserialize(cell))
    }
}

impl<'a> SeqAccess<'a> for Fields<'a> {
    type Error = RowError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, RowError> {
        if self.next == self.columns.row.len() {
            return Ok(None);
        }
        self.next_value_seed(seed).map(Some)
    }
}
