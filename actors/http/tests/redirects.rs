//! Which redirects are followed, and what goes along.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::{
    call::Attempt,
    downstream::{Blame, Extensions, Failure, OpenContext, Reached},
};
use seawall_http::{Empty, Hook, HttpHook, Raw, Request, RequestParts};
use support::{Client, Reaction, Received, Server, answer, attempt, chain, run};
use tokio::time::Instant;

fn redirect(status: &str, location: &str) -> Reaction {
    Reaction::Write(answer(status, &format!("location: {location}\r\n"), "moved"))
}

fn done() -> Reaction {
    Reaction::Write(answer("200 OK", "", "there"))
}

/// Answers `/a` with a redirect, and all else with 200.
async fn moved(status: &'static str, location: &'static str) -> Server {
    Server::start(move |_, request| match request.line.contains(" /a") {
        true => redirect(status, location),
        false => done(),
    })
    .await
}

fn lines(server: &Server) -> Vec<String> {
    server.received().iter().map(|received| received.line.replace(" HTTP/1.1", "")).collect()
}

async fn get(client: &Client) -> Result<String, Failure> {
    let body = client.send::<Raw>(Request::get().path("/a").query("q", &1)).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn none_is_followed_unless_asked_for() {
    run(async {
        let server = moved("302 Found", "/b?token=hunter2").await;
        let failure = get(&server.client().await).await.unwrap_err();
        assert_eq!((failure.blame(), failure.get_code()), (Blame::Caller, Some("302")));
        assert!(!chain(&failure).contains("hunter2"), "{failure}");
        assert_eq!(lines(&server), ["GET /a?q=1"]);
    });
}

#[test]
fn within_the_service_a_get_is_led_on_with_all_that_it_has() {
    run(async {
        for status in ["301 X", "302 X", "303 X", "307 X", "308 X"] {
            let server = moved(status, "../b?x=%2F").await;
            let client =
                server.client_with("http = { redirects = 1, headers = { x-from = \"shop\" } }").await;
            assert_eq!(get(&client).await.unwrap(), "there");
            assert_eq!(lines(&server), ["GET /a?q=1", "GET /b?x=%2F"]);
            let last = server.last();
            assert_eq!((last.header("x-from"), last.connection), (Some("shop"), 0));
            assert!(last.header("x-seawall-deadline-ms").is_some());
        }
    });
}

#[test]
fn a_write_is_not_made_again_unless_twice_is_as_well() {
    run(async {
        for (status, idempotent, expected) in [
            ("301 X", true, vec!["POST /a"]),
            ("302 X", true, vec!["POST /a"]),
            ("303 X", false, vec!["POST /a", "GET /b"]),
            ("307 X", false, vec!["POST /a"]),
            ("308 X", false, vec!["POST /a"]),
            ("307 X", true, vec!["POST /a", "POST /b"]),
            ("308 X", true, vec!["POST /a", "POST /b"]),
        ] {
            let server = moved(status, "/b").await;
            let client = server.client_with("http.redirects = 5").await;
            let request = Request::post().path("/a").json(&7).idempotent(idempotent);
            let reply = client.send::<Empty>(request).await;
            assert_eq!(lines(&server), expected, "{status}");
            assert_eq!(reply.is_ok(), expected.len() == 2, "{status}");
            let last = server.last();
            match last.line.starts_with("POST") {
                true => assert_eq!(last.body, b"7"),
                false => assert_eq!((last.body.len(), last.header("content-type")), (0, None)),
            }
            if let Err(failure) = reply {
                assert!(failure.to_string().contains("not made again"), "{failure}");
            }
        }
    });
}

#[test]
fn a_write_that_was_made_is_not_made_again_because_its_answer_could_not_be_fetched() {
    run(async {
        for lost in ["425 Too Early", "503 X"] {
            let server = Server::start(move |number, _| match number {
                0 => redirect("303 See Other", "/b"),
                _ => Reaction::Write(answer(lost, "", "")),
            })
            .await;
            let client = server.client_with("http.redirects = 1").await;
            let failure = client.send::<Empty>(Request::post().path("/a")).await.unwrap_err();
            assert_eq!(failure.has_reached(), Reached::Yes, "{lost}");
        }
    });
}

struct Signs;

impl HttpHook for Signs {
    async fn before(&self, request: &mut RequestParts, _: &Attempt) -> Result<(), Failure> {
        let signature = format!("of {}", request.path_and_query());
        request.set_header("x-signature", &signature)
    }
}

fn signed(context: OpenContext) -> OpenContext {
    let mut extensions = Extensions::default();
    extensions.insert(Hook::new(Signs));
    context.with_extensions(extensions)
}

#[test]
fn within_the_service_each_request_is_signed_anew() {
    run(async {
        let server = moved("302 X", "/b").await;
        let settings = format!("url = \"http://{}\"\nhttp.redirects = 1", server.address);
        let client = Client::open(&settings, signed).await;
        get(&client).await.unwrap();
        let received = server.received();
        let signed: Vec<_> = received.iter().map(|received| received.header("x-signature")).collect();
        assert_eq!(signed, [Some("of /a?q=1"), Some("of /b")]);
    });
}

/// What another server is told, by way of a redirect from one that has secrets of all kinds.
async fn elsewhere(allowed: bool) -> (Result<(), Failure>, Vec<Received>, usize) {
    let other = Server::start(|_, _| done()).await;
    let to = format!("http://{}/x?y", other.address);
    let server = Server::start(move |_, _| redirect("302 Found", &to)).await;
    let allow = if allowed { format!("redirect_to = [\"http://{}\"]", other.address) } else { String::new() };
    let settings = format!(
        "url = \"http://{}\"\n[http]\nredirects = 5\n{allow}\n\
         headers = {{ x-api-key = \"secret-of-the-settings\", user-agent = \"shop/1\" }}\n\
         auth = {{ bearer = {{ env = \"PATH\" }} }}",
        server.address
    );
    let client = Client::open(&settings, signed).await;
    let request = Request::get().path("/a").header("cookie", "secret-of-the-call").header("x-own", "secret");
    let reply = client.send::<Empty>(request).await;
    (reply, other.received(), server.received().len())
}

#[test]
fn another_server_is_told_nothing_that_was_meant_for_the_service() {
    run(async {
        let (reply, received, _) = elsewhere(true).await;
        reply.unwrap();
        let [received] = &received[..] else { panic!("{received:?}") };
        assert_eq!(received.line, "GET /x?y HTTP/1.1");
        let mut names: Vec<_> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "date", "host", "user-agent", "x-seawall-deadline-ms"]);
        assert!(!format!("{received:?}").contains("secret"));
    });
}

#[test]
fn a_server_that_is_not_named_is_not_even_connected_to() {
    run(async {
        let (reply, received, asked) = elsewhere(false).await;
        let failure = reply.unwrap_err();
        assert!(failure.to_string().contains("`http.redirect_to` does not name"), "{failure}");
        assert_eq!((received.len(), asked, failure.blame()), (0, 1, Blame::Caller));
    });
}

#[test]
fn who_has_left_the_service_comes_back_without_credentials() {
    run(async {
        let own = Server::start(|_, _| done()).await;
        // The other one sends back to where only the service's own credentials are let in.
        let back = format!("http://{}/admin", own.address);
        let other = Server::start(move |_, _| redirect("302 Found", &back)).await;
        let to = format!("http://{}/", other.address);
        let first = Server::start(move |_, _| redirect("302 Found", &to)).await;
        let settings = format!(
            "urls = [\"http://{}\", \"http://{}\"]\n[http]\nredirects = 5\nredirect_to = [\"http://{}\"]\n\
             headers = {{ x-api-key = \"secret\" }}",
            first.address, own.address, other.address
        );
        let client = Client::open(&settings, |context| context).await;
        client.send::<Empty>(Request::get().path("/")).await.unwrap();
        assert_eq!(first.last().header("x-api-key"), Some("secret"));
        let admin = own.last();
        assert_eq!((admin.line.as_str(), admin.header("x-api-key")), ("GET /admin HTTP/1.1", None));
    });
}

#[test]
fn an_endpoint_of_the_service_is_the_service() {
    run(async {
        let leader = Server::start(|_, _| done()).await;
        let to = format!("http://{}/a", leader.address);
        let follower = Server::start(move |_, _| redirect("307 X", &to)).await;
        let settings = format!(
            "urls = [\"http://{}\", \"http://{}\"]\n[http]\nredirects = 1\nheaders = {{ x-api-key = \"k\" }}",
            follower.address, leader.address
        );
        let client = Client::open(&settings, |context| context).await;
        client.http.send::<Empty>(Request::put().path("/a").json(&7), &attempt()).await.unwrap();
        let received = leader.last();
        assert_eq!((received.body.as_slice(), received.header("x-api-key")), (&b"7"[..], Some("k")));
        assert_eq!(received.header("host"), Some(leader.address.to_string().as_str()));
    });
}

#[test]
fn circles_end_at_once_and_long_ways_at_their_limit() {
    run(async {
        let circle = Server::start(|_, _| redirect("302 X", "/a?q=1")).await;
        let failure = get(&circle.client_with("http.redirects = 5").await).await.unwrap_err();
        assert_eq!((failure.blame(), failure.get_code()), (Blame::Downstream, Some("redirects")));
        assert!(failure.to_string().contains("in a circle"), "{failure}");
        assert_eq!(circle.received().len(), 1);

        let endless = Server::start(|number, _| redirect("302 X", &format!("/{number}?token=hunter2"))).await;
        let failure = get(&endless.client_with("http.redirects = 5").await).await.unwrap_err();
        assert_eq!(endless.received().len(), 6);
        let text = chain(&failure);
        assert!(text.contains("one more than 5 (`http.redirects`)") && !text.contains("hunter2"), "{text}");
    });
}

#[test]
fn the_body_of_a_redirect_is_not_waited_for_and_all_is_one_attempt() {
    run(async {
        let server = Server::start(|number, _| match number {
            0 => {
                Reaction::Hang(b"HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 99999999\r\n\r\n".to_vec())
            }
            _ => Reaction::Hang(Vec::new()),
        })
        .await;
        let client = server.client_with("http.redirects = 5").await;
        let began = Instant::now();
        let attempt = Attempt::new("users", "X", began + Duration::from_millis(400));
        let sent = client.http.send::<Empty>(Request::get().path("/a"), &attempt);
        assert!(tokio::time::timeout_at(attempt.deadline(), sent).await.is_err());
        let received = server.received();
        assert_eq!(
            (received.len(), received[1].connection),
            (2, 1),
            "the second went over another connection"
        );
        let left = |at: usize| received[at].header("x-seawall-deadline-ms").unwrap().parse::<u64>().unwrap();
        assert!(left(1) <= left(0) && left(0) <= 400);
    });
}

#[test]
fn what_may_be_set_is_said() {
    let wrong = |text: &str| toml::from_str::<seawall_http::HttpSettings>(text).unwrap_err().to_string();
    for (settings, part) in [
        ("redirects = 6", "6 redirects are too many"),
        ("redirect_to = [\"https://files\"]", "set `http.redirects`"),
        ("redirects = 1\nredirect_to = [\"http://files\"]", "never followed from https:// to http://"),
        ("redirects = 1\nredirect_to = [\"https://users\"]", "which is the service itself"),
        ("redirects = 1\nredirect_to = [\"https://files/x\"]", "has a path"),
        ("redirects = 1\nredirect_to = [\"https://a\", \"https://a:443/\"]", "is there twice"),
        ("redirects = 1\nredirect_to = [\"files\"]", "has no scheme"),
        ("version = \"2\"", "HTTP/2 is not spoken"),
        ("version = \"3\"", "\"3\" is not spoken"),
    ] {
        let text = wrong(&format!("url = \"https://users\"\n[http]\n{settings}"));
        assert!(text.contains(part), "{settings}: {text}");
    }
    for well in ["redirects = 5\nredirect_to = [\"https://files:8443/\"]", "version = \"1.1\""] {
        let read: Result<seawall_http::HttpSettings, _> =
            toml::from_str(&format!("url = \"https://users\"\n[http]\n{well}"));
        read.unwrap();
    }
}
