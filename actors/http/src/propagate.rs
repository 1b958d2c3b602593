//! What a request tells the next service about the one that it is made for.

use std::cell::RefCell;

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

static DEADLINE: HeaderName = HeaderName::from_static(DEADLINE_HEADER);

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
    pub(crate) fn put(self, request: &mut RequestParts, attempt: &Attempt, left: &Left) {
        match self {
            Self::Traceparent => {
                let Some(trace) = attempt.context().and_then(|context| context.get_trace()) else { return };
                put_text(request, TRACE_HEADER, &trace.parent);
                if let Some(state) = &trace.state {
                    put_text(request, TRACE_STATE_HEADER, state);
                }
            }
            Self::Deadline => {
                let milliseconds = u64::try_from(attempt.remaining().as_millis()).unwrap_or(u64::MAX);
                request.set_standing(&DEADLINE, left.header(milliseconds));
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

/// The time that was left last, as it was written: a thread's calls mostly have as much as the one before.
#[derive(Default)]
pub(crate) struct Left(RefCell<Option<(u64, HeaderValue)>>);

impl Left {
    fn header(&self, milliseconds: u64) -> HeaderValue {
        let mut last = self.0.borrow_mut();
        match &*last {
            Some((written, value)) if *written == milliseconds => value.clone(),
            _ => last.insert((milliseconds, milliseconds.into())).1.clone(),
        }
    }
}

/// What came from outside may be no header any more: it is left out then, since no call should fail for its trace.
fn put_text(request: &mut RequestParts, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        request.set_default(HeaderName::from_static(name), value);
    }
}
