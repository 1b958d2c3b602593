use std::io::{self, Read as _};

use awc::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use seawall::{downstream::Failure, units::ByteSize};

use crate::failure;

/// What requests say that they understand. Only gzip: it is what servers have, and each further coding is another
/// parser that strangers' bytes go through.
pub(crate) const ACCEPTED: &str = "gzip";

/// How much is decoded at a stretch, before the thread's other tasks have their turn.
const STRETCH: usize = 64 * 1024;

/// How a body is coded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// # Errors
    /// For one that was not asked for.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(coding) = headers.get(CONTENT_ENCODING) else { return Ok(Self::Identity) };
        match coding.to_str().unwrap_or_default() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            coding => Err(failure::unreadable(format!(
                "the answer's body is coded as {coding:.20?}, which was not asked for and is not understood"
            ))),
        }
    }

    /// Decodes a body, as [`unzip`].
    pub(crate) async fn decode(self, body: Bytes, limit: ByteSize) -> Result<Bytes, Failure> {
        match self {
            Self::Identity => Ok(body),
            // In a box, as what is rare: every attempt would have room for it.
            Self::Gzip => Box::pin(unzip(body, limit)).await,
        }
    }

    /// Takes out of an answer's headers what is not true any more once its body is decoded.
    pub(crate) fn strip(self, headers: &mut HeaderMap) {
        if self != Self::Identity {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
    }
}

/// Decodes a body in gzip to at most `limit`: a small one can be coded to become as large as it likes.
///
/// # Errors
/// When it is malformed, or larger.
async fn unzip(body: Bytes, limit: ByteSize) -> Result<Bytes, Failure> {
    // An answer without a body may still say how it would be coded.
    if body.is_empty() {
        return Ok(body);
    }
    let malformed = |error: io::Error| {
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "ends too early",
            _ => "is malformed",
        };
        failure::unreadable(format!("the answer's body is said to be gzip, and {what}"))
    };
    let mut decoder = MultiGzDecoder::new(&body[..]);
    let mut decoded = Vec::new();
    loop {
        let read = (&mut decoder).take(STRETCH as u64).read_to_end(&mut decoded).map_err(malformed)?;
        if decoded.len() > limit.as_usize() {
            return Err(failure::too_large_decoded(limit));
        }
        if read < STRETCH {
            return Ok(decoded.into());
        }
        tokio::task::yield_now().await;
    }
}
