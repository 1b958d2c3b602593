//! What the libraries below do by themselves, so that it is seen when they change; next to each, what seawall does.

use actix::{Actor, Context, Handler, Message};
use futures_util::future::join_all;
use seawall_testkit::{Ask, Reaction, virtual_time};

use crate::support::{end, ms, replies, start};

struct Fragile;

impl Actor for Fragile {
    type Context = Context<Self>;
}

struct Work {
    panics: bool,
}

impl Message for Work {
    type Result = u32;
}

impl Handler<Work> for Fragile {
    type Result = u32;

    fn handle(&mut self, Work { panics }: Work, _: &mut Self::Context) -> u32 {
        assert!(!panics, "an actor's handler panics");
        1
    }
}

#[test]
fn an_actix_actor_whose_handler_panics_is_gone_with_all_it_had_queued() {
    virtual_time(async || {
        let actor = Fragile.start();
        let results = join_all((0..10).map(|id| actor.send(Work { panics: id == 3 }))).await;
        let answered = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(answered, 3, "those behind it cannot tell that they were never begun");
        assert!(
            !actor.connected() && actor.send(Work { panics: false }).await.is_err(),
            "nobody restarts it"
        );

        let behaviour = replies();
        behaviour.react(|asked| if asked.id == 3 { Reaction::Panic } else { Reaction::Reply });
        let (runtime, users) = start("", &behaviour).await;
        let results = join_all((0..10).map(|id| users.send(Ask(id)))).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 9);
        users.send(Ask(1)).await.expect("it lives");
        end(runtime).await;
    });
}

#[test]
fn an_actix_actor_started_on_an_arbiter_that_has_stopped_is_silently_dead() {
    actix_rt::System::new().block_on(async {
        let arbiter = actix_rt::Arbiter::new();
        let handle = arbiter.handle();
        arbiter.stop();
        arbiter.join().expect("it ends");
        // `spawn_fn` says so; `Actor::start_in_arbiter` gives an address all the same, that never answers.
        assert!(!handle.spawn_fn(|| ()));
        let dead = Fragile::start_in_arbiter(&handle, |_| Fragile);
        assert!(dead.send(Work { panics: false }).await.is_err());
    });
    // Seawall asks an arbiter before it relies on it, and starts another: callers.rs kills one under a call.
}

#[test]
fn an_actix_mailbox_bounds_no_send_and_the_bulkhead_does() {
    virtual_time(async || {
        let actor = Fragile::create(|context| {
            context.set_mailbox_capacity(1);
            Fragile
        });
        let results = join_all((0..1000).map(|_| actor.send(Work { panics: false }))).await;
        assert!(results.iter().all(Result::is_ok), "a thousand in a mailbox of one");

        let behaviour = replies();
        behaviour.react(|_| Reaction::Reply.after(ms(10)));
        let settings = "retry = false\nbulkhead = { max_in_flight = 1, max_queue = 1 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let results = join_all((0..1000).map(|id| users.send(Ask(id)))).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
        end(runtime).await;
    });
}
