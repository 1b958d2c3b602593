use std::fmt::Write as _;

use awc::http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;

use super::values;

/// Headers that say how a message is framed, and to whom it goes: a second opinion on them is how requests are
/// smuggled, so they are the kind's alone.
const RESERVED: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
];

/// The name of a header that may be set from outside.
///
/// # Errors
/// For what is no header name, and for the names that frame a message.
pub(crate) fn name(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is no header name: letters, digits and hyphens"))?;
    match RESERVED.contains(&parsed) {
        true => Err(format!("`{name}` cannot be set: it says how the message is framed and to whom it goes")),
        false => Ok(parsed),
    }
}

/// The value of a header: printable ASCII, spaces and tabs. The error does not repeat it, since it may be a secret.
///
/// # Errors
/// For everything else: a line break would begin another header, and what is not ASCII means different things to
/// different servers.
pub(crate) fn value(text: &str) -> Result<HeaderValue, String> {
    let odd = text.chars().find(|c| *c != '\t' && !(' '..='~').contains(c));
    match (odd, HeaderValue::from_str(text)) {
        (None, Ok(value)) => Ok(value),
        (odd, _) => Err(format!("has a character that no header may carry: {:?}", odd.unwrap_or_default())),
    }
}

/// The value of a header from a field; `None` where the field is.
///
/// # Errors
/// For what is no single piece of text, and as [`value`].
pub(super) fn of(field: &(impl Serialize + ?Sized)) -> Result<Option<HeaderValue>, String> {
    let mut text = String::new();
    let found = values::scalar(field, &mut |piece| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{piece}");
    })
    .map_err(|error| error.to_string())?;
    if found { value(&text).map(Some) } else { Ok(None) }
}
