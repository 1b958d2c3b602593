//! What snapshots and metrics tell of a service's connections.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use seawall::{Runtime, Service, runtime::PoolSnapshot};
use seawall_http::{Http, HttpCall};
use support::{Reaction, Server, answer, run};

#[derive(HttpCall)]
#[http(get = "/{id}", reply = ())]
struct Get {
    id: u64,
}

async fn runtime(server: &Server, more: &str) -> Runtime {
    let settings = format!("[services.users]\nkind = \"http\"\nurl = \"http://{}\"\n{more}", server.address);
    Runtime::builder().kind::<Http>().parse(settings).unwrap().start().await.unwrap()
}

fn pool(runtime: &Runtime) -> PoolSnapshot {
    runtime.snapshot().service("users").unwrap().pool.unwrap()
}

#[test]
fn a_snapshot_tells_what_the_connections_do() {
    run(async {
        let server = Server::answering(answer("200 OK", "", "")).await;
        let runtime =
            runtime(&server, "pool.max = 1\nbulkhead.max_in_flight = 2\nstartup.mode = \"lazy\"").await;
        assert!(runtime.snapshot().service("users").unwrap().pool.is_none(), "nothing was opened yet");
        let users: Service<Http> = runtime.service("users").unwrap();
        let (one, other) = tokio::join!(users.send(Get { id: 1 }), users.send(Get { id: 2 }));
        one.unwrap();
        other.unwrap();
        let pool = pool(&runtime);
        assert_eq!((pool.max, pool.open, pool.idle, pool.in_use, pool.waiting), (1, 1, 1, 0, 0));
        assert_eq!((pool.created, pool.closed, pool.reused, pool.timeouts), (1, 0, 1, 0));
        assert!(pool.create.p50_us > 0 && pool.wait.p50_us > 0, "{pool:?}");
        runtime.drain().await;
    });
}

#[test]
fn who_gives_up_waiting_is_counted() {
    run(async {
        let server = Server::start(|_, _| Reaction::Hang(Vec::new())).await;
        let settings =
            "pool = { max = 1, acquire_timeout = \"50ms\" }\nbulkhead.max_in_flight = 2\nretry = false";
        let runtime = runtime(&server, settings).await;
        let users: Service<Http> = runtime.service("users").unwrap();
        let hangs = actix_rt::spawn({
            let users = users.clone();
            async move { users.send(Get { id: 1 }).await.map(drop) }
        });
        while server.received().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        users.send(Get { id: 2 }).await.unwrap_err();
        let pool = pool(&runtime);
        assert_eq!((pool.open, pool.in_use, pool.timeouts), (1, 1, 1));
        assert!(pool.wait.p50_us >= 50_000, "{pool:?}");
        hangs.abort();
        runtime.drain().await;
    });
}

#[test]
fn the_names_of_a_pools_metrics_are_pinned() {
    run(async {
        let server = Server::answering(answer("200 OK", "", "")).await;
        let runtime = runtime(&server, "").await;
        let users: Service<Http> = runtime.service("users").unwrap();
        users.send(Get { id: 1 }).await.unwrap();
        let metrics = runtime.metrics();
        let told: Vec<_> = metrics
            .lines()
            .filter(|line| line.starts_with("db_client_") && !line.contains("create_time"))
            .collect();
        assert_eq!(
            told,
            [
                r#"db_client_connection_count{service="users",state="idle"} 1"#,
                r#"db_client_connection_count{service="users",state="used"} 0"#,
                r#"db_client_connection_max{service="users"} 20"#,
                r#"db_client_connection_pending_requests{service="users"} 0"#,
                r#"db_client_connection_timeouts_total{service="users"} 0"#,
            ]
        );
        assert!(metrics.contains(r#"db_client_connection_create_time_seconds_count{service="users"} 1"#));
        runtime.drain().await;
    });
}
