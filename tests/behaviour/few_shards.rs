//! `pool.shards`: a few shards on threads of the runtime's own serve all callers.

use seawall::{Runtime, Service};
use seawall_testkit::{Ask, Scripted};

use crate::support::replies;

async fn start(shards: &str) -> (Runtime, Service<Scripted>) {
    let settings = format!(
        "[runtime]\narbiters = 3\n[services.users]\nkind = \"scripted\"\npool = {{ shards = {shards} }}\nstartup = {{ mode = \"lazy\" }}"
    );
    let runtime = Runtime::builder()
        .kind::<Scripted>()
        .extension("users", replies())
        .parse(settings)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let users = runtime.service("users").expect("it is there");
    (runtime, users)
}

/// The threads of the shards after calls from six arbiters and from this one.
async fn threads(shards: &str) -> Vec<String> {
    let (runtime, users) = start(shards).await;
    users.send(Ask(0)).await.expect("it answers");
    for id in 1..=6 {
        let arbiter = actix_rt::Arbiter::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let there = users.clone();
        arbiter.spawn(async move {
            let _ = done.send(there.send(Ask(id)).await.map(|answer| answer.id));
        });
        assert_eq!(ended.await.expect("it ends").expect("it answers"), id);
        arbiter.stop();
        arbiter.join().expect("it ends well");
    }
    let mut threads: Vec<_> =
        runtime.snapshot().services[0].shards.iter().map(|shard| shard.thread.to_string()).collect();
    threads.sort();
    assert_eq!(runtime.drain().await.cut_off, 0);
    threads
}

#[test]
fn a_few_shards_serve_callers_on_any_thread() {
    actix_rt::System::new().block_on(async {
        for (shards, most) in [("1", 1), ("2", 2), ("1024", 3)] {
            let threads = threads(shards).await;
            assert!((1..=most).contains(&threads.len()), "{shards}: {threads:?}");
            assert!(threads.iter().all(|thread| thread.starts_with("seawall-")), "{shards}: {threads:?}");
        }
    });
}

#[test]
fn by_default_each_thread_that_calls_has_one() {
    actix_rt::System::new().block_on(async {
        let threads = threads("\"per_thread\"").await;
        assert!(threads.iter().all(|thread| !thread.starts_with("seawall-")), "{threads:?}");
    });
}

#[test]
fn the_thread_of_a_caller_may_end_while_others_go_on() {
    actix_rt::System::new().block_on(async {
        let (runtime, users) = start("1").await;
        let arbiter = actix_rt::Arbiter::new();
        let (done, ended) = tokio::sync::oneshot::channel();
        let there = users.clone();
        arbiter.spawn(async move {
            let _ = done.send(there.send(Ask(1)).await.map(drop));
        });
        ended.await.expect("it ends").expect("it answers");
        arbiter.stop();
        arbiter.join().expect("it ends well");
        users.send(Ask(2)).await.expect("it answers");
        let shards = &runtime.snapshot().services[0].shards;
        assert_eq!((shards.len(), shards[0].state), (1, "open"), "the shard did not notice");
        runtime.drain().await;
    });
}
