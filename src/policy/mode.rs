use serde::{Deserialize, Serialize};

/// How seriously a policy that can reject is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It decides.
    #[default]
    Enforce,
    /// It decides, counts what it would have rejected, keeps its own state as if it had, and lets pass: so it can be
    /// rolled out to a running fleet.
    Shadow,
    /// It is not asked.
    Off,
}
