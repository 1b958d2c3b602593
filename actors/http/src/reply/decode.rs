use std::{any::type_name, marker::PhantomData};

use awc::http::StatusCode;
use bytes::Bytes;
use seawall::downstream::Failure;
use serde::de::DeserializeOwned;

use super::{Response, json};
use crate::failure;

/// How an answer becomes a reply.
pub trait Decode {
    /// What comes out.
    type Reply;

    /// What the `accept` header says; `None` for anything.
    const ACCEPT: Option<&'static str> = None;

    /// Whether an answer of this status is a reply, rather than a failure.
    fn accepts(status: StatusCode) -> bool {
        status.is_success()
    }

    /// Decodes an accepted answer.
    ///
    /// # Errors
    /// When the body is not what it should be. The failure names the place, and repeats nothing of the body.
    fn decode(answer: Response<Bytes>) -> Result<Self::Reply, Failure>;

    /// Whether this body says that there is nothing, as JSON's `null` does.
    fn is_nothing(body: &[u8]) -> bool {
        body.is_empty()
    }
}

/// A body in JSON.
#[derive(Debug)]
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T: DeserializeOwned> Decode for Json<T> {
    type Reply = T;
    const ACCEPT: Option<&'static str> = Some("application/json");

    fn decode(answer: Response<Bytes>) -> Result<T, Failure> {
        json::decode(&answer.body).map_err(|problem| {
            let content_type = answer.header("content-type").unwrap_or("no content type");
            // What a proxy's error page looks like: worth saying before the JSON is complained about.
            let hint = match content_type.contains("json") {
                true => String::new(),
                false => format!(", and its content type is not JSON: {content_type:.80}"),
            };
            failure::unreadable(format!("the answer is no {}: {problem}{hint}", short(type_name::<T>())))
        })
    }

    fn is_nothing(body: &[u8]) -> bool {
        matches!(body.trim_ascii(), b"" | b"null")
    }
}

/// An answer that may be missing: 404, 204 and an empty or `null` body are `None`.
#[derive(Debug)]
pub struct Maybe<D>(PhantomData<fn() -> D>);

impl<D: Decode> Decode for Maybe<D> {
    type Reply = Option<D::Reply>;
    const ACCEPT: Option<&'static str> = D::ACCEPT;

    fn accepts(status: StatusCode) -> bool {
        status == StatusCode::NOT_FOUND || D::accepts(status)
    }

    fn decode(answer: Response<Bytes>) -> Result<Self::Reply, Failure> {
        let missing = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::NO_CONTENT);
        if missing || D::is_nothing(&answer.body) { Ok(None) } else { D::decode(answer).map(Some) }
    }
}

/// An answer with its status and headers.
#[derive(Debug)]
pub struct Whole<D>(PhantomData<fn() -> D>);

impl<D: Decode> Decode for Whole<D> {
    type Reply = Response<D::Reply>;
    const ACCEPT: Option<&'static str> = D::ACCEPT;

    fn accepts(status: StatusCode) -> bool {
        D::accepts(status)
    }

    fn decode(answer: Response<Bytes>) -> Result<Self::Reply, Failure> {
        let (status, headers) = (answer.status, answer.headers.clone());
        Ok(Response { status, headers, body: D::decode(answer)? })
    }
}

/// Nothing: whatever the body is, it is read past.
#[derive(Debug)]
pub struct Empty(());

impl Decode for Empty {
    type Reply = ();

    fn decode(_: Response<Bytes>) -> Result<(), Failure> {
        Ok(())
    }
}

/// The body as it came.
#[derive(Debug)]
pub struct Raw(());

impl Decode for Raw {
    type Reply = Bytes;

    fn decode(answer: Response<Bytes>) -> Result<Bytes, Failure> {
        Ok(answer.body)
    }
}

/// The body as text, which must be UTF-8.
#[derive(Debug)]
pub struct Text(());

impl Decode for Text {
    type Reply = String;

    fn decode(answer: Response<Bytes>) -> Result<String, Failure> {
        String::from_utf8(answer.body.into()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            failure::unreadable(format!("the answer is no text: no UTF-8 from byte {at} on"))
        })
    }
}

/// `core::option::Option<app::User>` as `Option<User>`.
fn short(path: &str) -> String {
    let mut out = String::new();
    let mut word = 0;
    for c in path.chars() {
        if c == ':' {
            out.truncate(word);
            continue;
        }
        out.push(c);
        if !c.is_alphanumeric() && c != '_' {
            word = out.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_types_path_is_cut_short() {
        assert_eq!(short("alloc::vec::Vec<core::option::Option<app::User>>"), "Vec<Option<User>>");
        assert_eq!(short("(u8, app::User)"), "(u8, User)");
    }
}
