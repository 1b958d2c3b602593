//! Settings in layers: how any settings are read and judged. It knows no policy.
//!
//! Files come first (`default.toml`, `{SEAWALL_ENV}.toml`, `local.toml`), then variables `SEAWALL__...`; later wins, table
//! by table. Then scopes cascade, from all services down to one call. Values and their tables are the `config` crate's;
//! what it leaves out is here. It gives no line, coerces silently, lower-cases variables, takes a name with a dot for a
//! path, and forgets where a table was written. So our own source reads TOML with the position of every key
//! ([`Layers`]), and our own deserializer ([`Reader`]) is strict, finds unknown keys and the name that was meant, and goes
//! on after an error, so that all are shown at once.

mod diagnostics;
mod explain;
mod key;
mod layers;
mod names;
mod origin;
mod reader;
mod scope;
mod secret;
mod shape;
mod text;
mod variables;

pub use diagnostics::{ConfigErrors, Diagnostic};
pub use explain::{Explanation, Row};
pub use layers::Layers;
pub use names::Names;
pub(crate) use names::unknown;
pub use reader::Reader;
pub use scope::Scope;
pub use secret::{Secret, SecretError, SecretValue};

#[cfg(test)]
mod tests;
