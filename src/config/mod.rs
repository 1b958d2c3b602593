//! Settings in layers: how any settings are read and judged. It knows no policy.
//!
//! Files come first (`default.toml`, `{SEAWALL_ENV}.toml`, `local.toml`), then variables `SEAWALL__...`; later wins, table
//! by table ([`Layers`]). Then scopes cascade, from all services down to one call, and what code overrides at run time
//! beats all ([`Scope`]). Loading is a pure function, so a reload is loading again.
//!
//! Built on the `config` crate: its values, which carry an origin along, and its merging of sources. Its readers are left
//! out, for they say no line, coerce silently, lower-case variables, and end at the first error. Our own source reads TOML
//! with the position of every key. Our own deserializer ([`Reader`]) is strict, and goes on after an error, so that all
//! are shown at once, each with its place, its key, what was found, what is wanted and the name that was meant.
//!
//! A value's type is known to who reads it, and to nobody before. So there is no schema to keep in step with the structs:
//! serde's derive says which keys a struct knows, and several structs may share one table. The price: what is never read
//! is never judged. A scope keeps no settings of its own, only where its tables stand; ten thousand services hold their
//! settings once.

mod diagnostics;
mod explain;
mod files;
mod layers;
mod merge;
mod mistake;
mod names;
mod origin;
mod path;
mod plain;
mod reader;
mod scope;
mod secret;
mod shape;
mod standin;
mod text;
mod tree;
mod value;
mod variables;

pub use diagnostics::{ConfigErrors, Diagnostic};
pub use explain::{Explanation, Row};
pub use layers::Layers;
pub use names::Names;
pub(crate) use names::{unknown, without_password};
pub use origin::Origin;
pub(crate) use path::{join, split};
pub(crate) use plain::plain;
pub use reader::Reader;
pub use scope::Scope;
pub use secret::{Secret, SecretError, SecretValue};

#[cfg(test)]
mod tests;
