use std::time::SystemTime;

use awc::http::{
    StatusCode,
    header::{HeaderMap, LOCATION},
};
use seawall::downstream::{Blame, Failure, Reached, Stage, Symptom};

use super::retry_after::retry_after;
use crate::redirect::{self, Refused};

/// Classifies an answer that is no reply.
pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap) -> Failure {
    let retry_after = retry_after(headers, SystemTime::now);
    let (blame, symptom, reached) = match status.as_u16() {
        300..=399 => (Blame::Caller, Symptom::Response, Reached::Yes),
        // A proxy's: the service has not seen the request.
        407 => (Blame::Local, Symptom::Response, Reached::No),
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
        message += &match headers.get(LOCATION) {
            Some(location) => format!(
                ", {}; redirects are not followed, so set `url` to where it is, or `http.redirects`",
                redirect::describe(location.to_str().unwrap_or_default())
            ),
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

/// Classifies a redirect that `http.redirects` does not let be followed.
pub(crate) fn of_redirect(status: StatusCode, location: &str, refused: Refused) -> Failure {
    let message = format!("answered {status}, {}; not followed: {refused}", redirect::describe(location));
    // A service that is strict has its reasons; one that leads in circles answers nobody.
    let (blame, code) = match refused.is_astray() {
        true => (Blame::Downstream, "redirects".to_owned()),
        false => (Blame::Caller, status.as_str().to_owned()),
    };
    Failure::new(blame, message).symptom(Symptom::Response).reached(Reached::Yes).code(code)
}
