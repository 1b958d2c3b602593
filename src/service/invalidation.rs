use std::sync::Arc;

use super::{Shared, State};
use crate::{
    call::{Call, TagWriter},
    downstream::Downstream,
};

/// Invalidated together with any tag of which there are too many to keep.
pub(super) const EVERYTHING: u64 = u64::MAX;

/// What a write voids when it ends, however it ends: its outcome may be unknown. The tags are written before it is sent,
/// for a write that cannot say what it changes must not change it.
#[derive(Debug)]
pub(crate) struct Invalidation {
    state: Arc<State>,
    tags: TagWriter,
}

/// What `call` voids; `None` for nothing.
pub(crate) fn of_call<D: Downstream, C: Call<D>>(service: &Shared<D>, call: &C) -> Option<Arc<Invalidation>> {
    let mut tags = TagWriter::default();
    call.invalidates(&mut tags);
    let nothing = tags.hashes().is_some_and(<[u64]>::is_empty);
    (!nothing).then(|| Arc::new(Invalidation { state: Arc::clone(&service.state), tags }))
}

impl Invalidation {
    /// Voids it now.
    pub(crate) fn apply(&self) {
        invalidate_tags(&self.state, &self.tags);
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        self.apply();
    }
}

pub(crate) fn invalidate_tags(state: &State, writer: &TagWriter) {
    let generations = &state.environment.generations;
    match writer.hashes() {
        Some([]) => {}
        Some(tags) => {
            for tag in tags {
                generations.invalidate(state.tag(*tag));
            }
            generations.invalidate(state.tag(EVERYTHING));
        }
        None => state.clear(),
    }
}
