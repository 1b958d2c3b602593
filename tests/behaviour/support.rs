//! What the modules share.

use std::time::Duration;

use seawall::{
    Failure, Runtime, Service,
    downstream::{Blame, Symptom},
};
use seawall_testkit::{Asked, Behaviour, Reaction, Scripted};

/// A runtime on this thread, with one service `users` of these settings and this behaviour.
pub(crate) async fn start(settings: &str, behaviour: &Behaviour) -> (Runtime, Service<Scripted>) {
    start_under("", settings, behaviour).await
}

/// The same, under these settings of other sections.
pub(crate) async fn start_under(
    sections: &str,
    settings: &str,
    behaviour: &Behaviour,
) -> (Runtime, Service<Scripted>) {
    let runtime = Runtime::builder()
        .kind::<Scripted>()
        .extension("users", behaviour.clone())
        .parse(format!("{sections}\n[services.users]\nkind = \"scripted\"\n{settings}"))
        .expect("the settings are TOML")
        .current_thread()
        .seed(7)
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let users = runtime.service("users").expect("it is there");
    (runtime, users)
}

/// Every test ends so: nothing is under way, no place taken, no slot held, and the drain has nothing to cut off.
pub(crate) async fn end(runtime: Runtime) {
    let snapshot = runtime.snapshot();
    assert_eq!(snapshot.active, 0, "a call is still counted as under way");
    for service in &snapshot.services {
        let gates =
            service.bulkhead.iter().chain(service.calls.iter().filter_map(|call| call.bulkhead.as_ref()));
        for gate in gates {
            assert_eq!((gate.in_flight, gate.waiting), (0, 0), "{}: a place is still taken", service.name);
        }
        assert_eq!(service.loads, 0, "{}: a load is still under way", service.name);
    }
    assert_eq!(runtime.drain().await.cut_off, 0);
}

pub(crate) fn replies() -> Behaviour {
    Behaviour::new(|_| Reaction::Reply)
}

pub(crate) fn fails() -> Behaviour {
    Behaviour::new(|_| Reaction::Fail(down()))
}

/// Replies to each attempt after this time.
pub(crate) fn slow(delay: Duration) -> Behaviour {
    Behaviour::new(move |_: &Asked| Reaction::Reply.after(delay))
}

/// The downstream's own fault: a connection that broke.
pub(crate) fn down() -> Failure {
    Failure::new(Blame::Downstream, "the connection broke").symptom(Symptom::Reset)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets every task that can run do so.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
