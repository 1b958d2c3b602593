//! How a handler is tested without a network: its services are mocks, answered by rules.

use std::time::Duration;

use seawall::{Call, CallError, Failure, Service, downstream::Blame};
use seawall_http::{Http, HttpCall, Response, StatusCode, header::HeaderMap};
use seawall_testkit::{Mock, mock, virtual_time};

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct User {
    name: String,
}

#[derive(Clone, HttpCall)]
#[http(get = "/users/{id}", reply = Option<User>, cache(ttl = "5m"))]
struct GetUser {
    id: u64,
}

/// The code under test.
async fn greeting(users: &Service<Http>, id: u64) -> Result<String, CallError> {
    let user = users.send(GetUser { id }).fallback(|_| Some(User { name: "friend".to_owned() })).await?;
    Ok(match &*user {
        Some(user) => format!("Hello {}", user.name),
        None => "Who are you?".to_owned(),
    })
}

#[test]
fn a_handler_is_tested_by_rules() {
    virtual_time(async || {
        let users = mock::<Http>("users");
        users.on(|call: &GetUser| match call.id {
            7 => Ok(Some(User { name: "ann".to_owned() })),
            8 => Err(Failure::new(Blame::Downstream, "it is down")),
            _ => Ok(None),
        });
        let service = users.service();
        assert_eq!(greeting(&service, 7).await.expect("there is a user"), "Hello ann");
        assert_eq!(greeting(&service, 8).await.expect("there is a fallback"), "Hello friend");
        assert_eq!(greeting(&service, 9).await.expect("there is none"), "Who are you?");
        assert_eq!(users.calls::<GetUser>(), 3);
    });
}

#[test]
fn or_through_the_real_policies_in_virtual_time() {
    virtual_time(async || {
        let users = Mock::<Http>::with_policies("users", "timeout = \"1s\"").expect("the settings are right");
        users.on_async(|_: std::sync::Arc<GetUser>| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(None)
        });
        let began = tokio::time::Instant::now();
        assert_eq!(greeting(&users.service(), 7).await.expect("there is a fallback"), "Hello friend");
        assert_eq!(began.elapsed(), Duration::from_secs(1));

        // The load goes on for whoever joins it, up to the service's own timeout.
        tokio::time::sleep(Duration::from_millis(1)).await;
        users.on(|_: &GetUser| Ok(Some(User { name: "ann".to_owned() })));
        for _ in 0..3 {
            assert_eq!(greeting(&users.service(), 7).await.expect("there is a user"), "Hello ann");
        }
        assert_eq!(
            users.calls::<GetUser>(),
            2,
            "one that took too long, and one for all three: the rest was cached"
        );
    });
}

/// A reply with its headers, of which only the body may be nothing.
#[derive(Clone, HttpCall)]
#[http(get = "/users/{id}/page", reply = Response<Option<User>>, cache(ttl = "5m"))]
struct GetPage {
    id: u64,
}

#[test]
fn a_reply_that_may_be_nothing_tells_that_it_is() {
    let ann = || Some(User { name: "ann".to_owned() });
    let page = |body| Response { status: StatusCode::OK, headers: HeaderMap::new(), body };
    assert!(Call::<Http>::is_negative(&GetUser { id: 7 }, &None));
    assert!(!Call::<Http>::is_negative(&GetUser { id: 7 }, &ann()));
    assert!(Call::<Http>::is_negative(&GetPage { id: 7 }, &page(None)));
    assert!(!Call::<Http>::is_negative(&GetPage { id: 7 }, &page(ann())));
}

#[test]
fn nothing_is_kept_for_a_time_of_its_own() {
    virtual_time(async || {
        let settings = "cache = { negative_ttl = \"5s\", jitter = \"0%\" }";
        let users = Mock::<Http>::with_policies("users", settings).expect("the settings are right");
        users.on(|_: &GetUser| Ok(None));
        for (seconds, calls) in [(0, 1), (4, 1), (2, 2)] {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            assert_eq!(greeting(&users.service(), 7).await.expect("there is none"), "Who are you?");
            assert_eq!(users.calls::<GetUser>(), calls);
        }
    });
}

#[test]
fn a_call_without_a_rule_says_so() {
    virtual_time(async || {
        let users = mock::<Http>("users");
        let error = users.service().send(GetUser { id: 7 }).await.expect_err("there is no rule");
        let failure = error.failure().map(ToString::to_string);
        assert_eq!(failure.as_deref(), Some("the mock has no rule for GetUser: add one with `on`"));
    });
}
