use std::time::Duration;

use awc::http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use bytes::{Bytes, BytesMut};
use seawall::{downstream::Failure, units::ByteSize};
use tokio::time::timeout;

use super::coding::Coding;
use crate::{failure, wire::Answer};

/// How long the body of an answer that failed already is waited for: the status is known, so a body that hangs must
/// not turn it into a timeout.
const GRACE: Duration = Duration::from_secs(1);
/// How much of a body that nobody wants is read, so that its connection can be used again. No more memory than this is
/// set aside at a server's word, either.
const SMALL: usize = 64 * 1024;

/// Reads a whole body of at most `limit`. One that comes in a single piece is not copied.
///
/// # Errors
/// When the connection breaks, when less comes than was declared, or when there is more than allowed, which is not read.
pub(crate) async fn read(answer: &mut Answer, limit: ByteSize) -> Result<Bytes, Failure> {
    let most = limit.as_usize();
    let declared = declared(answer.headers());
    if declared.is_some_and(|declared| declared > most) {
        return Err(failure::too_large(limit));
    }
    let (mut first, mut rest, mut length) = (Bytes::new(), BytesMut::new(), 0);
    while let Some(piece) = answer.chunk().await {
        let piece = piece.map_err(|error| failure::of_body(error, limit))?;
        if piece.len() > most - length {
            return Err(failure::too_large(limit));
        }
        if length == 0 {
            first = piece;
            length = first.len();
            continue;
        }
        if rest.is_empty() {
            rest.reserve(declared.unwrap_or(0).min(SMALL).max(length + piece.len()));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&piece);
        length = rest.len();
    }
    whole(answer, declared, length)?;
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// awc takes a body that ends before its time for a whole one.
fn whole(answer: &Answer, declared: Option<usize>, length: usize) -> Result<(), Failure> {
    let cut = match declared {
        Some(declared) => length != declared,
        None => answer.headers().contains_key(TRANSFER_ENCODING) && answer.connection_ended(),
    };
    if cut { Err(failure::cut_short(None)) } else { Ok(()) }
}

/// Reads and decodes the body of an answer that failed, for what it says of the error; `None` if it does not come, or not
/// soon.
pub(crate) async fn read_error(answer: &mut Answer, limit: ByteSize, decoded: ByteSize) -> Option<Bytes> {
    let coding = Coding::of(answer.headers()).ok()?;
    let body = timeout(GRACE, read(answer, limit)).await.ok()?.ok()?;
    coding.decode(body, decoded).await.ok()
}

/// Reads past a small body that nobody wants. One that is large, slow or broken costs its connection instead.
pub(crate) async fn drain(answer: &mut Answer) {
    if declared(answer.headers()).is_some_and(|declared| declared > SMALL) {
        return;
    }
    let drained = async {
        let mut length = 0;
        while let Some(Ok(piece)) = answer.chunk().await {
            length += piece.len();
            if length > SMALL {
                return;
            }
        }
    };
    // Out of time or drained: either way nothing is left to do.
    let _ = timeout(GRACE, drained).await;
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
