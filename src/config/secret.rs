use std::{env, error::Error, fmt, fs, io::Read as _, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};

/// The largest secret in a file, in bytes.
const LARGEST: u64 = 64 << 10;

/// A reference to a secret: `{ env = "X" }` or `{ file = "path" }`. It is read when it is used, and never shown.
///
/// Read from a [`Scope`](super::Scope), one that is not there is an error like a wrong value: whoever starts a service
/// learns it then, and not from the first call. A path is relative to the directory that the process runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Secret {
    /// A variable of the environment.
    Env(String),
    /// A file's content, without the white space at its end.
    File(PathBuf),
}

impl Secret {
    /// Reads it now.
    ///
    /// # Errors
    /// If it is not there, empty, too large, or no text.
    pub fn read(&self) -> Result<SecretValue, SecretError> {
        let text = match self {
            Self::Env(name) => env::var(name).map_err(|error| match error {
                env::VarError::NotPresent => self.error("it is not set"),
                env::VarError::NotUnicode(_) => self.error("it is not text"),
            })?,
            Self::File(path) => {
                let mut text = String::new();
                let read =
                    fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
                match read {
                    Ok(read) if read as u64 > LARGEST => {
                        return Err(self.error("it is too large for a secret"));
                    }
                    Ok(_) => text.trim_end().to_owned(),
                    Err(error) => return Err(self.error(&error.to_string())),
                }
            }
        };
        if text.is_empty() { Err(self.error("it is empty")) } else { Ok(SecretValue(text)) }
    }

    /// Whether it could be read now.
    ///
    /// # Errors
    /// Why it could not.
    pub fn check(&self) -> Result<(), SecretError> {
        self.read().map(|_| ())
    }

    fn error(&self, why: &str) -> SecretError {
        SecretError(format!("{self}: {why}"))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the secret in variable {name}"),
            Self::File(path) => write!(f, "the secret in file {}", path.display()),
        }
    }
}

/// By this name our own deserializer knows that a secret is read, and checks that it is there.
pub(super) const NAME: &str = "seawall::Secret";

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, Visitor)
    }
}

/// Reads a reference.
pub(super) struct Visitor;

/// Says what is wanted, and not what was found: that may be the secret itself.
fn refused<E: de::Error>() -> E {
    E::custom("a secret must not be written here; refer to it by { env = \"NAME\" } or { file = \"path\" }")
}

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret: { env = \"NAME\" } or { file = \"path\" }")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
        Err(refused())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(refused())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(refused())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(refused())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(refused())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        Err(refused())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let wanted = || de::Error::custom("exactly one of `env` and `file` says where the secret is");
        let word = map.next_key::<String>()?;
        // A place that is no text is not repeated either.
        let place = match word.as_deref() {
            Some("env" | "file") => map.next_value::<String>().map_err(|_| wanted())?,
            _ => return Err(wanted()),
        };
        if place.is_empty() || map.next_key::<String>()?.is_some() {
            return Err(wanted());
        }
        Ok(if word.as_deref() == Some("env") { Secret::Env(place) } else { Secret::File(place.into()) })
    }
}

/// A secret that was read. Nothing prints it; comparing takes the same time wherever it differs.
#[derive(Clone)]
pub struct SecretValue(String);

impl SecretValue {
    /// The secret itself. Take care where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretValue {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.0.as_bytes(), other.0.as_bytes());
        let differing = one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b));
        one.len() == other.len() && std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

/// Why a secret could not be read: says where it should be, and not what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError(String);

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for SecretError {}
