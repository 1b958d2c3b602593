use serde::{Deserialize, Serialize};

/// Who waits behind a call: under pressure the less important are shed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The service is of no use without it.
    Critical,
    /// A user waits.
    #[default]
    Normal,
    /// A user would hardly miss it.
    Low,
    /// Nobody waits: prefetching, refreshing, batches.
    Background,
}

impl Priority {
    /// All of them, the most important first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Normal, Self::Low, Self::Background];

    /// The word for it in settings and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Background => "background",
        }
    }
}
