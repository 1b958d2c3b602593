//! Answers: which of them are replies, and how a body becomes one.
//!
//! A [`Decode`] is named as a type, not found by the reply's own type: `Option<User>` and `String` are as well JSON as
//! they are "may be missing" and "raw text", and only the call knows which is meant. `#[http(reply = ..)]` chooses by
//! how the type is written.

mod body;
mod coding;
mod decode;
mod error_body;
mod json;

use awc::http::{StatusCode, header::HeaderMap};

pub use decode::{Decode, Empty, Json, Maybe, Raw, Text, Whole};
pub use error_body::{ErrorBody, Typed, Untyped};

pub(crate) use body::{drain, read, read_error};
pub(crate) use coding::{ACCEPTED, Coding};

/// An answer with its status and headers, for calls that ask for them: `reply = Response<User>`.
#[derive(Clone, Debug)]
pub struct Response<B> {
    /// The status: of 2xx, unless the call takes others for a reply too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decoded.
    pub body: B,
}

impl<B> Response<B> {
    /// A header as text; `None` where it is missing or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The same answer with another body.
    pub fn map<C>(self, map: impl FnOnce(B) -> C) -> Response<C> {
        Response { status: self.status, headers: self.headers, body: map(self.body) }
    }
}
