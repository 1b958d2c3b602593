//! Errors of awc, of connecting and of the protocol, classified for the policies.
//!
//! | what | blame | symptom | reached |
//! |---|---|---|---|
//! | no connection of ours came free | local | timeout (pool) | no |
//! | not connected in time | downstream | timeout (connect) | no |
//! | no address, refused, no TLS, network | downstream | connect | no |
//! | out of descriptors, ports, memory | local | connect | no |
//! | the connection broke | downstream | reset | no if no byte left, else maybe |
//! | an answer that is no HTTP, is too large or cannot be decoded | downstream | response | yes |
//! | 429; 503 with a usable `retry-after` | overload | overload | yes |
//! | 408 | downstream | timeout (attempt) | yes |
//! | 425 | downstream | response | no: the server says that it did nothing |
//! | other 5xx, and statuses that HTTP does not know | downstream | response | yes |
//! | other 4xx; 3xx, which are not followed | caller | response | yes |
//! | a request that cannot be sent | caller | other | no |
//!
//! A failure's code is the status (`503`), or one word: `dns`, `refused`, `tls`, `pool`, `connect_timeout`, `local`,
//! `network`, `reset`, `protocol`, `body`.

mod answer;
mod exchange;
mod retry_after;

use std::fmt;

use awc::error::PayloadError;
use seawall::{
    downstream::{Blame, Failure, Reached, Symptom},
    units::ByteSize,
};

pub(crate) use answer::of_answer;
pub(crate) use exchange::of_exchange;

/// An answer came, but its content is not what it should be. `problem` repeats nothing of it.
pub(crate) fn unreadable(problem: String) -> Failure {
    Failure::new(Blame::Downstream, problem).symptom(Symptom::Response).reached(Reached::Yes).code("body")
}

/// An answer's body is larger than allowed.
pub(crate) fn too_large(limit: ByteSize) -> Failure {
    unreadable(format!("the answer's body is larger than {limit} (`http.max_body`)"))
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
