use std::fmt;

use config::{Value, ValueKind};
use serde::de;

use super::{
    names::{nearest, shortened, unknown},
    path::Step,
};

/// The longest text that may be a mistaken word, in characters.
const LONGEST_WORD: usize = 32;

/// What stopped the reading of a struct.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Set by the innermost value that knows where it is.
    pub(super) path: Option<Vec<Step>>,
    /// A key that is not there. It is missing from the struct at `path`.
    pub(super) missing: Option<&'static str>,
    /// Whether another value would be right, not another setting of this value.
    pub(super) unfit: bool,
    pub(super) message: String,
}

impl Mistake {
    /// What was found is not what is wanted.
    pub(super) fn unfit(found: impl fmt::Display, wanted: impl fmt::Display) -> Self {
        Self { unfit: true, ..de::Error::custom(format_args!("found {found}; wanted {wanted}")) }
    }

    pub(super) fn at(mut self, path: &[Step]) -> Self {
        self.path.get_or_insert_with(|| path.to_vec());
        self
    }

    /// The mistake, of a value that may also be turned off.
    pub(super) fn or_off(mut self, path: &[Step]) -> Self {
        let here = self.path.as_ref().is_none_or(|at| at == path);
        if here && self.unfit && !self.message.contains("false") {
            self.message.push_str("; `false` turns it off");
        }
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
        Self { path: None, missing: None, unfit: false, message: message.to_string() }
    }

    fn invalid_type(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::unfit(named(found), self::wanted(wanted))
    }

    fn invalid_value(found: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn invalid_length(length: usize, wanted: &dyn de::Expected) -> Self {
        Self::unfit(format_args!("{length} elements"), wanted)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        let wanted = format!("one of {}", quoted(known));
        // Where a word or `{ file = ".." }` is wanted, a whole key has been seen: what is no word is not repeated.
        let mut mistake = match found.chars().count() {
            count if count > LONGEST_WORD => Self::unfit(format_args!("text of {count} characters"), wanted),
            _ => Self::unfit(named(de::Unexpected::Str(found)), wanted),
        };
        if let Some(nearest) = nearest(found, known.iter().copied()) {
            mistake.message.push_str(&format!("; did you mean \"{nearest}\"?"));
        }
        mistake
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        Self::custom(unknown("key", found, known.iter().copied()))
    }

    fn missing_field(name: &'static str) -> Self {
        Self { missing: Some(name), ..Self::custom("it is missing, and has no default") }
    }
}

/// What stands there, in the words of a settings file.
pub(super) fn found(value: &Value) -> String {
    named(match &value.kind {
        ValueKind::Nil => de::Unexpected::Unit,
        ValueKind::Boolean(on) => de::Unexpected::Bool(*on),
        ValueKind::I64(number) => de::Unexpected::Signed(*number),
        ValueKind::Float(number) => de::Unexpected::Float(*number),
        ValueKind::String(text) => de::Unexpected::Str(text),
        ValueKind::Array(_) => de::Unexpected::Seq,
        ValueKind::Table(_) => de::Unexpected::Map,
        ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => de::Unexpected::Other("a number"),
    })
}

fn named(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(on) => on.to_string(),
        de::Unexpected::Unsigned(number) => format!("the integer {number}"),
        de::Unexpected::Signed(number) => format!("the integer {number}"),
        de::Unexpected::Float(number) => format!("the number {number:?}"),
        de::Unexpected::Str(text) => format!("{:?}", shortened(text)),
        de::Unexpected::Map => "a table".to_owned(),
        de::Unexpected::Seq => "an array".to_owned(),
        de::Unexpected::Unit => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// Words as a settings file writes them.
pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

/// What is wanted, where serde names a type of Rust's.
fn wanted(wanted: &dyn de::Expected) -> String {
    let text = wanted.to_string();
    match text.as_str() {
        "u8" => "an integer from 0 to 255".to_owned(),
        "u16" => "an integer from 0 to 65535".to_owned(),
        "u32" => "an integer from 0 to 4294967295".to_owned(),
        "u64" | "u128" | "usize" => "an integer of 0 or more".to_owned(),
        "i8" => "an integer from -128 to 127".to_owned(),
        "i16" => "an integer from -32768 to 32767".to_owned(),
        "i32" => "an integer from -2147483648 to 2147483647".to_owned(),
        "i64" | "i128" | "isize" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "a borrowed string" => "text in quotes".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        "a sequence" => "an array, in [ ]".to_owned(),
        "a map" => "a table".to_owned(),
        text if text.starts_with("struct ") => "a table".to_owned(),
        _ => text,
    }
}
