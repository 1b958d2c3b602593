//! Calls from every kind of thread.

use std::time::Duration;

use futures_util::FutureExt;
use seawall::{Runtime, call::Reason, telemetry::What};
use seawall_testkit::{Ask, Behaviour, Echo, Reaction, Scripted};

use crate::support::replies;

async fn start(behaviour: &Behaviour) -> Runtime {
    Runtime::builder()
        .kind::<Scripted>()
        .extension("users", behaviour.clone())
        .parse("[runtime]\nwatchdog = \"200ms\"\n[services.users]\nkind = \"scripted\"\nstartup = { mode = \"lazy\" }")
        .expect("TOML")
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn threads(runtime: &Runtime) -> Vec<String> {
    let mut threads: Vec<_> =
        runtime.snapshot().services[0].shards.iter().map(|shard| shard.thread.to_string()).collect();
    threads.sort();
    threads
}

#[test]
fn an_arbiters_calls_stay_on_its_thread() {
    actix_rt::System::new().block_on(async {
        let runtime = start(&replies()).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        users.send(Ask(1)).await.expect("it answers");
        let here = std::thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(threads(&runtime), std::slice::from_ref(&here));

        let arbiter = actix_rt::Arbiter::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let there = users.clone();
        arbiter.spawn(async move {
            let answer = there.send(Ask(2)).await.map(|answer| answer.id);
            let _ = done.send((answer, std::thread::current().name().unwrap_or_default().to_owned()));
        });
        let (answer, thread) = ended.await.expect("it ends");
        assert_eq!(answer.expect("it answers"), 2);
        let mut expected = [here, thread];
        expected.sort();
        assert_eq!(threads(&runtime), expected);
        arbiter.stop();
        runtime.drain().await;
    });
}

/// The first call of a thread came from a task made with `tokio::spawn` (a load for the cache is one), and panicked since
/// such a task cannot spawn local ones, though its thread can.
#[test]
fn an_arbiters_first_call_may_come_from_a_task_that_is_not_local() {
    actix_rt::System::new().block_on(async {
        let runtime = start(&replies()).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        let arbiter = actix_rt::Arbiter::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        arbiter.spawn_fn(move || {
            seawall::spawn(async move {
                let answer = users.send(Ask(1)).await.map(|answer| answer.id);
                let _ = done.send((answer, std::thread::current().name().unwrap_or_default().to_owned()));
            });
        });
        let (answer, thread) = ended.await.expect("it ends");
        assert_eq!(answer.expect("it answers"), 1);
        assert_eq!(threads(&runtime), [thread]);
        arbiter.stop();
        runtime.drain().await;
    });
}

#[test]
fn multi_threaded_tokio_is_served_by_the_runtimes_own_threads() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let runtime = start(&replies()).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        let calls: Vec<_> = (0..100)
            .map(|id| {
                let users = users.clone();
                tokio::spawn(async move { users.send(Ask(id)).await.expect("it answers").id })
            })
            .collect();
        for (id, call) in (0..).zip(calls) {
            assert_eq!(call.await.expect("it does not panic"), id);
        }
        assert!(
            threads(&runtime).iter().all(|thread| thread.starts_with("seawall-")),
            "{:?}",
            threads(&runtime)
        );
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}

#[test]
fn a_thread_without_a_runtime_is_told_so() {
    let system = actix_rt::System::new();
    let runtime = system.block_on(start(&replies()));
    let users = runtime.service::<Scripted>("users").expect("there");
    let error =
        std::thread::spawn(move || users.send(Ask(1)).now_or_never()).join().expect("it does not panic");
    let error = error.expect("it does not wait").expect_err("it has nothing to wait in");
    assert!(matches!(error.reason(), Some(Reason::NoRuntime)), "{error:?}");
    system.block_on(runtime.drain());
}

#[test]
fn a_fallback_that_is_a_future_needs_a_runtime_and_says_so() {
    let system = actix_rt::System::new();
    let runtime = system.block_on(start(&replies()));
    let users = runtime.service::<Scripted>("users").expect("there");
    let send = move || {
        users.send(Ask(1)).fallback(|_| async { Echo { id: 1, serial: 0, number: 0 } }).now_or_never()
    };
    let error = std::thread::spawn(send).join().expect("it does not panic");
    let error = error.expect("it does not wait").expect_err("it has nothing to wait in");
    assert!(error.to_string().contains("no async runtime to wait in"), "{error}");
    system.block_on(runtime.drain());
}

#[test]
fn a_blocked_thread_is_named_and_told_when_it_is_back() {
    actix_rt::System::new().block_on(async {
        let behaviour = Behaviour::new(|asked| match asked.id {
            0 => Reaction::Reply,
            _ => Reaction::Block(Duration::from_secs(1)),
        });
        let runtime = start(&behaviour).await;
        let mut events = runtime.events();
        let users = runtime.service::<Scripted>("users").expect("there");
        let arbiter = actix_rt::Arbiter::new();
        arbiter.spawn(async move {
            users.send(Ask(0)).await.expect("it answers");
            let _ = users.send(Ask(1)).await;
        });
        let told = async {
            let mut stalled = None;
            while let Some(event) = events.next().await {
                match event.what {
                    What::ThreadStalled { thread, .. } => stalled = Some(thread),
                    What::ThreadRecovered { thread, blocked } => return (stalled, thread, blocked),
                    _ => {}
                }
            }
            panic!("the events ended")
        };
        let (stalled, recovered, blocked) =
            tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told");
        assert_eq!(stalled.as_deref(), Some(&*recovered));
        assert!(recovered.contains("arbiter"), "{recovered}");
        assert!(blocked >= Duration::from_millis(500), "{blocked:?}");
        assert_eq!(runtime.snapshot().threads_stalled, 1);
        arbiter.stop();
        runtime.drain().await;
    });
}

#[test]
fn the_runtimes_own_thread_that_dies_is_replaced_and_handles_keep_working() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let behaviour = replies();
        let runtime = start(&behaviour).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        users.send(Ask(1)).await.expect("it answers");
        let (killed, dead) = tokio::sync::oneshot::channel();
        let killed = std::sync::Arc::new(parking_lot::Mutex::new(Some(killed)));
        behaviour.react(move |_| {
            if let Some(killed) = killed.lock().take() {
                actix_rt::System::current().stop();
                let _ = killed.send(());
                return Reaction::Hang;
            }
            Reaction::Reply
        });
        users.send(Ask(2)).await.expect("it is idempotent, and made again on the next thread");
        dead.await.expect("the first one was killed");
        users.send(Ask(3)).await.expect("it answers");
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}

/// A page that makes a cached call, whose load is a task, and one that is not.
async fn page(users: actix_web::web::Data<seawall::Service<Scripted>>) -> Result<String, seawall::CallError> {
    let looked_up = users.send(seawall_testkit::Lookup(1)).await?;
    let asked = users.send(Ask(2)).await?;
    Ok(format!("{} {}", looked_up.id, asked.id))
}

/// Serves pages on two workers, and asks for so many that both are busy; on which threads the shards are.
async fn shards_of_a_server() -> Vec<String> {
    use actix_web::{App, HttpServer, web};

    let runtime = start(&replies()).await;
    let users = runtime.service::<Scripted>("users").expect("there");
    let server = HttpServer::new(move || {
        App::new().app_data(web::Data::new(users.clone())).route("/", web::get().to(page))
    })
    .workers(2)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .expect("a port is free");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let served = tokio::spawn(server);
    for _ in 0..16 {
        let body = tokio::task::spawn_blocking(move || get(address)).await.expect("it does not panic");
        assert!(body.ends_with("1 2"), "{body}");
    }
    let threads = threads(&runtime);
    handle.stop(true).await;
    served.await.expect("it does not panic").expect("it ends well");
    assert_eq!(runtime.drain().await.cut_off, 0);
    threads
}

fn get(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn handlers_under_actix_webs_main_are_served_on_their_own_workers() {
    let threads = actix_rt::System::new().block_on(shards_of_a_server());
    assert!(threads.iter().all(|thread| !thread.starts_with("seawall-")), "{threads:?}");
    assert!((1..=2).contains(&threads.len()), "{threads:?}");
}

#[test]
fn handlers_under_tokios_main_are_served_on_their_own_workers_too() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    let threads = tokio.block_on(shards_of_a_server());
    assert!(threads.iter().all(|thread| !thread.starts_with("seawall-")), "{threads:?}");
    assert!((1..=2).contains(&threads.len()), "{threads:?}");
}
