use seawall::call::Codec;
use serde::{Serialize, de::DeserializeOwned};

/// How a derived call's replies are written for other processes, `version` being that of what they mean.
///
/// It is JSON because the replies are types that read JSON already. A format without names would be smaller, and would read
/// back something else, or nothing, of types that leave fields out, have them flattened or are told apart by trying, as
/// those of JSON often are.
#[must_use]
pub const fn in_json<R: Serialize + DeserializeOwned>(version: u32) -> Codec<R> {
    Codec::new(
        "json",
        version,
        |reply, bytes| Ok(serde_json::to_writer(bytes, reply)?),
        |bytes| Ok(serde_json::from_slice(bytes)?),
    )
}
