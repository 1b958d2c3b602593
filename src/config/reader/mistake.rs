use std::fmt;

use serde::de;

use super::Path;
use crate::config::{key::shown, names::unknown};

/// What stopped the reading of a struct.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) path: Option<Path>,
    pub(super) message: String,
    /// The key that is missing, if that is the mistake.
    pub(super) missing: Option<&'static str>,
}

impl Mistake {
    pub(super) fn at(mut self, path: &Path) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string(), missing: None }
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::custom(format_args!("found {}, wanted {}", named(found), plain(&wanted.to_string())))
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn invalid_length(length: usize, wanted: &dyn de::Expected) -> Self {
        Self::custom(format_args!("found {length} elements, wanted {wanted}"))
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(unknown("word", found, known.iter().copied()))
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(unknown("key", found, known.iter().copied()))
    }

    fn missing_field(name: &'static str) -> Self {
        let message = format!("`{name}` is missing, and has no default");
        Self { path: None, message, missing: Some(name) }
    }
}

/// What was found, in the words of a settings file.
pub(super) fn named(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(on) => format!("{on}"),
        de::Unexpected::Unsigned(number) => format!("the integer {number}"),
        de::Unexpected::Signed(number) => format!("the integer {number}"),
        de::Unexpected::Float(number) => format!("the number {number:?}"),
        de::Unexpected::Str(text) => shown(text),
        de::Unexpected::Map => "a table".to_owned(),
        de::Unexpected::Seq => "an array".to_owned(),
        other => other.to_string(),
    }
}

/// What is wanted, where serde's own words are Rust's.
fn plain(wanted: &str) -> &str {
    match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "an array: [..]",
        "a map" => "a table: { .. }",
        wanted if wanted.starts_with("a nonzero ") => "a whole number from 1 on",
        wanted => wanted,
    }
}
