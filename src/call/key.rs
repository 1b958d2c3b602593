//! Cache keys that no two different calls can share.
//!
//! Text joined by a separator lets a value that contains the separator pose as two. So everything is written with its
//! type and, where its size varies, its length; maps are sorted by their written keys. The bytes can then be read in
//! one way only, and equal bytes mean equal values of equal types.

use serde::{Serialize, ser};

/// Whether a call's reply may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheable {
    /// Ask the downstream each time.
    No,
    /// Keep the reply under the key that was written.
    Yes,
}

/// The longest key, in bytes: a call with a longer one is not cached.
const LONGEST: usize = 64 * 1024;

/// Writes a call's key into a reused buffer, so that a hit allocates nothing.
#[derive(Debug)]
pub struct KeyWriter<'a> {
    bytes: &'a mut Vec<u8>,
    unwritable: bool,
}

impl<'a> KeyWriter<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, unwritable: false }
    }

    /// Writes one value. A value whose `Serialize` fails leaves the call uncached.
    pub fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        if self.bytes.len() > LONGEST || value.serialize(Canonical(self.bytes)).is_err() {
            self.unwritable = true;
        }
    }

    /// Whether all values could be written, in the space there is.
    pub(crate) fn is_whole(&self) -> bool {
        !self.unwritable && self.bytes.len() <= LONGEST
    }
}

/// Serde's data model in self-delimiting form: a tag for the type, then the value.
struct Canonical<'a>(&'a mut Vec<u8>);

mod tag {
    pub(super) const NONE: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INTEGER: u8 = 3;
    pub(super) const UNSIGNED: u8 = 4;
    pub(super) const LARGE: u8 = 5;
    pub(super) const FLOAT: u8 = 6;
    pub(super) const CHAR: u8 = 7;
    pub(super) const TEXT: u8 = 8;
    pub(super) const BYTES: u8 = 9;
    pub(super) const SOME: u8 = 10;
    pub(super) const UNIT: u8 = 11;
    pub(super) const VARIANT: u8 = 12;
    pub(super) const SEQUENCE: u8 = 13;
    pub(super) const MAP: u8 = 14;
    pub(super) const STRUCT: u8 = 15;
    pub(super) const END: u8 = 255;
}

impl Canonical<'_> {
    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn fixed<const N: usize>(self, tag: u8, bytes: [u8; N]) -> Result<(), Unwritable> {
        self.0.push(tag);
        self.0.extend_from_slice(&bytes);
        Ok(())
    }

    fn variant(&mut self, index: u32) {
        self.0.push(tag::VARIANT);
        self.0.extend_from_slice(&index.to_le_bytes());
    }
}

impl<'a> ser::Serializer for Canonical<'a> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Canonical<'a>;
    type SerializeTuple = Canonical<'a>;
    type SerializeTupleStruct = Canonical<'a>;
    type SerializeTupleVariant = Canonical<'a>;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Canonical<'a>;
    type SerializeStructVariant = Canonical<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unwritable> {
        self.fixed(if value { tag::TRUE } else { tag::FALSE }, [])
    }

    fn serialize_i8(self, value: i8) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unwritable> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unwritable> {
        self.fixed(tag::INTEGER, value.to_le_bytes())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Unwritable> {
        self.fixed(tag::LARGE, value.to_le_bytes())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Unwritable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Unwritable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Unwritable> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unwritable> {
        self.fixed(tag::UNSIGNED, value.to_le_bytes())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Unwritable> {
        self.fixed(tag::LARGE, value.to_le_bytes())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Unwritable> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unwritable> {
        self.fixed(tag::FLOAT, value.to_bits().to_le_bytes())
    }

    fn serialize_char(self, value: char) -> Result<(), Unwritable> {
        self.fixed(tag::CHAR, u32::from(value).to_le_bytes())
    }

    fn serialize_str(mut self, value: &str) -> Result<(), Unwritable> {
        self.sized(tag::TEXT, value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), Unwritable> {
        self.sized(tag::BYTES, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.fixed(tag::NONE, [])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        self.0.push(tag::SOME);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.fixed(tag::UNIT, [])
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Unwritable> {
        self.variant(index);
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.variant(index);
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unwritable> {
        self.0.push(tag::SEQUENCE);
        Ok(self)
    }

    fn serialize_tuple(self, length: usize) -> Result<Self, Unwritable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Self, Unwritable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        length: usize,
    ) -> Result<Self, Unwritable> {
        self.variant(index);
        self.serialize_seq(Some(length))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Map<'a>, Unwritable> {
        self.0.push(tag::MAP);
        Ok(Map { bytes: self.0, entries: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        self.0.push(tag::STRUCT);
        Ok(self)
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.variant(index);
        self.0.push(tag::STRUCT);
        Ok(self)
    }
}

macro_rules! elements {
    ($($kind:ident :: $method:ident),+) => {$(
        impl ser::$kind for Canonical<'_> {
            type Ok = ();
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
                value.serialize(Canonical(self.0))
            }

            fn end(self) -> Result<(), Unwritable> {
                self.fixed(tag::END, [])
            }
        }
    )+};
}

macro_rules! fields {
    ($($kind:ident),+) => {$(
        impl ser::$kind for Canonical<'_> {
            type Ok = ();
            type Error = Unwritable;

            // With its name: a field that is skipped when empty must not let its neighbour take its place.
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unwritable> {
                self.sized(tag::TEXT, name.as_bytes());
                value.serialize(Canonical(self.0))
            }

            fn end(self) -> Result<(), Unwritable> {
                self.fixed(tag::END, [])
            }
        }
    )+};
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);
fields!(SerializeStruct, SerializeStructVariant);

/// A map's entries, sorted when it ends: a hash map gives the same ones in another order each time.
struct Map<'a> {
    bytes: &'a mut Vec<u8>,
    entries: Vec<Vec<u8>>,
}

impl ser::SerializeMap for Map<'_> {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        let mut entry = Vec::new();
        key.serialize(Canonical(&mut entry))?;
        self.entries.push(entry);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let entry = self.entries.last_mut().ok_or(Unwritable)?;
        value.serialize(Canonical(entry))
    }

    fn end(mut self) -> Result<(), Unwritable> {
        self.entries.sort_unstable();
        for entry in &self.entries {
            self.bytes.extend_from_slice(entry);
        }
        self.bytes.push(tag::END);
        Ok(())
    }
}

/// A value whose `Serialize` gave up.
#[derive(Debug)]
struct Unwritable;

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the value cannot be serialized")
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn key(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        KeyWriter::new(&mut bytes).value(value);
        bytes
    }

    #[test]
    fn values_cannot_pose_as_each_other() {
        assert_ne!(key(&("a", "bc")), key(&("ab", "c")));
        assert_ne!(key(&vec!["a", "b"]), key(&vec!["a\0b"]));
        assert_ne!(key(&vec![vec![1], vec![2]]), key(&vec![vec![1, 2], vec![]]));
        assert_ne!(key(&Some(0)), key(&None::<i32>));
        assert_ne!(key(&""), key(&()));
        assert_ne!(key(&1_u64), key(&"1"));
    }

    #[test]
    fn a_skipped_field_does_not_let_its_neighbour_take_its_place() {
        #[derive(Serialize)]
        struct Search {
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            city: Option<&'static str>,
        }
        let name = Search { name: Some("ann"), city: None };
        let city = Search { name: None, city: Some("ann") };
        assert_ne!(key(&name), key(&city));
    }

    #[test]
    fn equal_maps_have_equal_keys() {
        let forth: HashMap<_, _> = (0..100).map(|i| (i, i)).collect();
        let back: HashMap<_, _> = (0..100).rev().map(|i| (i, i)).collect();
        assert_eq!(key(&forth), key(&back));
    }

    #[test]
    fn what_cannot_be_written_or_is_too_long_is_not_cached() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: ser::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(ser::Error::custom("broken"))
            }
        }
        let mut bytes = Vec::new();
        let mut writer = KeyWriter::new(&mut bytes);
        writer.value(&Broken);
        assert!(!writer.is_whole());

        let mut bytes = Vec::new();
        let mut writer = KeyWriter::new(&mut bytes);
        writer.value(&"x".repeat(LONGEST));
        assert!(!writer.is_whole());
    }
}
