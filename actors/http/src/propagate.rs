//! What a request tells the next service about the one that it is made for.

use awc::http::header::{HeaderName, HeaderValue};
use seawall::call::Attempt;
use serde::{Deserialize, Serialize};

use crate::RequestParts;

/// The header with the time that is left for the request, in whole milliseconds: its receiver need not go on after it.
/// Milliseconds that are left, not a point in time, since the two clocks may differ.
pub const DEADLINE_HEADER: &str = "x-seawall-deadline-ms";

/// The header of a retry: which attempt it is, from 2 on. Its receiver does not retry in turn, or retries would multiply
/// from hop to hop.
pub const ATTEMPT_HEADER: &str = "x-seawall-attempt";

/// The header of W3C's trace context.
pub const TRACE_HEADER: &str = "traceparent";

/// The header with what tracing systems add to it.
pub const TRACE_STATE_HEADER: &str = "tracestate";

/// A thing that may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Propagated {
    Traceparent,
    Deadline,
    Attempt,
}

impl Propagated {
    pub(crate) const ALL: [Self; 3] = [Self::Traceparent, Self::Deadline, Self::Attempt];

    /// Puts it into the request's headers, if there is anything to say.
    pub(crate) fn put(self, request: &mut RequestParts, attempt: &Attempt) {
        match self {
            Self::Traceparent => {
                let Some(trace) = attempt.context().and_then(|context| context.get_trace()) else { return };
                put_text(request, TRACE_HEADER, &trace.parent);
                if let Some(state) = &trace.state {
                    put_text(request, TRACE_STATE_HEADER, state);
                }
            }
            Self::Deadline => {
                let left = u64::try_from(attempt.remaining().as_millis()).unwrap_or(u64::MAX);
                request.set(HeaderName::from_static(DEADLINE_HEADER), left.into());
            }
            Self::Attempt => {
                // Whoever retries for a retried request is a retry itself, further down.
                let retried = attempt.context().is_some_and(|context| context.is_retried());
                let number = if retried { attempt.number().max(2) } else { attempt.number() };
                if number > 1 {
                    request.set(HeaderName::from_static(ATTEMPT_HEADER), number.into());
                }
            }
        }
    }
}

/// What came from outside may be no header any more: it is left out then, since no call should fail for its trace.
fn put_text(request: &mut RequestParts, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        request.set_default(HeaderName::from_static(name), value);
    }
}
