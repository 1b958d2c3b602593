use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{server::Server, *};

#[test]
fn bare_awc_limits_each_client_and_calls_a_full_pool_a_timeout() {
    run(async {
        let server = Server::plain().await;
        let client = || {
            awc::Client::builder()
                .connector(awc::Connector::new().limit(1))
                .timeout(Duration::from_millis(100))
                .finish()
        };
        let (a, b) = (client(), client());
        let wait = format!("{}/wait", server.url);
        let (first, second, third) =
            tokio::join!(a.get(&wait).send(), b.get(&wait).send(), a.get(&wait).send());
        assert_eq!(server.accepted(), 2, "the limit is a client's");
        for answer in [first.map(drop), second.map(drop), third.map(drop)] {
            assert!(matches!(answer, Err(SendRequestError::Timeout)), "a full pool looks like a slow server");
        }
    });
}

#[test]
fn two_threads_share_one_limit_and_a_full_pool_is_told_in_time() {
    run(async {
        let server = Server::plain().await;
        let wires = Wires::new(settings(&server.url), permits_of(1, 1, Duration::from_millis(50))).unwrap();
        let (one, other) = (Client::of(&wires), Client::of(&wires));
        let holding = async {
            let (_, answer) = one.get("/wait").await;
            answer.unwrap()
        };
        let refused = async {
            until("the first arrives", || server.requests() == 1).await;
            let started = Instant::now();
            let error = other.fails().await;
            assert!(matches!(cause(&error), Cause::PoolTimeout { max: 1, .. }), "{error:?}");
            assert!(error.to_string().contains("pool.max"), "{error}");
            assert!(started.elapsed() >= Duration::from_millis(50));
            assert!(started.elapsed() < Duration::from_millis(500));
            server.go();
        };
        let (body, ()) = tokio::join!(holding, refused);
        assert_eq!(body, "fine");
        assert_eq!((server.accepted(), wires.counts().pool_timeouts), (1, 1));
    });
}

#[test]
fn within_one_thread_too() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits_of(1, 1, Duration::from_millis(50)));
        let refused = async {
            until("the first arrives", || server.requests() == 1).await;
            let error = client.fails().await;
            assert!(matches!(cause(&error), Cause::PoolTimeout { .. }), "{error:?}");
            server.go();
        };
        let ((_, answer), ()) = tokio::join!(client.get("/wait"), refused);
        assert_eq!(answer.unwrap(), "fine");
    });
}

#[test]
fn requests_that_wait_take_over_the_connections_of_their_thread() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(2));
        futures_util::future::join_all((0..20).map(|_| client.ok())).await;
        assert_eq!(server.accepted(), 2);
        let counts = client.wires().counts();
        assert_eq!((counts.created, counts.closed, counts.reused), (2, 0, 18));
        assert_eq!(client.wires().permits().idle(), 2);
    });
}

#[test]
fn steady_overload_of_two_threads_turns_no_request_into_a_handshake() {
    run(async {
        let server = Server::plain().await;
        let wires = Wires::new(settings(&server.url), permits(4)).unwrap();
        let (one, other) = (Client::of(&wires), Client::of(&wires));
        // The first has all four before the second comes, and never a moment without somebody waiting.
        let busy = async |client: &Client| {
            futures_util::future::join_all((0..10).map(async |_| {
                for _ in 0..20 {
                    client.ok().await;
                }
            }))
            .await;
        };
        let late = async {
            until("the first has all", || wires.permits().in_use() == 4).await;
            busy(&other).await;
        };
        tokio::join!(busy(&one), late);
        let counts = wires.counts();
        assert!(counts.created < 40, "{counts:?}");
        assert!(counts.closed_given_up >= 2, "the second got its share: {counts:?}");
    });
}

#[test]
fn a_retired_pool_keeps_nothing() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(2));
        client.ok().await;
        let exchange = Exchange::new();
        let mut answer = exchange.send(client.send("/half")).await.unwrap();
        client.get("/ok").await.1.unwrap();
        assert_eq!((client.wires().permits().in_use(), client.wires().permits().idle()), (2, 1));
        client.wire.retire();
        assert_eq!((client.wires().permits().in_use(), client.wires().permits().idle()), (1, 0));
        server.go();
        assert_eq!(read(&mut answer).await, "fine");
        drop(answer);
        assert_eq!(client.wires().permits().in_use(), 0);
        assert_eq!(client.wires().counts().closed_retired, 2);
    });
}

#[test]
fn an_idle_connection_is_given_up_to_a_thread_that_waits() {
    run(async {
        let server = Server::plain().await;
        let wires = Wires::new(settings(&server.url), permits(1)).unwrap();
        let (one, other) = (Client::of(&wires), Client::of(&wires));
        one.ok().await;
        assert_eq!(wires.permits().idle(), 1);
        other.ok().await;
        one.ok().await;
        assert_eq!((server.accepted(), wires.counts().closed_given_up), (3, 2));
        assert_eq!(wires.permits().in_use(), 1);
    });
}

#[test]
fn a_connection_whose_request_ends_goes_to_who_waits() {
    run(async {
        let server = Server::plain().await;
        let wires = Wires::new(settings(&server.url), permits(1)).unwrap();
        let (one, other) = (Client::of(&wires), Client::of(&wires));
        let holding = async {
            let (_, answer) = one.get("/wait").await;
            answer.unwrap();
        };
        let waiting = async {
            until("the first arrives", || server.requests() == 1).await;
            other.ok().await;
        };
        let watching = async {
            until("the second waits", || wires.permits().waiting() == 1).await;
            server.go();
        };
        tokio::join!(holding, waiting, watching);
        assert_eq!(wires.counts().closed_given_up, 1);
        assert_eq!(wires.permits().waiting(), 0);
    });
}

#[test]
fn for_one_that_waits_one_connection_is_given_up_and_not_two() {
    run(async {
        let server = Server::plain().await;
        let wires = Wires::new(settings(&server.url), permits(2)).unwrap();
        let (one, other) = (Client::of(&wires), Client::of(&wires));
        let both = futures_util::future::join_all([one.get("/wait"), one.get("/wait")]);
        let watching = async {
            until("both arrive", || server.requests() == 2).await;
            until("the third waits", || wires.permits().waiting() == 1).await;
            server.go();
        };
        let waiting = async {
            until("both arrive", || server.requests() == 2).await;
            other.ok().await;
        };
        let (both, (), ()) = tokio::join!(both, waiting, watching);
        assert!(both.iter().all(|(_, answer)| answer.is_ok()));
        assert_eq!(wires.counts().closed_given_up, 1);
        assert_eq!((wires.permits().in_use(), wires.permits().idle()), (2, 2));
    });
}

#[test]
fn across_real_threads_too() {
    run(async {
        let server = Server::plain().await;
        let wires = Wires::new(settings(&server.url), permits(1)).unwrap();
        let here = Client::of(&wires);
        here.ok().await;
        let there = actix_rt::Arbiter::new();
        let (done, seen) = tokio::sync::oneshot::channel();
        let elsewhere = wires.clone();
        there.spawn_fn(move || {
            actix_rt::spawn(async move {
                Client::of(&elsewhere).ok().await;
                let _ = done.send(());
            });
        });
        seen.await.unwrap();
        assert_eq!(wires.counts().closed_given_up, 1);
        there.stop();
        there.join().unwrap();
        until("its connection is gone with it", || wires.permits().in_use() == 0).await;
        here.ok().await;
    });
}

#[test]
fn threads_that_fight_over_too_few_connections_all_get_through() {
    for max in [1, 2, 5] {
        run(async move {
            let server = Server::plain().await;
            let wires = Wires::new(settings(&server.url), permits(max)).unwrap();
            let arbiters: Vec<_> = (0..3).map(|_| actix_rt::Arbiter::new()).collect();
            let mut done = Vec::new();
            for arbiter in &arbiters {
                let (tell, told) = tokio::sync::oneshot::channel();
                done.push(told);
                let wires = wires.clone();
                arbiter.spawn_fn(move || {
                    actix_rt::spawn(async move {
                        let client = Client::of(&wires);
                        futures_util::future::join_all((0..8).map(async |_| {
                            for _ in 0..25 {
                                client.ok().await;
                            }
                        }))
                        .await;
                        let _ = tell.send(());
                    });
                });
            }
            for told in done {
                told.await.expect("a request failed");
            }
            let counts = wires.counts();
            assert_eq!(counts.created + counts.reused, 600, "{counts:?}");
            assert_eq!(wires.permits().waiting(), 0);
            for arbiter in arbiters {
                arbiter.stop();
                arbiter.join().unwrap();
            }
            until("all is given back", || wires.permits().in_use() == 0).await;
        });
    }
}

#[test]
fn permits_come_back_from_requests_that_are_dropped_at_any_point() {
    run(async {
        let server = Server::plain().await;
        let client = Client::new(settings(&server.url), permits(2));
        for polls in 0..12 {
            let mut request = Box::pin(client.get("/wait"));
            for _ in 0..polls {
                assert!((&mut request).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
            drop(request);
            assert_eq!((client.wires().permits().in_use(), client.wires().permits().waiting()), (0, 0));
        }
        client.ok().await;
    });
}

#[test]
fn waiters_are_served_in_order() {
    run(async {
        let server = Server::plain().await;
        let permits = permits(1);
        let wires = Wires::new(settings(&server.url), permits.clone()).unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let first = permits.try_acquire().unwrap();
        let requests = futures_util::future::join_all((0..5).map(|at| {
            let (wires, order) = (&wires, &order);
            async move {
                let client = Client::of(wires);
                client.ok().await;
                order.borrow_mut().push(at);
            }
        }));
        let (_, ()) = tokio::join!(requests, async {
            until("all wait", || permits.waiting() == 5).await;
            drop(first);
        });
        assert_eq!(order.into_inner(), [0, 1, 2, 3, 4]);
    });
}
