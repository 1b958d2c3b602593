//! The headers that carry a context from one service to the next, and how what they say is read.
//!
//! Everything here may come from a stranger. A value that is not exactly right is taken for none: no request fails for
//! its headers, and nothing that is not understood is passed on to the next service.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::HeaderMap;

use crate::call::Trace;

/// The time that is left for a request, in whole milliseconds. Not a point in time, since two clocks may differ.
pub const DEADLINE: &str = "x-seawall-deadline-ms";

/// Which attempt of its caller's a request is: from 2 on it is a retry, and is not retried in turn.
pub const ATTEMPT: &str = "x-seawall-attempt";

/// W3C's trace context.
pub const TRACE_PARENT: &str = "traceparent";

/// What tracing systems add to it.
pub const TRACE_STATE: &str = "tracestate";

/// Digits of a number at most: 10^10 ms are 115 days.
const MOST_DIGITS: usize = 10;

/// Bytes of a `traceparent` at most. Version 00 has 55; later ones may add to it.
const LONGEST_PARENT: usize = 128;

/// Bytes of a `tracestate` at most: what the recommendation asks to pass on at least.
const LONGEST_STATE: usize = 512;

/// The time that is left.
pub(super) fn deadline(headers: &HeaderMap) -> Option<Duration> {
    number(headers, DEADLINE).map(Duration::from_millis)
}

/// Whether the request is a retry.
pub(super) fn is_retry(headers: &HeaderMap) -> bool {
    number(headers, ATTEMPT).is_some_and(|attempt| attempt > 1)
}

/// The trace that the request belongs to. State without a parent, or with a wrong one, belongs to none.
pub(super) fn trace(headers: &HeaderMap) -> Option<Trace> {
    let parent = single(headers, TRACE_PARENT).filter(|parent| is_parent(parent))?;
    Some(Trace { parent: parent.into(), state: state(headers) })
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = single(headers, name)?;
    let is_number = text.len() <= MOST_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// A header's value, if there is just one: of two that contradict each other neither is better.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// `version-trace-parent-flags`, in lower-case hex of 2, 32, 16 and 2 digits; ids of zeros stand for none.
fn is_parent(text: &str) -> bool {
    if text.len() > LONGEST_PARENT {
        return false;
    }
    let mut fields = text.split('-');
    let mut field = |digits: usize| {
        fields.next().filter(|field| {
            field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    let is_id = |id: &str| id.bytes().any(|byte| byte != b'0');
    let more = fields.next().is_some();
    version != "ff" && !(version == "00" && more) && is_id(trace) && is_id(parent)
}

/// State may come in several headers, which are one list.
fn state(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut state = String::new();
    for value in headers.get_all(TRACE_STATE) {
        let part = value.to_str().ok()?.trim();
        if state.len() + part.len() > LONGEST_STATE {
            return None;
        }
        if !state.is_empty() && !part.is_empty() {
            state.push(',');
        }
        state.push_str(part);
    }
    (!state.is_empty()).then(|| state.into())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn a_deadline_is_digits_and_nothing_else() {
        let read = |text: &str| deadline(&headers(&[(DEADLINE, text)]));
        assert_eq!(read("250"), Some(Duration::from_millis(250)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        for wrong in ["", "-1", "+1", "1.5", "1s", " ", "12345678901", "0x10", "é"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn headers_that_contradict_each_other_say_nothing() {
        assert_eq!(deadline(&headers(&[(DEADLINE, "1"), (DEADLINE, "9000")])), None);
        assert_eq!(trace(&headers(&[(TRACE_PARENT, PARENT), (TRACE_PARENT, PARENT)])), None);
    }

    #[test]
    fn a_second_attempt_is_a_retry() {
        let read = |text: &str| is_retry(&headers(&[(ATTEMPT, text)]));
        assert!(read("2") && read("17"));
        assert!(!read("1") && !read("0") && !read("many"));
    }

    #[test]
    fn a_trace_is_passed_on_only_if_it_is_one() {
        let read = |text: &str| trace(&headers(&[(TRACE_PARENT, text), (TRACE_STATE, "a=1")])).is_some();
        assert!(read(PARENT));
        assert!(read(&PARENT.replace("00-4", "01-4")), "a version to come");
        assert!(read(&format!("01{}-more", &PARENT[2..])), "and what it adds");
        assert!(!read(&format!("{PARENT}-more")), "of which version 00 knows nothing");
        assert!(!read(&PARENT.to_uppercase()));
        assert!(!read(&PARENT.replace("00-4", "ff-4")));
        assert!(!read("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
        assert!(!read("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
        assert!(!read(&PARENT[..54]));
        assert!(!read(""));
    }

    #[test]
    fn state_is_one_list_of_bounded_length() {
        let read = |list: &[(&'static str, &str)]| {
            let mut all = vec![(TRACE_PARENT, PARENT)];
            all.extend_from_slice(list);
            trace(&headers(&all)).unwrap().state
        };
        assert_eq!(read(&[(TRACE_STATE, "a=1"), (TRACE_STATE, "b=2")]).as_deref(), Some("a=1,b=2"));
        assert_eq!(read(&[(TRACE_STATE, &"x".repeat(513))]), None);
        assert_eq!(read(&[]), None);
    }
}
