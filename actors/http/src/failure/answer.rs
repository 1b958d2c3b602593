use std::time::SystemTime;

use awc::http::{
    StatusCode, Uri,
    header::{HeaderMap, LOCATION},
};
use seawall::downstream::{Blame, Failure, Reached, Stage, Symptom};

use super::retry_after::retry_after;

/// Classifies an answer that is no reply.
pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap) -> Failure {
    let retry_after = retry_after(headers, SystemTime::now);
    let (blame, symptom, reached) = match status.as_u16() {
        300..=399 => (Blame::Caller, Symptom::Response, Reached::Yes),
        408 => (Blame::Downstream, Symptom::Timeout(Stage::Attempt), Reached::Yes),
        425 => (Blame::Downstream, Symptom::Response, Reached::No),
        // Refused before any work: a write may be sent again.
        429 => (Blame::Overload, Symptom::Overload, Reached::No),
        400..=499 => (Blame::Caller, Symptom::Response, Reached::Yes),
        503 if retry_after.is_some() => (Blame::Overload, Symptom::Overload, Reached::No),
        _ => (Blame::Downstream, Symptom::Response, Reached::Yes),
    };
    let mut message = format!("answered {status}");
    if status.is_redirection() {
        message += &match location(headers) {
            Some(Some(host)) => {
                format!(
                    ", a redirect to the host {host:.100?}; redirects are not followed, so set `url` to where it is"
                )
            }
            Some(None) => ", a redirect to another path of its own; redirects are not followed".into(),
            None => String::new(),
        };
    }
    let failure =
        Failure::new(blame, message).symptom(symptom).reached(reached).code(status.as_str().to_owned());
    // On any other status it is no request to be left alone: 3xx has one too.
    match retry_after {
        Some(wait) if matches!(blame, Blame::Overload | Blame::Downstream) => failure.retry_after(wait),
        _ => failure,
    }
}

/// The host of a redirect; `Some(None)` where it names none. Only the host: path and query may hold secrets.
fn location(headers: &HeaderMap) -> Option<Option<String>> {
    let location = headers.get(LOCATION)?.to_str().unwrap_or_default();
    Some(location.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)))
}
