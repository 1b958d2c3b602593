//! What each status means to the policies.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::downstream::{
    Blame::{self, Caller, Downstream, Overload},
    Failure,
    Reached::{self, No, Yes},
    Stage, Symptom,
};
use seawall_http::{Empty, Request};
use support::{Server, answer, attempt, run};

async fn failure(status: &str, headers: &str) -> Failure {
    let server = Server::answering(answer(status, headers, "secret")).await;
    let attempt = attempt();
    let client = server.client().await;
    let failure = client.http.send::<Empty>(Request::get().path("/"), &attempt).await.unwrap_err();
    assert!(attempt.is_sent());
    assert!(!support::chain(&failure).contains("secret"), "{failure:?}");
    failure
}

#[test]
fn statuses_are_blamed_on_whom_they_should() {
    let rows: [(&str, Blame, Symptom, Reached); 17] = [
        ("301 Moved Permanently", Caller, Symptom::Response, Yes),
        ("304 Not Modified", Caller, Symptom::Response, Yes),
        ("400 Bad Request", Caller, Symptom::Response, Yes),
        ("401 Unauthorized", Caller, Symptom::Response, Yes),
        ("403 Forbidden", Caller, Symptom::Response, Yes),
        ("404 Not Found", Caller, Symptom::Response, Yes),
        ("408 Request Timeout", Downstream, Symptom::Timeout(Stage::Attempt), Yes),
        ("409 Conflict", Caller, Symptom::Response, Yes),
        ("422 Unprocessable Entity", Caller, Symptom::Response, Yes),
        ("425 Too Early", Downstream, Symptom::Response, No),
        ("429 Too Many Requests", Overload, Symptom::Overload, No),
        ("500 Internal Server Error", Downstream, Symptom::Response, Yes),
        ("501 Not Implemented", Downstream, Symptom::Response, Yes),
        ("502 Bad Gateway", Downstream, Symptom::Response, Yes),
        ("503 Service Unavailable", Downstream, Symptom::Response, Yes),
        ("504 Gateway Timeout", Downstream, Symptom::Response, Yes),
        ("599 Odd", Downstream, Symptom::Response, Yes),
    ];
    run(async move {
        for (status, blame, symptom, reached) in rows {
            let failure = failure(status, "").await;
            let found = (failure.blame(), failure.looked_like(), failure.has_reached());
            assert_eq!(found, (blame, symptom, reached), "{status}");
            assert_eq!(failure.get_code(), Some(&status[..3]));
            assert_eq!(failure.asked_retry_after(), None);
        }
    });
}

#[test]
fn retry_after_makes_a_503_an_overload_and_garbage_does_not() {
    run(async {
        let after = |failure: &Failure| (failure.blame(), failure.asked_retry_after());
        let seven = Some(Duration::from_secs(7));
        assert_eq!(after(&failure("503 X", "retry-after: 7\r\n").await), (Overload, seven));
        assert_eq!(after(&failure("429 X", "retry-after: 7\r\n").await), (Overload, seven));
        let date = "date: Sun, 06 Nov 1994 12:00:00 GMT\r\nretry-after: Sun, 06 Nov 1994 12:00:07 GMT\r\n";
        assert_eq!(after(&failure("503 X", date).await), (Overload, seven));
        assert_eq!(after(&failure("503 X", "retry-after: soon\r\n").await), (Downstream, None));
        assert_eq!(after(&failure("429 X", "retry-after: soon\r\n").await), (Overload, None));
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(after(&failure("503 X", "retry-after: 99999999\r\n").await), (Overload, hour));
        assert_eq!(after(&failure("500 X", "retry-after: 7\r\n").await), (Downstream, seven));
    });
}

#[test]
fn a_redirect_names_the_host_and_nothing_else() {
    run(async {
        let elsewhere = failure("302 Found", "location: https://login.example/x?token=hunter2\r\n").await;
        let text = elsewhere.to_string();
        assert!(text.contains("https://login.example:443") && !text.contains("hunter2"), "{text}");
        let here = failure("307 Temporary Redirect", "location: /x?token=hunter2\r\n").await.to_string();
        assert!(here.contains("another path of its own") && !here.contains("hunter2"), "{here}");
    });
}

#[test]
fn the_connection_of_a_refusal_is_used_again() {
    run(async {
        let server = Server::answering(answer("404 Not Found", "", "no such user")).await;
        let client = server.client().await;
        for _ in 0..3 {
            client.send::<Empty>(Request::get().path("/")).await.unwrap_err();
        }
        assert!(server.received().iter().all(|received| received.connection == 0));
    });
}
