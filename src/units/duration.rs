//! Durations in settings: `"30s"`, `"1m 30s"`, `"500ms"`. For `#[serde(with = "seawall::units::duration")]`.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

/// The longest duration a setting may ask for: longer ones are mistakes, and would overflow clocks.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Writes a duration as it is read.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration with its unit.
///
/// # Errors
/// For text that is no duration, and for one longer than [`LONGEST`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Visitor)
}

/// Writes a duration as whole milliseconds, for machines to read. Its field's name says so: `retry_after_ms`.
///
/// # Errors
/// The serializer's own.
pub fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A duration that may be turned off. For `#[serde(with = "seawall::units::duration::option")]`.
pub mod option {
    use super::*;

    /// Writes the duration, if there is one.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a duration with its unit, or `None` where settings say `false`.
    ///
    /// # Errors
    /// For anything else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        deserializer.deserialize_option(OptionVisitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"30s\" or \"500ms\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        if text.ends_with(|end: char| end.is_ascii_digit()) && text.parse::<f64>().is_ok_and(|n| n != 0.0) {
            return Err(unitless(text));
        }
        let duration = humantime::parse_duration(text)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        if duration > LONGEST {
            return Err(E::custom(format_args!(
                "{text} is longer than the 366 days that a setting may ask for"
            )));
        }
        Ok(duration)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
        Err(unitless(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        Err(unitless(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Duration, E> {
        Err(unitless(number))
    }
}

fn unitless<E: de::Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!(
        "found the number {number}, and a duration needs its unit: write \"{number}s\" or \"{number}ms\""
    ))
}

struct OptionVisitor;

impl<'de> de::Visitor<'de> for OptionVisitor {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"30s\", or false")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserialize(deserializer).map(Some)
    }
}
