//! Ten times as many calls as the downstream can do: what is let through is done in time, and the rest learns so at once.

use std::time::Duration;

use seawall::{
    Failure, Service,
    call::Priority,
    downstream::{Blame, Symptom},
    telemetry::What,
};
use seawall_testkit::{Ask, Behaviour, Capacity, Reaction, Scripted, virtual_time};
use tokio::time::Instant;

use crate::support::{end, ms, start};

/// What came of a call.
#[derive(Clone, Copy, Debug)]
struct Done {
    call: u64,
    answered: bool,
    took: Duration,
}

/// So many calls a second, at random and whatever becomes of them, the same each time.
async fn offer(
    users: &Service<Scripted>,
    per_second: u64,
    seconds: u64,
    of: fn(u64) -> (Priority, &'static str),
) -> Vec<Done> {
    let (mut random, mut tasks, mut call) = (7_u64, Vec::new(), 0);
    for _ in 0..seconds * 1000 {
        for _ in 0..20 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (random >> 33) % 20_000 >= per_second {
                continue;
            }
            let (priority, tenant) = of(call);
            let users = users.clone();
            tasks.push(actix_rt::spawn(async move {
                let began = Instant::now();
                let answered = users.send(Ask(call)).priority(priority).tenant(tenant).await.is_ok();
                Done { call, answered, took: began.elapsed() }
            }));
            call += 1;
        }
        tokio::time::sleep(ms(1)).await;
    }
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.expect("no call panics its caller"));
    }
    done
}

/// A downstream that does 200 calls a second, each in 50 ms.
fn limited() -> Behaviour {
    let capacity = Capacity::new(10, ms(40)..ms(60));
    Behaviour::new(move |_| Reaction::Reply.after(capacity.take()))
}

fn same(_: u64) -> (Priority, &'static str) {
    (Priority::Normal, "one")
}

fn answered(done: &[Done]) -> usize {
    done.iter().filter(|done| done.answered).count()
}

/// The share of `done` that was answered.
fn success(done: &[Done], of: impl Fn(u64) -> bool) -> f64 {
    let meant: Vec<Done> = done.iter().copied().filter(|done| of(done.call)).collect();
    answered(&meant) as f64 / meant.len() as f64
}

/// What 99 of 100 of those did not exceed.
fn p99(took: impl Iterator<Item = Duration>) -> Duration {
    let mut took: Vec<Duration> = took.collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

const SECONDS: u64 = 20;
/// What the downstream can do in this time.
const CAPACITY: f64 = 200.0 * SECONDS as f64;

/// Each call has half a second.
const HURRY: &str = "timeout = \"500ms\"\n";

/// Ten times what the downstream can do for a while, between two quiet times in which all is answered.
async fn overload(settings: &str, of: fn(u64) -> (Priority, &'static str)) -> Vec<Done> {
    let (runtime, users) = start(&format!("{HURRY}{settings}"), &limited()).await;
    let before = offer(&users, 100, 5, same).await;
    assert_eq!(answered(&before), before.len());
    let during = offer(&users, 2_000, SECONDS, of).await;
    let after = offer(&users, 100, 5, same).await;
    assert!(success(&after, |_| true) > 0.99, "it is well again: {}", success(&after, |_| true));
    end(runtime).await;
    during
}

#[test]
fn ten_times_the_load_costs_no_goodput_and_no_time() {
    virtual_time(async || {
        let done = overload("bulkhead = { max_in_flight = 10 }", same).await;
        let goodput = answered(&done) as f64 / CAPACITY;
        assert!(goodput >= 0.95, "{goodput}");
        // Whoever is refused has waited as well.
        let waited = done.iter().map(|done| if done.answered { done.took - ms(40) } else { done.took });
        let waited = p99(waited);
        assert!(waited <= ms(100), "{waited:?}");
    });
}

#[test]
fn a_limit_that_is_measured_finds_what_the_downstream_can_do() {
    virtual_time(async || {
        let of = |call| (if call % 20 == 0 { Priority::Critical } else { Priority::Normal }, "one");
        let done = overload("bulkhead = { adaptive = {} }", of).await;
        let goodput = answered(&done) as f64 / CAPACITY;
        assert!(goodput >= 0.95, "{goodput}");
        // Without load they take 60 ms at most.
        let took = p99(done.iter().filter(|done| done.answered).map(|done| done.took));
        assert!(took <= ms(120), "{took:?}");
        let critical = success(&done, |call| call % 20 == 0);
        assert!(critical >= 0.99, "{critical}");
    });
}

#[test]
fn without_a_limit_nothing_is_done_in_time() {
    virtual_time(async || {
        let (runtime, users) = start(&format!("{HURRY}bulkhead = false"), &limited()).await;
        let done = offer(&users, 2_000, SECONDS, same).await;
        let goodput = answered(&done) as f64 / CAPACITY;
        assert!(goodput < 0.1, "{goodput}: the tests beside this one would hold without what they test");
        end(runtime).await;
    });
}

#[test]
fn the_critical_are_shed_last() {
    virtual_time(async || {
        // A tenth: as many as the downstream can just do.
        let of = |call| (if call % 10 == 0 { Priority::Critical } else { Priority::Normal }, "one");
        let done = overload("bulkhead = { max_in_flight = 10 }", of).await;
        let critical = success(&done, |call| call % 10 == 0);
        assert!(critical >= 0.99, "{critical}");
        let goodput = answered(&done) as f64 / CAPACITY;
        assert!(goodput >= 0.95, "{goodput}");
    });
}

#[test]
fn a_tenant_that_floods_starves_nobody() {
    virtual_time(async || {
        const OTHERS: [&str; 5] = ["one", "two", "three", "four", "five"];
        let of = |call| {
            let tenant = if call % 20 == 0 { OTHERS[(call / 20 % 5) as usize] } else { "flood" };
            (Priority::Normal, tenant)
        };
        let others = |call| call % 20 == 0;
        let fair = overload("bulkhead = { max_in_flight = 10, per_tenant = true }", of).await;
        assert!(success(&fair, others) >= 0.99, "{}", success(&fair, others));
        let goodput = answered(&fair) as f64 / CAPACITY;
        assert!(goodput >= 0.95, "{goodput}");
        let unfair = overload("bulkhead = { max_in_flight = 10 }", of).await;
        assert!(success(&unfair, others) < 0.2, "{}", success(&unfair, others));
    });
}

#[test]
fn a_burst_that_fits_into_the_queue_gets_through() {
    virtual_time(async || {
        let (runtime, users) = start("bulkhead = { max_in_flight = 10 }", &limited()).await;
        let calls = (0..110).map(|call| users.send(Ask(call)));
        let results = futures_util::future::join_all(calls).await;
        assert!(results.iter().all(Result::is_ok), "550 ms are no overload, if nobody comes meanwhile");
        end(runtime).await;
    });
}

#[test]
fn a_slow_downstream_at_three_quarters_of_its_load_sheds_nobody() {
    virtual_time(async || {
        let capacity = Capacity::new(1, ms(40)..ms(60));
        let behaviour = Behaviour::new(move |_| Reaction::Reply.after(capacity.take()));
        let (runtime, users) = start("bulkhead = { max_in_flight = 1 }", &behaviour).await;
        let done = offer(&users, 15, 60, same).await;
        assert!(success(&done, |_| true) > 0.99, "{}", success(&done, |_| true));
        end(runtime).await;
    });
}

#[test]
fn what_the_downstream_refuses_for_overload_shrinks_the_limit() {
    virtual_time(async || {
        let capacity = Capacity::new(10, ms(40)..ms(60));
        let behaviour = Behaviour::new(move |_| {
            // It has a queue of its own, and refuses who would wait there for long.
            if capacity.wait() > ms(20) {
                let full = Failure::new(Blame::Overload, "it has enough to do").symptom(Symptom::Overload);
                return Reaction::Fail(full);
            }
            Reaction::Reply.after(capacity.take())
        });
        let settings = "retry = false\nbulkhead = { adaptive = { algorithm = \"aimd\", initial = 100 } }";
        let (runtime, users) = start(settings, &behaviour).await;
        let mut events = runtime.events();
        let done = offer(&users, 2_000, SECONDS, same).await;
        let goodput = answered(&done) as f64 / CAPACITY;
        assert!(goodput >= 0.9, "{goodput}");
        let limit = runtime.snapshot().services[0].bulkhead.map(|bulkhead| bulkhead.max_in_flight);
        assert!(limit.is_some_and(|limit| (8..=20).contains(&limit)), "{limit:?}");
        let mut changes = 0;
        while let Some(event) = events.try_next() {
            if let What::LimitChanged { from, to, .. } = event.what {
                assert_ne!(from, to);
                changes += 1;
            }
        }
        assert!((2..=SECONDS + 1).contains(&changes), "{changes}: once a second at most");
        end(runtime).await;
    });
}
