use std::{sync::Arc, time::Duration};

use super::{Shared, State, tier::Mark};
use crate::{
    call::{Call, TagWriter},
    downstream::Downstream,
    units::Tick,
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
        invalidate_tags(&self.state, &self.tags, Tick::ZERO);
    }

    /// Voids it now, and lets nothing be kept that is loaded within `time`: an attempt whose end is unknown may still be
    /// worked on, and change what it changes after all who asked have gone. Nobody can tell for how long. A downstream
    /// that heeds deadlines has ended by now; of one that does not, an attempt is over when it has once more had the time
    /// that a call is given. Loads still coalesce meanwhile, so a key costs one load at a time.
    pub(super) fn unsettle(&self, time: Duration) {
        invalidate_tags(&self.state, &self.tags, self.state.environment.now().after(time));
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        self.apply();
    }
}

pub(crate) fn invalidate_tags(state: &State, writer: &TagWriter, unsettled: Tick) {
    let generations = &state.environment.generations;
    match writer.hashes() {
        Some([]) => {}
        Some(tags) => {
            state.post(tags.iter().copied().chain([EVERYTHING]).map(Mark::Tag), unsettled);
            for tag in tags {
                generations.invalidate(state.tag(*tag), unsettled);
            }
            generations.invalidate(state.tag(EVERYTHING), unsettled);
        }
        None => {
            state.post([Mark::Service], unsettled);
            state.unsettle(unsettled);
            state.clear();
        }
    }
}
