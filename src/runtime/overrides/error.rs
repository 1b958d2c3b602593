use std::{error::Error, fmt, time::Duration};

use super::{LONGEST_OVERRIDE, MOST_OVERRIDES};
use crate::config::ConfigErrors;

/// Why a setting was not overridden, or an override not ended. Nothing has changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OverrideError {
    /// There is no such setting, or it cannot be this.
    Settings(ConfigErrors),
    /// It would last for no time, or for longer than an override may.
    Lasting(Duration),
    /// No reason was given.
    NoReason,
    /// As many overrides as may be are in force.
    TooMany,
    /// Nothing overrides the setting that was to be let go: what there is instead.
    NotSet(String),
}

impl fmt::Display for OverrideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(errors) => write!(f, "{errors}"),
            Self::Lasting(asked) => write!(
                f,
                "an override lasts longer than 0s and at most {}, and was to last {}; what is meant to stay belongs in a \
                 file",
                humantime::format_duration(LONGEST_OVERRIDE),
                humantime::format_duration(*asked)
            ),
            Self::NoReason => {
                f.write_str("an override needs a reason, for whoever finds it: say one with `because`")
            }
            Self::TooMany => write!(
                f,
                "{MOST_OVERRIDES} overrides are in force, which is all that may be; `unset` one, or put what stays into \
                 a file"
            ),
            Self::NotSet(message) => f.write_str(message),
        }
    }
}

impl Error for OverrideError {}

impl From<ConfigErrors> for OverrideError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Settings(errors)
    }
}
