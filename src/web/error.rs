//! What a client is answered when a handler gives up on a [`CallError`].
//!
//! | the call | status | why |
//! |---|---|---|
//! | was refused: breaker, bulkhead, rate, pool, drain | 503, `Retry-After` | it may work later |
//! | met a downstream that asks for less (429) | 503, `Retry-After` | the same |
//! | ran out of time | 504 | the downstream was too slow, or the deadline too near |
//! | failed by the downstream's fault | 502 | |
//! | failed by its own: a 404, a 400 | 500 | |
//! | failed by ours: a panic, no file descriptors, no runtime | 500 | |
//!
//! A downstream's 404 is no 404 here: this service made up the request that was refused, and only its handler knows
//! whether what was not found is what the client asked for (`reply = Option<User>` tells it). It is no 502 either, since
//! proxies take 502 to 504 as a reason to try again, and the same request would be refused again.
//!
//! `Retry-After` is in whole seconds, rounded up; 1 where nobody knows better. The body is one word and one sentence in
//! JSON, the same for all errors of a status: which service failed and how is for the log, not for strangers.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};

use crate::{
    CallError,
    call::Reason,
    downstream::{Blame, Symptom},
};

/// Seconds after which to try again, where nobody knows better.
const RETRY_AFTER: u64 = 1;

impl ResponseError for CallError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::FallbackFailed(failed) => failed.first.status_code(),
            Self::Rejected(rejected) => match rejected.reason {
                Reason::DeadlinePassed => StatusCode::GATEWAY_TIMEOUT,
                Reason::Removed
                | Reason::NotRunning
                | Reason::NoRuntime
                | Reason::NoThread(_)
                | Reason::BadCall(_) => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Failed(failed) => match (failed.failure.looked_like(), failed.failure.blame()) {
                (Symptom::Timeout(_), _) => StatusCode::GATEWAY_TIMEOUT,
                (_, Blame::Overload) => StatusCode::SERVICE_UNAVAILABLE,
                (_, Blame::Downstream | Blame::Topology) => StatusCode::BAD_GATEWAY,
                (_, Blame::Caller | Blame::Local) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = self.retry_after().map_or(RETRY_AFTER, |after| after.as_secs_f64().ceil() as u64);
            response.insert_header((header::RETRY_AFTER, seconds.max(RETRY_AFTER)));
        }
        response.content_type("application/json").body(body(status))
    }
}

fn body(status: StatusCode) -> &'static str {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            r#"{"error":"unavailable","message":"a service that is needed is not available; try again later"}"#
        }
        StatusCode::GATEWAY_TIMEOUT => {
            r#"{"error":"timeout","message":"a service that is needed did not answer in time"}"#
        }
        StatusCode::BAD_GATEWAY => r#"{"error":"bad_gateway","message":"a service that is needed failed"}"#,
        _ => r#"{"error":"internal","message":"the request could not be handled"}"#,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::body::MessageBody;

    use super::*;
    use crate::downstream::{Failure, Stage};

    fn failed(failure: Failure) -> CallError {
        CallError::failed("users", "GetUser", failure)
    }

    fn refused(reason: Reason) -> CallError {
        CallError::rejected("users", "GetUser", reason)
    }

    #[test]
    fn the_table_holds() {
        let status = |error: &CallError| error.error_response().status().as_u16();
        let blamed = |blame| status(&failed(Failure::new(blame, "no")));
        assert_eq!(blamed(Blame::Downstream), 502);
        assert_eq!(blamed(Blame::Topology), 502);
        assert_eq!(blamed(Blame::Overload), 503);
        assert_eq!(blamed(Blame::Caller), 500);
        assert_eq!(blamed(Blame::Local), 500);
        assert_eq!(status(&failed(Failure::timeout(Stage::Connect))), 504);
        assert_eq!(status(&failed(Failure::panicked("its attempt", "oh"))), 500);
        assert_eq!(
            status(&CallError::timed_out("users", "GetUser", Stage::Queue, Duration::from_secs(3))),
            504
        );
        assert_eq!(status(&refused(Reason::Draining)), 503);
        assert_eq!(status(&refused(Reason::QueueTimeout(Duration::from_secs(1)))), 503);
        assert_eq!(status(&refused(Reason::DeadlinePassed)), 504);
        assert_eq!(status(&refused(Reason::NoRuntime)), 500);
    }

    #[test]
    fn refusals_say_when_to_come_back() {
        let seconds = |error: &CallError| {
            let response = error.error_response();
            response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };
        let rate = |millis| refused(Reason::Rate { retry_after: Duration::from_millis(millis) });
        assert_eq!(seconds(&rate(2001)).as_deref(), Some("3"));
        assert_eq!(seconds(&rate(0)).as_deref(), Some("1"));
        assert_eq!(seconds(&refused(Reason::Shed)).as_deref(), Some("1"));
        let asked = Failure::new(Blame::Overload, "429").retry_after(Duration::from_secs(7));
        assert_eq!(seconds(&failed(asked)).as_deref(), Some("7"));
        assert_eq!(seconds(&failed(Failure::new(Blame::Downstream, "no"))), None);
    }

    #[test]
    fn nothing_of_the_inside_is_told() {
        let failure = Failure::new(Blame::Downstream, "10.0.0.7:443 refused").caused_by("secret");
        let errors = [failed(failure), refused(Reason::BadCall("secret".into()))];
        for error in errors {
            let body = error.error_response().into_body().try_into_bytes().unwrap();
            let text = std::str::from_utf8(&body).unwrap();
            assert!(text.starts_with('{') && text.ends_with('}'), "{text}");
            for inside in ["users", "GetUser", "10.0.0.7", "secret", "seawall"] {
                assert!(!text.contains(inside), "{text} tells {inside}");
            }
        }
    }
}
