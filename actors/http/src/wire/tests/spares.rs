use super::{server::Server, *};

fn warm(server: &Server, least: usize) -> WireSettings {
    WireSettings { min_idle: least, ..settings(&server.url) }
}

#[test]
fn connections_are_made_before_a_request_asks() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(warm(&server, 2), permits(20));
        until("they are made", || client.wires().permits().idle() == 2).await;
        assert_eq!((server.accepted(), server.requests()), (2, 0));
        let (exchange, answer) = client.get("/ok").await;
        assert_eq!(answer.unwrap(), "fine");
        assert!(exchange.reused(), "it may have ended since, as an idle one may");
        until("what was taken is replaced", || server.accepted() == 3).await;
        drop((exchange, client));
        until("they are closed with their client", || server.open() == 0).await;
    });
}

#[test]
fn without_the_setting_none_is_made() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(warm(&server, 0), permits(20));
        client.ok().await;
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn there_are_never_more_than_may_be_open() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(warm(&server, 3), permits(3));
        until("they are made", || client.wires().permits().idle() == 3).await;
        let all = futures_util::future::join_all((0..6).map(|_| client.get("/ok")));
        assert!(all.await.into_iter().all(|(_, answer)| answer.is_ok()));
        assert_eq!((server.accepted(), client.wires().permits().in_use()), (3, 3));
    });
}

#[test]
fn there_are_never_more_than_may_be_idle() {
    run(async {
        let server = Server::plain().await;
        // Rounded up, each of the three would have two; the process has room for four.
        let settings = WireSettings { max_idle: 4, ..warm(&server, 4) };
        let wires = Wires::new(settings, permits_of(20, 20, Duration::from_secs(2))).unwrap();
        let clients = [(); 3].map(|()| Client::of(&wires));
        until("they are made", || wires.permits().idle() == 4).await;
        clients[2].ok().await;
        until("there are as many again", || wires.permits().idle() == 4).await;
        until("the server sees no more", || server.open() == 4).await;
    });
}

#[test]
fn another_thread_that_waits_is_given_one() {
    run(async {
        let server = Server::plain().await;
        let rich = Client::new(warm(&server, 2), permits(2));
        until("they are made", || rich.wires().permits().idle() == 2).await;
        let poor = Client::of(rich.wires());
        poor.ok().await;
        assert!(rich.wires().counts().closed_given_up >= 1);
        rich.ok().await;
    });
}

#[test]
fn one_that_is_too_old_is_replaced_and_none_once_retired() {
    run(async {
        let server = Server::plain().await;
        let settings = WireSettings { lifetime: Duration::from_secs(10), ..warm(&server, 1) };
        let client = Client::new(settings, permits(20));
        until("it is made", || client.wires().permits().idle() == 1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(10_100)).await;
        until_paused("it is replaced", || server.accepted() == 2 && server.open() == 1).await;
        assert_eq!(client.wires().counts().closed_lifetime, 1);
        tokio::time::resume();
        client.wire.retire();
        until("it is closed", || server.open() == 0).await;
        assert_eq!(client.wires().permits().in_use(), 0);
    });
}

#[test]
fn a_server_that_takes_none_is_asked_ever_more_rarely() {
    run(async {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", gone.local_addr().unwrap());
        drop(gone);
        let client = Client::new(WireSettings { min_idle: 5, ..settings(&url) }, permits(20));
        until("the first is refused", || client.wires().counts().refused == 1).await;
        tokio::time::pause();
        // After 100 ms, 200 ms, and so on: seven more in 20 seconds.
        for _ in 0..200 {
            tokio::time::advance(Duration::from_millis(100)).await;
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        }
        let refused = client.wires().counts().refused;
        assert!((2..=8).contains(&refused), "{refused}");
        assert_eq!(client.wires().permits().in_use(), 0, "none is held while it waits");
    });
}
