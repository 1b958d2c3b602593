//! What an attempt is known to do, and what is learnt from one that hangs.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{cell::Cell, rc::Rc, time::Duration};

use seawall::{
    call::Attempt,
    downstream::{Downstream as _, OpenContext, PoolSettings, Stage},
};
use seawall_http::{Empty, Http, Request};
use support::{Client, Reaction, Server, answer, run};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout_at},
};

fn get() -> Request {
    Request::get().path("/")
}

/// Gives an attempt up at its deadline, as the pipeline does.
async fn give_up(client: &Client, after: Duration) -> Stage {
    let attempt = Attempt::new("users", "GetUser", Instant::now() + after);
    let given_up = timeout_at(attempt.deadline(), client.http.send::<Empty>(get(), &attempt)).await;
    assert!(given_up.is_err());
    attempt.stage()
}

const SOON: Duration = Duration::from_millis(30);

#[test]
fn the_stage_of_an_attempt_is_known() {
    run(async {
        let silent = Server::start(|_, _| Reaction::Hang(Vec::new())).await;
        assert_eq!(give_up(&silent.client().await, SOON).await, Stage::Attempt);
        let half =
            Server::start(|_, _| Reaction::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab".into()))
                .await;
        assert_eq!(give_up(&half.client().await, SOON).await, Stage::Body);
        // Takes connections and says nothing in TLS.
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("url = \"https://{}\"", mute.local_addr().unwrap());
        let client = Client::open(&url, |context| context).await;
        assert_eq!(give_up(&client, SOON).await, Stage::Connect);
    });
}

#[test]
fn who_waits_for_the_pool_is_not_connecting() {
    run(async {
        let server = Server::start(|_, _| Reaction::Hang(Vec::new())).await;
        let pool = PoolSettings { max: 1, ..PoolSettings::default() };
        let context = OpenContext::new("users", Duration::from_secs(1), pool);
        let settings = toml::from_str(&format!("url = \"http://{}\"", server.address)).unwrap();
        let client = Client { http: Http::open(&settings, &context).await.unwrap() };
        let (first, second) = tokio::join!(give_up(&client, SOON), give_up(&client, SOON));
        assert_eq!((first, second), (Stage::Attempt, Stage::Pool));
    });
}

/// A server that, once it has vanished, reads and never answers on the connections it has.
async fn vanishing() -> (Server, Rc<Cell<bool>>) {
    let vanished = Rc::new(Cell::new(false));
    let flag = vanished.clone();
    let server = Server::start(move |_, received| match flag.get() && received.connection < 2 {
        true => Reaction::Hang(Vec::new()),
        false => Reaction::Write(answer("200 OK", "", "")),
    })
    .await;
    (server, vanished)
}

#[test]
fn a_host_that_vanished_costs_one_call_its_time() {
    run(async {
        let (server, vanished) = vanishing().await;
        let client = server.client().await;
        let (a, b) = tokio::join!(client.send::<Empty>(get()), client.send::<Empty>(get()));
        assert!(a.is_ok() && b.is_ok());
        vanished.set(true);
        give_up(&client, SOON).await;
        client.send::<Empty>(get()).await.unwrap();
        assert_eq!(server.last().connection, 2);
    });
}

#[test]
fn a_slow_call_does_not_cost_the_others_their_connections() {
    run(async {
        let (server, vanished) = vanishing().await;
        let client = server.client().await;
        let (a, b) = tokio::join!(client.send::<Empty>(get()), client.send::<Empty>(get()));
        assert!(a.is_ok() && b.is_ok());
        vanished.set(true);
        let others = async {
            while server.received().len() < 3 {
                tokio::task::yield_now().await;
            }
            vanished.set(false);
            client.send::<Empty>(get()).await.unwrap();
        };
        tokio::join!(give_up(&client, SOON), others);
        client.send::<Empty>(get()).await.unwrap();
        assert!(server.last().connection < 2, "another was answered meanwhile");
    });
}
