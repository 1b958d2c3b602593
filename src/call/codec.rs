use std::{any::type_name, error::Error, fmt};

/// How replies of type `R` are written for other processes, and read from them.
///
/// A reply in memory is shared as it is; one in a shared cache tier is bytes. A call gives this from
/// [`Call::codec`](super::Call::codec) where its replies may be kept there. The core knows no format: the functions are the
/// kind's, or the call's own.
///
/// Replies of another format, version or type are never read: they lie under other keys, so that two builds of a program
/// can share one tier. The type is known by its name alone; raise `version` when what it means changes and its name does
/// not.
///
/// ```
/// use seawall::call::Codec;
///
/// const TEXT: Codec<String> = Codec::new(
///     "text",
///     1,
///     |reply, bytes| Ok(bytes.extend_from_slice(reply.as_bytes())),
///     |bytes| Ok(String::from_utf8(bytes.to_vec())?),
/// );
/// ```
pub struct Codec<R> {
    format: &'static str,
    version: u32,
    encode: Encode<R>,
    decode: Decode<R>,
}

/// Writes a reply.
pub type Encode<R> = fn(&R, &mut Vec<u8>) -> Result<(), CodecError>;

/// Reads a reply.
pub type Decode<R> = fn(&[u8]) -> Result<R, CodecError>;

/// Why a reply could not be written or read.
pub type CodecError = Box<dyn Error + Send + Sync>;

impl<R> Codec<R> {
    /// A codec of this format. `version` is that of what is written; raise it when the same bytes mean something else.
    pub const fn new(format: &'static str, version: u32, encode: Encode<R>, decode: Decode<R>) -> Self {
        Self { format, version, encode, decode }
    }

    pub(crate) fn encode(&self, reply: &R, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        (self.encode)(reply, bytes)
    }

    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<R, CodecError> {
        (self.decode)(bytes)
    }

    /// What must be the same for replies to be understood.
    pub(crate) fn schema(&self) -> (&'static str, u32, &'static str) {
        (self.format, self.version, type_name::<R>())
    }
}

impl<R> Clone for Codec<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Codec<R> {}

impl<R> fmt::Debug for Codec<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("format", &self.format).field("version", &self.version).finish()
    }
}
