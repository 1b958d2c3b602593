//! Whose fault a failure was, and what each policy makes of it.
//!
//! | blame | breaker | retry | stale, fallback | endpoint |
//! |---|---|---|---|---|
//! | Downstream | failure | idempotent, or never reached it | yes | failure |
//! | Overload | neither; feeds the limit | after what it asked: idempotent, or never reached it | yes | sheds load |
//! | Caller | neither; the probe's slot goes back | never | never: a deleted user does not come back | success |
//! | Local | neither | never reached it | yes | neither |
//! | Topology | neither, unless it lasts | at once, elsewhere | yes | changed |
//!
//! "Never reached it" is what is known of no byte that was written, and of a refusal before any work: a kind says so of
//! what its protocol means by it (a 429, "too many connections"). What merely looks like overload may have been worked on,
//! and a write is not made twice for it.
//!
//! Topology lasts when for ten seconds ([`LONGEST_MOVE`](super::breaker::LONGEST_MOVE)) nothing came back but that: it is a
//! failure then.
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
    /// No byte of it was written, or the other side refused it before any work.
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
    /// It is somewhere else now: nothing, unless that lasts.
    Moved,
}

/// What an outcome says about the endpoint that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointVerdict {
    /// It answers.
    Success,
    /// It does not, or answers that it cannot.
    Failure,
    /// It is well, and wants less.
    Sheds,
    /// It is not what it was: others are to be asked.
    Changed,
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
            Self::Topology => Verdict::Moved,
            Self::Overload | Self::Caller | Self::Local => Verdict::Neutral,
        }
    }

    /// What it tells of the endpoint.
    pub fn endpoint_verdict(self) -> EndpointVerdict {
        match self {
            Self::Downstream => EndpointVerdict::Failure,
            Self::Overload => EndpointVerdict::Sheds,
            Self::Caller => EndpointVerdict::Success,
            Self::Local => EndpointVerdict::Neutral,
            Self::Topology => EndpointVerdict::Changed,
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
            Self::Downstream | Self::Overload if idempotent || reached == Reached::No => Retrying::Later,
            Self::Local if reached == Reached::No => Retrying::Later,
            Self::Topology if idempotent || reached == Reached::No => Retrying::AtOnce,
            Self::Downstream | Self::Overload | Self::Local | Self::Topology => Retrying::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's doc, row by row.
    #[test]
    fn the_table_holds() {
        use Retrying::*;
        let rows = [
            // Blame, verdict, fallback; retried if idempotent and it reached No, Maybe, Yes; and if not idempotent.
            (Blame::Downstream, Verdict::Failure, true, [Later, Later, Later], [Later, Never, Never]),
            (Blame::Overload, Verdict::Neutral, true, [Later, Later, Later], [Later, Never, Never]),
            (Blame::Caller, Verdict::Neutral, false, [Never, Never, Never], [Never, Never, Never]),
            (Blame::Local, Verdict::Neutral, true, [Later, Never, Never], [Later, Never, Never]),
            (Blame::Topology, Verdict::Moved, true, [AtOnce, AtOnce, AtOnce], [AtOnce, Never, Never]),
        ];
        for (blame, verdict, fallback, idempotent, once) in rows {
            assert_eq!(blame.breaker_verdict(), verdict, "{blame:?}");
            assert_eq!(blame.allows_fallback(), fallback, "{blame:?}");
            for (index, reached) in [Reached::No, Reached::Maybe, Reached::Yes].into_iter().enumerate() {
                assert_eq!(blame.retrying(true, reached), idempotent[index], "{blame:?}, {reached:?}");
                assert_eq!(blame.retrying(false, reached), once[index], "{blame:?}, {reached:?}, once");
            }
        }
        let endpoints = rows.map(|(blame, ..)| blame.endpoint_verdict());
        use EndpointVerdict::*;
        assert_eq!(endpoints, [Failure, Sheds, Success, Neutral, Changed]);
    }
}
