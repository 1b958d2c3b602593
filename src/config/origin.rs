use std::fmt;

/// Where a value was written, and under which key. The `config` crate carries it along as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    /// `config/default.toml:12:9`, or the like.
    pub(super) place: String,
    /// `services.users.timeout`.
    pub(super) key: String,
}

const SEPARATOR: char = '\u{1f}';
const VARIABLE: &str = "variable ";

impl Origin {
    pub(super) fn file(file: &str, (line, column): (usize, usize), key: &str) -> Self {
        Self { place: format!("{file}:{line}:{column}"), key: key.to_owned() }
    }

    pub(super) fn variable(name: &str, key: &str) -> Self {
        Self { place: format!("{VARIABLE}{}", name.escape_debug()), key: key.to_owned() }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (place, key) = text.split_once(SEPARATOR)?;
        Some(Self { place: place.to_owned(), key: key.to_owned() })
    }

    pub(super) fn of(value: &config::Value) -> Option<Self> {
        value.origin().and_then(Self::parse)
    }

    /// Whether the value is the text of a variable, which means whatever type is wanted of it.
    pub(super) fn is_variable(value: &config::Value) -> bool {
        value.origin().is_some_and(|origin| origin.starts_with(VARIABLE))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.place, self.key)
    }
}
