use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A share from 0 to 1, written `"50%"` or `0.5`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// All of it.
    pub const ALL: Self = Self(1.0);
    /// None of it.
    pub const NONE: Self = Self(0.0);

    /// A share in percent.
    ///
    /// # Panics
    /// Above 100: the constants of settings are written with it.
    pub const fn percent(percent: u8) -> Self {
        assert!(percent <= 100, "a share is at most 100 %");
        Self(percent as f64 / 100.0)
    }

    /// A share from 0 to 1; `None` for anything else.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, from 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 0.07 * 100 is 7.000000000000001: nobody wrote that.
        write!(f, "{}%", (self.0 * 100.0 * 1e9).round() / 1e9)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Ratio;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ratio: \"50%\", or a number from 0 to 1 such as 0.5")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Ratio, E> {
        let text = text.trim();
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
            None => match text.parse() {
                Ok(share) => return self.visit_u64(share),
                Err(_) => text.parse(),
            },
        };
        share.ok().and_then(Ratio::new).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_f64<E: de::Error>(self, share: f64) -> Result<Ratio, E> {
        Ratio::new(share).ok_or_else(|| E::invalid_value(de::Unexpected::Float(share), &self))
    }

    fn visit_u64<E: de::Error>(self, share: u64) -> Result<Ratio, E> {
        Ratio::new(share as f64).ok_or_else(|| {
            E::custom(format_args!("{share} could mean {share}% or {share} times; write \"{share}%\""))
        })
    }

    fn visit_i64<E: de::Error>(self, share: i64) -> Result<Ratio, E> {
        match u64::try_from(share) {
            Ok(share) => self.visit_u64(share),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(share), &self)),
        }
    }
}
