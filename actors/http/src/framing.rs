//! Answers whose end awc misjudges.
//!
//! An interim answer (103, say) it takes for the final one, and a body that ends with its connection for none; in both
//! cases it puts the connection back while the rest is still to come on it, and gives that to whoever asks next. Such an
//! answer is a failure, and no connection that is idle then is used again.

use awc::http::{
    StatusCode, Version,
    header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING},
};
use seawall::downstream::Failure;

use crate::failure::protocol;

/// # Errors
/// For an answer that does not end where awc says.
pub(crate) fn check(status: StatusCode, version: Version, headers: &HeaderMap) -> Result<(), Failure> {
    if status.is_informational() {
        return Err(protocol("an interim answer came, of a kind that was not asked for"));
    }
    let (length, chunks) = (headers.contains_key(CONTENT_LENGTH), headers.contains_key(TRANSFER_ENCODING));
    if length && chunks {
        return Err(protocol("the answer says twice how long its body is, by length and in chunks"));
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // HTTP/1.0 has no other way to say where a body ends, and awc reads it so.
    match bodiless || length || chunks || version == Version::HTTP_10 {
        true => Ok(()),
        false => Err(protocol("the answer does not say how long its body is, by length or in chunks")),
    }
}
