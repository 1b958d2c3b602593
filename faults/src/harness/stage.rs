//! What a scenario is, and what it is told.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::random::Random;
use super::report::Report;

/// One row of FAULTS.md, staged.
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    /// The fault in a few words.
    pub(crate) title: &'static str,
    pub(crate) company: Company,
    pub(crate) play: fn(Stage) -> Pin<Box<dyn Future<Output = Report>>>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario").field("id", &self.id).field("title", &self.title).finish_non_exhaustive()
    }
}

/// When a scenario is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// Beside another.
    Beside,
    /// Alone: its figures are times that another would spoil.
    Alone,
    /// Alone, and only where it is named; it may have to be built first.
    OnRequest,
}

/// Makes a scenario of an async function.
#[macro_export]
macro_rules! scenario {
    ($id:ident, $title:literal, $company:ident, $play:path) => {
        pub(crate) const $id: $crate::harness::Scenario = $crate::harness::Scenario {
            id: stringify!($id),
            title: $title,
    company: $crate::scenario!(@ $company),
            play: |stage| Box::pin($play(stage)),
        };
    };
    (@ beside) => {
        $crate::harness::stage::Company::Beside
    };
    (@ alone) => {
        $crate::harness::stage::Company::Alone
    };
    (@ on_request) => {
        $crate::harness::stage::Company::OnRequest
    };
}

/// What a scenario is told of its run.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Everything that is random comes from it.
    pub(crate) seed: u64,
    /// With the lengths of FAULTS.md; shortened otherwise.
    pub(crate) full: bool,
    /// What the fault lasts beyond its usual time.
    pub(crate) longer: Duration,
}

impl Stage {
    pub(crate) fn random(&self) -> Random {
        Random::new(self.seed)
    }

    /// One value in the full form, another in the quick one.
    pub(crate) fn either<T>(&self, full: T, quick: T) -> T {
        if self.full { full } else { quick }
    }

    pub(crate) fn before(&self) -> Duration {
        Duration::from_millis(self.either(10_000, 1_500))
    }

    pub(crate) fn during(&self) -> Duration {
        self.longer + Duration::from_millis(self.either(20_000, 2_500))
    }

    pub(crate) fn after(&self) -> Duration {
        Duration::from_millis(self.either(20_000, 3_000))
    }
}
