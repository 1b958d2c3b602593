use std::{collections::BTreeSet, error::Error, fmt};

use super::Origin;

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where it is written; [`Origin::BuiltIn`] where it is written nowhere.
    pub origin: Origin,
    /// The key that it is about, in full: `services.users.timeout`. Empty where it is about a whole file.
    pub key: String,
    /// What was found, what is allowed, and what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, message } = self;
        write!(f, "error: {message}")?;
        match (origin, key.as_str()) {
            (Origin::BuiltIn, "") => Ok(()),
            (Origin::BuiltIn, key) => write!(f, "\n  --> {key}"),
            (origin, "") => write!(f, "\n  --> {origin}"),
            (origin, key) => write!(f, "\n  --> {origin}: {key}"),
        }
    }
}

/// Everything that is wrong with the settings, at once.
///
/// Shown, each is a block of its own: what is wrong, and below it where, and which key. They are sorted by place, and
/// the same mistake, met by every service that inherits it, is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    diagnostics: BTreeSet<Diagnostic>,
}

impl ConfigErrors {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. [`Scope::error`](super::Scope::error) finds the place by itself.
    pub fn add(&mut self, origin: impl Into<Origin>, key: impl Into<String>, message: impl Into<String>) {
        let (origin, key, message) = (origin.into(), key.into(), message.into());
        self.diagnostics.insert(Diagnostic { origin, key, message });
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// Each of them, by place.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    /// `value`, if nothing is wrong.
    ///
    /// # Errors
    /// Itself, if something is.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Whether something is wrong with `key` already.
    pub(super) fn is_about(&self, origin: &Origin, key: &str) -> bool {
        self.diagnostics.iter().any(|known| known.key == key && known.origin == *origin)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnostics.len() {
            1 => f.write_str("the settings have an error")?,
            count => write!(f, "the settings have {count} errors")?,
        }
        for diagnostic in &self.diagnostics {
            write!(f, "\n{diagnostic}")?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}
