use std::{cmp::Ordering, collections::BTreeSet, error::Error, fmt};

/// One thing that is wrong with the settings. They are ordered as one reads them: by file, line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where: `config/default.toml:12:9`, a variable's name, or empty where it is nowhere.
    pub place: String,
    /// The key that it is about: `services.users.timeout`.
    pub key: String,
    /// What was found, what is allowed, and what to do.
    pub message: String,
}

impl Diagnostic {
    /// The place with its numbers as numbers: line 12 comes after line 2.
    fn rank(&self) -> (&str, u32, u32) {
        let mut parts = self.place.rsplitn(3, ':');
        let (column, line, file) = (parts.next(), parts.next(), parts.next());
        let number = |part: Option<&str>| part.and_then(|part| part.parse().ok());
        match (file, number(line), number(column)) {
            (Some(file), Some(line), Some(column)) => (file, line, column),
            _ => (&self.place, 0, 0),
        }
    }
}

impl Ord for Diagnostic {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = self.rank().cmp(&other.rank()).then_with(|| self.place.cmp(&other.place));
        rank.then_with(|| self.key.cmp(&other.key)).then_with(|| self.message.cmp(&other.message))
    }
}

impl PartialOrd for Diagnostic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
    // The same mistake, met in several scopes, is one.
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
