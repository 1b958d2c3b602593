//! Whose fault a failure was, and what each policy makes of it.
//!
//! | blame | breaker | retry | stale, fallback |
//! |---|---|---|---|
//! | Downstream | failure | idempotent, or never reached it | yes |
//! | Overload | neither; feeds the limit | after what it asked, within the budget | yes |
//! | Caller | neither; the probe's slot goes back | never | never: a deleted user does not come back |
//! | Local | neither | never reached it | yes |
//! | Topology | neither | at once, elsewhere | yes |
//!
//! A kind that classifies well needs no policy code of its own.

use serde::Serialize;

/// Whose fault a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The downstream's: refused, reset, a 5xx, a timeout.
    Downstream,
    /// The downstream is well, and asks for less: a 429, "too many connections".
    Overload,
    /// The caller's own: a 404, a violated constraint.
    Caller,
    /// Ours: no file descriptors, a full pool, a panic.
    Local,
    /// The downstream moved: read-only now, moved, going away.
    Topology,
}

/// Whether a request may have reached the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// No byte of it was written.
    No,
    /// It may have, and it may have been worked on.
    Maybe,
    /// It has: an answer came.
    Yes,
}

/// What an outcome says about the downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is well.
    Success,
    /// It is not.
    Failure,
    /// Nothing.
    Neutral,
}

/// When a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retrying {
    /// Never.
    Never,
    /// At once.
    AtOnce,
    /// After a pause.
    Later,
}

impl Blame {
    /// What it tells the breaker.
    pub fn breaker_verdict(self) -> Verdict {
        match self {
            Self::Downstream => Verdict::Failure,
            Self::Overload | Self::Caller | Self::Local | Self::Topology => Verdict::Neutral,
        }
    }

    /// Whether something else may be answered in place of the failure.
    pub fn allows_fallback(self) -> bool {
        self != Self::Caller
    }

    /// Whether the attempt may be made again. What may have been worked on is made again only if twice is no more than
    /// once.
    pub fn retrying(self, idempotent: bool, reached: Reached) -> Retrying {
        match self {
            Self::Caller => Retrying::Never,
            // It refused the work, and says so.
            Self::Overload => Retrying::Later,
            Self::Downstream if idempotent || reached == Reached::No => Retrying::Later,
            Self::Local if reached == Reached::No => Retrying::Later,
            Self::Topology if idempotent || reached == Reached::No => Retrying::AtOnce,
            Self::Downstream | Self::Local | Self::Topology => Retrying::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        use Blame::*;
        use Reached::*;
        for blame in [Overload, Caller, Local, Topology] {
            assert_eq!(blame.breaker_verdict(), Verdict::Neutral, "{blame:?}");
        }
        assert_eq!(Downstream.breaker_verdict(), Verdict::Failure);
        assert!(!Caller.allows_fallback());
        assert_eq!(Downstream.retrying(false, Maybe), Retrying::Never);
        assert_eq!(Downstream.retrying(true, Maybe), Retrying::Later);
        assert_eq!(Downstream.retrying(false, No), Retrying::Later);
        assert_eq!(Caller.retrying(true, No), Retrying::Never);
        assert_eq!(Local.retrying(true, Maybe), Retrying::Never);
        assert_eq!(Overload.retrying(false, Yes), Retrying::Later);
        assert_eq!(Topology.retrying(true, Yes), Retrying::AtOnce);
    }
}
