//! Errors of awc, of connecting and of the protocol, classified for the policies. The table
//! of what becomes of which is the one of this crate's own documentation, `table.md`.

mod answer;
mod exchange;
mod retry_after;

use std::{borrow::Cow, fmt};

use awc::error::PayloadError;
use seawall::{
    downstream::{Blame, Failure, Reached, Symptom},
    units::ByteSize,
};

pub(crate) use answer::{of_answer, of_redirect};
pub(crate) use exchange::of_exchange;

/// An answer came that is not to HTTP's rules.
pub(crate) fn protocol(what: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(Blame::Downstream, what).symptom(Symptom::Response).reached(Reached::Yes).code("protocol")
}

/// An answer came, but its content is not what it should be. `problem` repeats nothing of it.
pub(crate) fn unreadable(problem: String) -> Failure {
    Failure::new(Blame::Downstream, problem).symptom(Symptom::Response).reached(Reached::Yes).code("body")
}

/// An answer's body is larger than allowed.
pub(crate) fn too_large(limit: ByteSize) -> Failure {
    unreadable(format!("the answer's body is larger than {limit} (`http.max_body`)"))
}

/// An answer's body is larger than allowed, once decoded.
pub(crate) fn too_large_decoded(limit: ByteSize) -> Failure {
    unreadable(format!("the answer's body is larger than {limit} once decoded (`http.max_decoded`)"))
}

/// An answer's body could not be read to its end.
pub(crate) fn of_body(error: PayloadError, limit: ByteSize) -> Failure {
    match error {
        PayloadError::Overflow => too_large(limit),
        PayloadError::EncodingCorrupted | PayloadError::UnknownLength => {
            unreadable(format!("the answer's body is malformed: {error}"))
        }
        error => cut_short(Some(&error)),
    }
}

/// An answer's body ended before its end.
pub(crate) fn cut_short(error: Option<&dyn fmt::Display>) -> Failure {
    let failure = Failure::new(Blame::Downstream, "the connection broke in the middle of the answer's body")
        .symptom(Symptom::Reset)
        .reached(Reached::Yes)
        .code("reset");
    match error {
        Some(error) => failure.caused_by(Said::new(error)),
        None => failure,
    }
}

/// The words of an error that cannot leave its thread, as the source of one that can.
#[derive(Debug)]
struct Said(String);

impl Said {
    fn new(error: &dyn fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}
