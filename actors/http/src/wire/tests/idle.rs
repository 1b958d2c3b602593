use std::time::Duration;

use super::{server::Server, *};

/// Lets everything run that can, while the clock stands.
async fn turns() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

async fn paused_after_one_request(settings: impl FnOnce(&mut WireSettings)) -> (Server, Client) {
    let server = Server::plain().await;
    let mut wire = super::settings(&server.url);
    settings(&mut wire);
    let client = Client::new(wire, permits(20));
    client.ok().await;
    tokio::time::pause();
    (server, client)
}

#[test]
fn bare_awc_keeps_idle_connections_for_ever() {
    run(async {
        let server = Server::plain().await;
        let client = awc::Client::default();
        let mut response = client.get(format!("{}/ok", server.url)).send().await.unwrap();
        response.body().await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(24 * 3600)).await;
        turns().await;
        assert_eq!(server.open(), 1);
    });
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_over_and_not_before() {
    run(async {
        let (server, client) = paused_after_one_request(|_| {}).await;
        assert_eq!((client.wires().permits().idle(), client.wires().permits().in_use()), (1, 1));
        tokio::time::advance(Duration::from_millis(29_900)).await;
        turns().await;
        assert_eq!(server.open(), 1);
        tokio::time::advance(Duration::from_millis(200)).await;
        until_paused("the server sees it close", || server.open() == 0).await;
        assert_eq!((client.wires().permits().idle(), client.wires().permits().in_use()), (0, 0));
        assert_eq!(client.wires().counts().closed_idle, 1);
        tokio::time::resume();
        client.ok().await;
        assert_eq!(server.accepted(), 2);
    });
}

#[test]
fn an_old_connection_is_closed_once_idle() {
    run(async {
        let (server, client) = paused_after_one_request(|wire| wire.lifetime = Duration::from_secs(10)).await;
        tokio::time::advance(Duration::from_millis(10_100)).await;
        until_paused("the server sees it close", || server.open() == 0).await;
        assert_eq!(client.wires().counts().closed_lifetime, 1);
    });
}

#[test]
fn a_connection_that_outlived_its_time_under_a_request_is_closed_after_it() {
    run(async {
        let (server, client) = paused_after_one_request(|wire| wire.lifetime = Duration::from_secs(10)).await;
        tokio::time::resume();
        let exchange = Exchange::new();
        let answer = async {
            let mut answer = exchange.send(client.send("/wait")).await.unwrap();
            read(&mut answer).await
        };
        let later = async {
            until("it arrives", || server.requests() == 2).await;
            tokio::time::pause();
            // Far past idle timeout and lifetime: an unanswered request is in use, however long it takes.
            tokio::time::advance(Duration::from_secs(3600)).await;
            turns().await;
            assert_eq!((server.open(), client.wires().counts().closed), (1, 0));
            tokio::time::resume();
            server.go();
        };
        let (body, ()) = tokio::join!(answer, later);
        assert_eq!(body, "fine");
        until("the server sees it close", || server.open() == 0).await;
        assert_eq!(client.wires().counts().closed_lifetime, 1);
    });
}

#[test]
fn an_answer_half_read_is_in_use() {
    run(async {
        let (server, client) =
            paused_after_one_request(|wire| wire.lifetime = Duration::from_secs(24 * 3600)).await;
        tokio::time::resume();
        let exchange = Exchange::new();
        let mut answer = exchange.send(client.send("/half")).await.unwrap();
        drop(exchange);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(3600)).await;
        turns().await;
        assert_eq!(client.wires().permits().idle(), 0);
        tokio::time::resume();
        server.go();
        assert_eq!(read(&mut answer).await, "fine");
        drop(answer);
        assert_eq!((server.open(), client.wires().permits().idle()), (1, 1));
    });
}

#[test]
fn a_connection_that_the_server_closes_while_idle_does_not_stay_half_closed() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(20));
        let (_, answer) = client.get("/ok-then-close").await;
        assert_eq!(answer.unwrap(), "fine");
        assert_eq!(client.wires().permits().idle(), 1);
        server.go();
        until("it is noticed", || client.wires().counts().closed_by_server == 1).await;
        assert_eq!(client.wires().permits().in_use(), 0);
        // And watched from then on, not only looked at once.
        client.get("/ok-then-close").await.1.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(1_100)).await;
        turns().await;
        assert_eq!(client.wires().permits().idle(), 1);
        server.go();
        until_paused("it is noticed at once", || client.wires().counts().closed_by_server == 2).await;
    });
}

#[test]
fn no_more_idle_connections_are_kept_than_may_be() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(
            WireSettings { max_idle: 2, ..settings(&server.url) },
            permits_of(20, 20, Duration::ZERO),
        );
        let (arrived, all) = (5, futures_util::future::join_all((0..5).map(|_| client.get("/wait"))));
        let (answers, ()) = tokio::join!(all, async {
            until("all arrive", || server.requests() == arrived).await;
            server.go();
        });
        assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
        drop(answers);
        assert_eq!(client.wires().permits().idle(), 2);
        assert_eq!(client.wires().counts().closed_surplus, 3);
        until("the server sees them close", || server.open() == 2).await;
    });
}

/// As many requests at once, each over a connection of its own.
async fn at_once(server: &Server, client: &Client, requests: usize) {
    let before = server.requests();
    let all = futures_util::future::join_all((0..requests).map(|_| client.get("/wait")));
    let (answers, ()) = tokio::join!(all, async {
        until("all arrive", || server.requests() == before + requests).await;
        server.go();
    });
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()));
}

#[test]
fn the_limit_of_idle_connections_is_the_processs_and_who_has_most_of_them_closes_one() {
    run(async {
        let server = Server::plain().await;
        let settings = WireSettings { max_idle: 4, ..settings(&server.url) };
        let wires = Wires::new(settings, permits_of(20, 20, Duration::ZERO)).unwrap();
        let (one, other) = (Client::of(&wires), Client::of(&wires));
        at_once(&server, &one, 4).await;
        assert_eq!((wires.permits().idle(), wires.counts().closed), (4, 0));
        at_once(&server, &other, 3).await;
        until("the process is within its limit", || wires.permits().idle() == 4).await;
        until("the server sees them close", || server.open() == 4).await;
        // Had each closed its own, the second would have none: every request of its would be a handshake.
        let made = wires.counts().created;
        at_once(&server, &other, 2).await;
        assert_eq!(wires.counts().created, made);
        assert_eq!((wires.counts().closed_surplus, wires.permits().idle()), (3, 4));
    });
}

#[test]
fn dropping_the_client_closes_everything() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(20));
        client.ok().await;
        let wires = client.wires().clone();
        drop(client);
        assert_eq!((wires.permits().in_use(), wires.permits().idle()), (0, 0));
        until("the server sees it close", || server.open() == 0).await;
    });
}
