use std::{collections::BTreeSet, error::Error, fmt};

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Where: `config/default.toml:12:9`, a variable's name, or empty where it is nowhere.
    pub place: String,
    /// The key that it is about: `services.users.timeout`.
    pub key: String,
    /// What was found, what is allowed, and what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with the settings, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    // Sorted by place; the same mistake, met in several scopes, is one.
    diagnostics: BTreeSet<Diagnostic>,
}

impl ConfigErrors {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(&mut self, place: impl Into<String>, key: impl Into<String>, message: impl Into<String>) {
        self.diagnostics.insert(Diagnostic { place: place.into(), key: key.into(), message: message.into() });
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
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
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnostics.len() {
            1 => f.write_str("the settings have an error:")?,
            count => write!(f, "the settings have {count} errors:")?,
        }
        for diagnostic in &self.diagnostics {
            write!(f, "\n  {diagnostic}")?;
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}
