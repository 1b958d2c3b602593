//! The kind in a runtime: settings, policies and all.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::error::Error as _;

use seawall::{Runtime, Service, call::Origin};
use seawall_http::{Hook, Http, HttpCall, HttpHook, RequestParts};
use seawall_macros::Services;
use serde::{Deserialize, Serialize};
use support::{Reaction, Server, answer, json, run};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
}

#[derive(HttpCall)]
#[http(get = "/users/{id}", reply = Option<User>, cache(ttl = "5m", tags("user:{id}")))]
struct GetUser {
    id: u64,
}

#[derive(HttpCall)]
#[http(put = "/users/{id}", body = user, invalidates("user:{id}"))]
struct PutUser {
    id: u64,
    user: User,
}

#[derive(Services)]
struct Downstreams {
    #[service(calls(GetUser, PutUser))]
    users: Service<Http>,
}

struct Sign;

impl HttpHook for Sign {
    async fn before(
        &self,
        request: &mut RequestParts,
        _: &seawall::call::Attempt,
    ) -> Result<(), seawall::Failure> {
        request.set_header("x-signed", "yes")
    }
}

async fn runtime(server: &Server, more: &str) -> Runtime {
    let settings = format!("[services.users]\nkind = \"http\"\nurl = \"http://{}\"\n{more}", server.address);
    Runtime::builder()
        .kind::<Http>()
        .services::<Downstreams>()
        .extension("users", Hook::new(Sign))
        .parse(settings)
        .unwrap()
        .start()
        .await
        .unwrap()
}

#[test]
fn a_read_is_kept_until_a_write_invalidates_it() {
    run(async {
        let server = Server::answering(json(r#"{"id": 7}"#)).await;
        let runtime = runtime(&server, "").await;
        let downstreams: Downstreams = runtime.bind().unwrap();
        let get = async || downstreams.users.send(GetUser { id: 7 }).await.unwrap();
        let first = get().await;
        assert_eq!((first.as_ref().unwrap().id, first.origin()), (7, Origin::Fresh));
        assert_eq!(get().await.origin(), Origin::Cached);
        downstreams.users.send(PutUser { id: 7, user: User { id: 7 } }).await.unwrap();
        assert_eq!(get().await.origin(), Origin::Fresh);
        assert_eq!(server.received().len(), 3);
        assert_eq!(server.last().header("x-signed"), Some("yes"));
        runtime.drain().await;
    });
}

#[test]
fn an_overloaded_service_is_asked_again_as_a_retry() {
    run(async {
        let server = Server::start(|number, _| {
            Reaction::Write(match number {
                0 => answer("503 Service Unavailable", "retry-after: 0\r\n", ""),
                _ => json(r#"{"id": 7}"#),
            })
        })
        .await;
        let runtime = runtime(&server, "").await;
        let downstreams: Downstreams = runtime.bind().unwrap();
        let user = downstreams.users.send(GetUser { id: 7 }).await.unwrap();
        assert_eq!(user.as_ref().unwrap().id, 7);
        assert_eq!(server.last().header(seawall_http::ATTEMPT_HEADER), Some("2"));
        runtime.drain().await;
    });
}

#[test]
fn what_is_wrong_with_the_settings_is_told_by_its_place() {
    run(async {
        let text = "[services.users]\nkind = \"http\"\nurl = \"ftp://users\"\ntls = { verify = false }\nhttp = { max_bodi = \"1MiB\", headers = { host = \"evil\" } }\n";
        let started = Runtime::builder().kind::<Http>().parse(text).unwrap().start().await;
        let error = started.unwrap_err();
        let mut told = error.to_string();
        if let Some(source) = error.source() {
            told += &source.to_string();
        }
        for part in [
            "settings:3:",
            "must begin with http",
            "unknown key `verify`",
            "unknown key `max_bodi`; did you mean `max_body`",
            "cannot be set",
        ] {
            assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
        }
    });
}
