//! Calls that are derived.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use bytes::Bytes;
use seawall::{
    Failure, Priority,
    call::{Call, CallTraits},
};
use seawall_http::{Http, HttpCall, Response};
use serde::{Deserialize, Serialize};
use support::{Client, Server, answer, attempt, json, run};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
}

#[derive(Serialize)]
enum Order {
    #[serde(rename = "newest")]
    Newest,
}

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = User, cache(ttl = "5m", per = tenant, stale_if_error = "1h", tags("user:{id}")))]
struct GetUser {
    id: u64,
}

#[derive(HttpCall)]
#[http(get = "/teams/{team}/users", reply = Vec<User>, timeout = "20s", priority = "low", name = "Search")]
#[http(query("v" = 2, "sort" = order), header("x-app" = "shop", "x-tenant" = tenant), idempotent = false)]
struct SearchUsers {
    team: String,
    order: Order,
    tenant: Option<String>,
    #[http(query = "q")]
    text: String,
    page: Option<u64>,
    #[http(query)]
    r#type: Vec<&'static str>,
    #[http(header = "x-trace")]
    trace: u8,
}

#[derive(HttpCall)]
#[http(post = "/users", reply = Response<User>, body = user)]
struct CreateUser {
    user: User,
}

#[derive(HttpCall)]
#[http(patch = "/users/{id}", invalidates("user:{id}", "users"), idempotent)]
struct PatchUser {
    id: u64,
    #[http(body)]
    patch: Vec<u8>,
}

#[derive(HttpCall)]
#[http(delete = "/users/{id}", reply = Option<String>)]
struct DeleteUser {
    #[http(path)]
    id: String,
    hard: bool,
}

#[derive(HttpCall)]
#[http(put = "/photos/{id}.png", reply = Bytes, body = photo, header("content-type" = "image/png"))]
struct PutPhoto {
    id: String,
    photo: Bytes,
}

async fn send<C: Call<Http>>(client: &Client, call: C) -> Result<C::Reply, Failure> {
    call.attempt(&client.http, &attempt()).await
}

#[test]
fn each_field_goes_to_its_place() {
    run(async {
        let server = Server::answering(json("[]")).await;
        let search = SearchUsers {
            team: "a/b".into(),
            order: Order::Newest,
            tenant: Some("acme".into()),
            text: "x y".into(),
            page: None,
            r#type: vec!["a", "b"],
            trace: 7,
        };
        assert_eq!(send(&server.client().await, search).await.unwrap(), []);
        let received = server.last();
        assert_eq!(received.line, "GET /teams/a%2Fb/users?v=2&sort=newest&q=x%20y&type=a&type=b HTTP/1.1");
        assert_eq!(received.header("x-app"), Some("shop"));
        assert_eq!(received.header("x-tenant"), Some("acme"));
        assert_eq!(received.header("x-trace"), Some("7"));
    });
}

#[test]
fn methods_bodies_and_replies_are_what_they_are_written_as() {
    run(async {
        let server = Server::answering(answer("201 Created", "x-a: b\r\n", r#"{"id":7}"#)).await;
        let client = server.client().await;
        let created = send(&client, CreateUser { user: User { id: 7 } }).await.unwrap();
        assert_eq!(
            (created.status.as_u16(), created.header("x-a"), &created.body),
            (201, Some("b"), &User { id: 7 })
        );
        assert_eq!(
            (server.last().line.as_str(), server.last().body),
            ("POST /users HTTP/1.1", br#"{"id":7}"#.to_vec())
        );
        send(&client, PatchUser { id: 7, patch: vec![1] }).await.unwrap();
        assert_eq!(
            (server.last().line.as_str(), server.last().body),
            ("PATCH /users/7 HTTP/1.1", b"[1]".to_vec())
        );
        let text = send(&client, DeleteUser { id: "x".into(), hard: true }).await.unwrap();
        assert_eq!(text.as_deref(), Some(r#"{"id":7}"#));
        assert_eq!(server.last().line, "DELETE /users/x?hard=true HTTP/1.1");
        let photo =
            send(&client, PutPhoto { id: "..".into(), photo: Bytes::from_static(b"\x89PNG") }).await.unwrap();
        let received = server.last();
        assert_eq!(
            (received.header("content-type"), &received.body[..]),
            (Some("image/png"), &b"\x89PNG"[..])
        );
        assert_eq!((photo.len(), server.last().line.as_str()), (8, "PUT /photos/...png HTTP/1.1"));
    });
}

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = Option<User>, cache(ttl = "5m", shared = 3, tags("user:{id}")))]
struct ShareUser {
    id: u64,
}

/// Where its replies lie besides, the settings say; that they can, the call does.
#[test]
fn a_shared_reply_is_written_as_json_of_its_version() {
    let codec = format!("{:?}", <ShareUser as Call<Http>>::codec());
    assert_eq!(codec, "Some(Codec { format: \"json\", version: 3 })");
    assert!(<GetUser as Call<Http>>::codec().is_none());
    assert_eq!(<ShareUser as Call<Http>>::SETTINGS, "[cache]\nttl = \"5m\"\n");
}

#[test]
fn policies_are_told_what_is_written() {
    assert_eq!(<GetUser as Call<Http>>::NAME, "GetUser");
    assert_eq!(<SearchUsers as Call<Http>>::NAME, "Search");
    assert_eq!(
        <GetUser as Call<Http>>::SETTINGS,
        "[cache]\nttl = \"5m\"\nper = \"tenant\"\nstale_if_error = \"1h\"\n"
    );
    assert_eq!(<SearchUsers as Call<Http>>::SETTINGS, "timeout = \"20s\"\n");
    assert_eq!(Call::<Http>::traits(&GetUser { id: 1 }), CallTraits::IDEMPOTENT);
    let search = SearchUsers {
        team: String::new(),
        order: Order::Newest,
        tenant: None,
        text: String::new(),
        page: None,
        r#type: vec![],
        trace: 0,
    };
    let traits = CallTraits { idempotent: false, priority: Some(Priority::Low) };
    assert_eq!(Call::<Http>::traits(&search), traits);
    assert!(!Call::<Http>::traits(&CreateUser { user: User { id: 1 } }).idempotent);
    assert!(Call::<Http>::traits(&PatchUser { id: 1, patch: vec![] }).idempotent);
    assert!(<GetUser as Call<Http>>::sharing().is_some());
    assert!(<SearchUsers as Call<Http>>::sharing().is_none());
}

#[test]
fn a_read_and_the_write_that_invalidates_it_have_one_tag() {
    let mut read = seawall::call::TagWriter::default();
    Call::<Http>::tags(&GetUser { id: 7 }, &mut read);
    let mut written = seawall::call::TagWriter::default();
    Call::<Http>::invalidates(&PatchUser { id: 7, patch: vec![] }, &mut written);
    let mut by_hand = seawall::call::TagWriter::default();
    by_hand.tag("user:7");
    assert_eq!(format!("{read:?}"), format!("{by_hand:?}"));
    by_hand.tag("users");
    assert_eq!(format!("{written:?}"), format!("{by_hand:?}"));
}
