use std::sync::Arc;

use config::{Map, Value};

/// All settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// What files and variables say. Shared, so that an override costs no copy of it.
    pub(super) merged: Arc<Map<String, Value>>,
    /// What they said and does not count, for a stronger one said otherwise; the strongest last.
    pub(super) beaten: Arc<Vec<Map<String, Value>>>,
    /// What code says at run time.
    pub(super) overrides: Map<String, Value>,
}
