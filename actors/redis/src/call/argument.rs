use std::borrow::Cow;

/// One argument of a command: a key, a field, a value.
///
/// The `redis` crate's own trait takes lists and options too, which become several arguments or none. What comes from a
/// user must never be more than one.
pub trait Argument {
    /// Its bytes, as they are sent.
    fn bytes(&self) -> Cow<'_, [u8]>;
}

/// Bytes as a value, whatever they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Argument for Bytes {
    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

impl<A: Argument + ?Sized> Argument for &A {
    fn bytes(&self) -> Cow<'_, [u8]> {
        (**self).bytes()
    }
}

macro_rules! borrowed {
    ($($type:ty),*) => {$(
        impl Argument for $type {
            fn bytes(&self) -> Cow<'_, [u8]> {
                Cow::Borrowed(self.as_ref())
            }
        }
    )*};
}

borrowed!(str, String, [u8], Vec<u8>);

macro_rules! written {
    ($($type:ty),*) => {$(
        impl Argument for $type {
            fn bytes(&self) -> Cow<'_, [u8]> {
                Cow::Owned(self.to_string().into_bytes())
            }
        }
    )*};
}

written!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64, bool, char);
