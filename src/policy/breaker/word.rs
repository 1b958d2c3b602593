use super::State;

/// State, probes that succeeded, probes under way, generation; from the lowest bits up.
///
/// A generation is one stay in one state: it tells both. With 41 bits it does not come round in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const FIELD: u64 = (1 << 10) - 1;

/// The most probes that a word has room for.
pub(super) const MOST_PROBES: u64 = FIELD;

impl Word {
    pub(super) fn new(state: State, generation: u64, under_way: u64, succeeded: u64) -> Self {
        Self(state as u64 | succeeded.min(FIELD) << 3 | under_way.min(FIELD) << 13 | generation << 23)
    }

    pub(super) fn state(self) -> State {
        State::ALL[((self.0 & 7) as usize).min(State::ALL.len() - 1)]
    }

    pub(super) fn succeeded(self) -> u64 {
        self.0 >> 3 & FIELD
    }

    pub(super) fn under_way(self) -> u64 {
        self.0 >> 13 & FIELD
    }

    pub(super) fn generation(self) -> u64 {
        self.0 >> 23
    }

    /// Another probe is under way.
    pub(super) fn probe_began(self) -> Self {
        Self::new(self.state(), self.generation(), self.under_way() + 1, self.succeeded())
    }

    /// A probe is not under way any more.
    pub(super) fn probe_ended(self, succeeded: bool) -> Self {
        let under_way = self.under_way().saturating_sub(1);
        Self::new(self.state(), self.generation(), under_way, self.succeeded() + u64::from(succeeded))
    }
}
