use std::fmt::{self, Display};

use serde::{Serialize, ser};

/// Writes a value that is one piece of text: a number, a boolean, a text, the name of a variant. Writes nothing, and
/// says so with `false`, where there is none (`None`, `()`).
///
/// # Errors
/// For lists, structures and bytes, which have no text of their own.
pub(super) fn scalar(
    value: &(impl Serialize + ?Sized),
    put: &mut dyn FnMut(&dyn Display),
) -> Result<bool, Misplaced> {
    let mut found = false;
    value.serialize(Text {
        name: "",
        nesting: Nesting::Scalar,
        put: &mut |_, text| {
            found = true;
            put(text);
        },
    })?;
    Ok(found)
}

/// A value's one piece of text, to format with: what a tag has of a field. It is what a path has of it, unencoded.
#[derive(Debug)]
pub struct Shown<'a, T: ?Sized>(pub &'a T);

impl<T: Serialize + ?Sized> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        let shown = scalar(self.0, &mut |text| written = write!(f, "{text}"));
        shown.map_err(|_| fmt::Error).and(written)
    }
}

/// Writes a value as named pieces of text, as a query has them: a list is its name once for each element, a structure
/// or map is its fields by their own names, and what is `None` is left out.
///
/// # Errors
/// For bytes, for lists of lists, and for structures in structures.
pub(super) fn pairs(
    name: &str,
    value: &(impl Serialize + ?Sized),
    put: &mut dyn FnMut(&str, &dyn Display),
) -> Result<(), Misplaced> {
    value.serialize(Text { name, nesting: Nesting::Fields, put })
}

/// A value that has no text.
#[derive(Debug)]
pub(super) struct Misplaced(String);

impl Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misplaced {}

impl ser::Error for Misplaced {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// What a value may consist of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nesting {
    Scalar,
    List,
    Fields,
}

struct Text<'a> {
    name: &'a str,
    nesting: Nesting,
    put: &'a mut dyn FnMut(&str, &dyn Display),
}

impl<'a> Text<'a> {
    fn put(self, text: impl Display) -> Result<(), Misplaced> {
        (self.put)(self.name, &text);
        Ok(())
    }

    fn open(self, needs: Nesting, what: &str) -> Result<Compound<'a>, Misplaced> {
        if self.nesting < needs {
            return Err(Misplaced(format!("{what} cannot stand here")));
        }
        let inner = if needs == Nesting::Fields { Nesting::List } else { Nesting::Scalar };
        Ok(Compound { name: self.name.into(), inner, put: self.put })
    }
}

/// A list, whose elements have its name; or fields, each with its own.
struct Compound<'a> {
    name: String,
    inner: Nesting,
    put: &'a mut dyn FnMut(&str, &dyn Display),
}

impl Compound<'_> {
    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Misplaced> {
        value.serialize(Text { name: &self.name, nesting: self.inner, put: self.put })
    }

    fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Misplaced> {
        value.serialize(Text { name, nesting: self.inner, put: self.put })
    }
}

macro_rules! plain {
    ($($method:ident($type:ty)),+) => {$(
        fn $method(self, value: $type) -> Result<(), Misplaced> {
            self.put(value)
        }
    )+};
}

impl<'a> ser::Serializer for Text<'a> {
    type Ok = ();
    type Error = Misplaced;
    type SerializeSeq = Compound<'a>;
    type SerializeTuple = Compound<'a>;
    type SerializeTupleStruct = Compound<'a>;
    type SerializeTupleVariant = ser::Impossible<(), Misplaced>;
    type SerializeMap = Compound<'a>;
    type SerializeStruct = Compound<'a>;
    type SerializeStructVariant = ser::Impossible<(), Misplaced>;

    plain!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str)
    );

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Misplaced> {
        Err(Misplaced("bytes cannot stand here; write them as text first".into()))
    }

    fn serialize_none(self) -> Result<(), Misplaced> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Misplaced> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Misplaced> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Misplaced> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Misplaced> {
        self.put(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Misplaced> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Misplaced> {
        Err(Misplaced("a variant with data cannot stand here".into()))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound<'a>, Misplaced> {
        self.open(Nesting::List, "a list")
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound<'a>, Misplaced> {
        self.open(Nesting::List, "a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Misplaced> {
        self.open(Nesting::List, "a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<ser::Impossible<(), Misplaced>, Misplaced> {
        Err(Misplaced("a variant with data cannot stand here".into()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound<'a>, Misplaced> {
        self.open(Nesting::Fields, "a map")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound<'a>, Misplaced> {
        self.open(Nesting::Fields, "a structure")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<ser::Impossible<(), Misplaced>, Misplaced> {
        Err(Misplaced("a variant with data cannot stand here".into()))
    }
}

macro_rules! elements {
    ($($kind:ident :: $method:ident),+) => {$(
        impl ser::$kind for Compound<'_> {
            type Ok = ();
            type Error = Misplaced;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Misplaced> {
                self.element(value)
            }

            fn end(self) -> Result<(), Misplaced> {
                Ok(())
            }
        }
    )+};
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field
);

impl ser::SerializeStruct for Compound<'_> {
    type Ok = ();
    type Error = Misplaced;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Misplaced> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), Misplaced> {
        Ok(())
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Misplaced;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Misplaced> {
        self.name.clear();
        let name = &mut self.name;
        match scalar(key, &mut |text| *name = text.to_string())? {
            true => Ok(()),
            false => Err(Misplaced("a map's key must be text".into())),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Misplaced> {
        self.element(value)
    }

    fn end(self) -> Result<(), Misplaced> {
        Ok(())
    }
}
