use std::fmt;

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// It is written nowhere: a struct's own default.
    #[default]
    BuiltIn,
    /// A text of the program's own: a kind's defaults, a call's derive.
    Text(String),
    /// A file, or other text that a user wrote.
    File {
        /// Its path, as it was asked for.
        file: String,
        /// From 1.
        line: u32,
        /// From 1, in characters.
        column: u32,
    },
    /// A variable of the environment, by name.
    Variable(String),
    /// Code that set it at run time, by the name it gave.
    Override(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in default"),
            Self::Text(what) => f.write_str(what),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Override(by) => write!(f, "override by {by}"),
        }
    }
}

/// `""` is nowhere; anything else names a text of the program's own.
impl From<&str> for Origin {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::BuiltIn } else { Self::Text(text.to_owned()) }
    }
}

/// A value's origin, and the key it is written under, which differs from the key it is read under where it is inherited.
/// The `config` crate carries it along as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) origin: Origin,
    /// `services.users.timeout`.
    pub(super) key: String,
}

const SEPARATOR: char = '\u{1f}';

impl Mark {
    pub(super) fn of(value: &config::Value) -> Option<Self> {
        Self::decode(value.origin()?)
    }

    /// Whether the value is the text of a variable, which means whatever type is wanted of it.
    pub(super) fn is_variable(value: &config::Value) -> bool {
        value.origin().is_some_and(|text| text.starts_with("variable\u{1f}"))
    }

    /// For [`config::Value::new`].
    pub(super) fn encode(&self) -> String {
        let Self { origin, key } = self;
        match origin {
            Origin::BuiltIn => format!("default{SEPARATOR}{key}"),
            Origin::Text(what) => format!("text{SEPARATOR}{key}{SEPARATOR}{what}"),
            Origin::File { file, line, column } => {
                format!("file{SEPARATOR}{key}{SEPARATOR}{line}{SEPARATOR}{column}{SEPARATOR}{file}")
            }
            Origin::Variable(name) => format!("variable{SEPARATOR}{key}{SEPARATOR}{name}"),
            Origin::Override(by) => format!("override{SEPARATOR}{key}{SEPARATOR}{by}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(SEPARATOR)?;
        let (key, rest) = rest.split_once(SEPARATOR).unwrap_or((rest, ""));
        let origin = match word {
            "default" => Origin::BuiltIn,
            "text" => Origin::Text(rest.to_owned()),
            "variable" => Origin::Variable(rest.to_owned()),
            "override" => Origin::Override(rest.to_owned()),
            "file" => {
                let mut parts = rest.splitn(3, SEPARATOR);
                let line = parts.next()?.parse().ok()?;
                let column = parts.next()?.parse().ok()?;
                Origin::File { file: parts.next()?.to_owned(), line, column }
            }
            _ => return None,
        };
        Some(Self { origin, key: key.to_owned() })
    }
}
