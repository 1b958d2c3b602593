//! What limits keep over a reload, and what becomes of those who wait at one that changes.

use futures_util::future::join_all;
use seawall::{Failure, Runtime, Service, downstream::Blame, telemetry::What};
use seawall_testkit::{Ask, Behaviour, Change, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::{
    reload::{Files, USERS},
    support::{end, ms, replies, settle, slow},
};

/// One call in an hour, for which others wait for as long.
const HOURLY: &str = "rate = { limit = 1, burst = 1, per = \"1h\", max_wait = \"2h\" }\n";

async fn reloaded(before: &str, after: &str, behaviour: &Behaviour) -> (Files, Runtime, Service<Scripted>) {
    let name: String = format!("{before}{after}").chars().filter(char::is_ascii_alphanumeric).collect();
    let files = Files::new(&name[name.len().saturating_sub(60)..]);
    files.write(&format!("{USERS}timeout = \"3h\"\nmax_timeout = \"3h\"\n{before}"));
    let (runtime, users) = files.start(behaviour).await;
    files.write(&format!("{USERS}timeout = \"3h\"\nmax_timeout = \"3h\"\n{after}"));
    (files, runtime, users)
}

#[test]
fn who_waits_for_a_rate_that_is_turned_off_goes_on() {
    for after in ["rate = false", "rate.mode = \"off\"", "rate.mode = \"shadow\""] {
        virtual_time(async move || {
            let (_files, runtime, users) = reloaded(HOURLY, after, &replies()).await;
            users.send(Ask(0)).await.expect("the first has its token");
            let began = Instant::now();
            let waiting = join_all((1..=2).map(|call| users.send(Ask(call))));
            let reload = async {
                settle().await;
                assert_eq!(began.elapsed(), ms(0));
                runtime.reload().expect("it is right");
            };
            let (results, ()) = tokio::join!(waiting, reload);
            results.into_iter().for_each(|result| drop(result.expect("it is answered")));
            assert_eq!(began.elapsed(), ms(0), "{after}: nobody waits for a rate that is not there");
            users.send(Ask(4)).await.expect("there is none");
            end(runtime).await;
        });
    }
}

#[test]
fn who_waits_for_a_rate_that_is_raised_waits_by_the_new_one() {
    virtual_time(async || {
        let after = "rate = { limit = 10, burst = 1, max_wait = \"2h\" }\n";
        let (_files, runtime, users) = reloaded(HOURLY, after, &replies()).await;
        users.send(Ask(0)).await.expect("the first has its token");
        let began = Instant::now();
        let reload = async {
            settle().await;
            runtime.reload().expect("it is right");
        };
        let (waited, ()) = tokio::join!(users.send(Ask(1)), reload);
        waited.expect("it is its turn");
        assert_eq!(began.elapsed(), ms(100), "one token was owed, and comes back at the new pace");
        end(runtime).await;
    });
}

#[test]
fn a_reload_of_the_rate_is_no_fresh_burst() {
    virtual_time(async || {
        let rate = |limit: u32| format!("rate = {{ limit = {limit}, burst = 5, per = \"1h\" }}\n");
        let (_files, runtime, users) = reloaded(&rate(5), &rate(6), &replies()).await;
        for call in 0..5 {
            users.send(Ask(call)).await.expect("it is of the burst");
        }
        runtime.reload().expect("it is right");
        users.send(Ask(5)).await.expect_err("what was taken stays taken");
        end(runtime).await;
    });
}

#[test]
fn a_calls_own_rate_that_goes_frees_who_waits_for_it() {
    virtual_time(async || {
        let own = format!("[services.users.calls.Ask]\n{HOURLY}");
        let (_files, runtime, users) = reloaded(&own, "", &replies()).await;
        users.send(Ask(0)).await.expect("the first has its token");
        let began = Instant::now();
        let reload = async {
            settle().await;
            runtime.reload().expect("it is right");
        };
        let (waited, ()) = tokio::join!(users.send(Ask(1)), reload);
        waited.expect("nothing stands in its way");
        assert_eq!(began.elapsed(), ms(0));
        end(runtime).await;
    });
}

#[test]
fn who_waits_at_a_keys_limit_that_goes_goes_on() {
    for key in [
        "keyed.rate = { limit = 1, burst = 1, per = \"1h\", max_wait = \"2h\" }",
        "keyed.bulkhead.max_in_flight = 1",
    ] {
        virtual_time(async move || {
            let behaviour = slow(ms(10));
            let (_files, runtime, users) = reloaded(key, "", &behaviour).await;
            let began = Instant::now();
            let first = users.keyed("one").send(Ask(0));
            let second = users.keyed("one").send(Ask(1));
            let reload = async {
                settle().await;
                assert_eq!(behaviour.attempts(), 1, "{key}: one waits");
                runtime.reload().expect("it is right");
                settle().await;
                assert_eq!(behaviour.attempts(), 2, "{key}: nothing stands in its way");
            };
            let (first, second, ()) = tokio::join!(first, second, reload);
            first.expect("it is answered");
            second.expect("it is answered");
            assert_eq!(began.elapsed(), ms(10));
            end(runtime).await;
        });
    }
}

#[test]
fn a_bulkhead_that_goes_and_comes_back_knows_who_is_in_it() {
    for gate in [
        "bulkhead = { max_in_flight = 2, max_queue = 0 }",
        "calls.Ask.bulkhead = { max_in_flight = 2, max_queue = 0 }",
    ] {
        virtual_time(async move || {
            let behaviour = slow(ms(1_000));
            let without = if gate.starts_with("calls") { "" } else { "bulkhead = false" };
            let (files, runtime, users) = reloaded(gate, without, &behaviour).await;
            users.send(Change(0)).await.expect("it is open");
            let before = behaviour.attempts();
            let under_way = join_all((0..2).map(|call| users.send(Ask(call))));
            let others = async {
                settle().await;
                assert_eq!(behaviour.attempts(), before + 2);
                runtime.reload().expect("it goes");
                files.write(&format!("{USERS}timeout = \"3h\"\nmax_timeout = \"3h\"\n{gate}"));
                runtime.reload().expect("it comes back");
                users.send(Ask(2)).await.expect_err("both places are taken");
            };
            let (results, ()) = tokio::join!(under_way, others);
            results.into_iter().for_each(|result| drop(result.expect("it is answered")));
            users.send(Ask(3)).await.expect("they have left");
            end(runtime).await;
        });
    }
}

#[test]
fn a_measured_limit_keeps_what_it_learned_within_the_new_bounds() {
    virtual_time(async || {
        let refuses =
            Behaviour::new(|_| Reaction::Fail(Failure::new(Blame::Overload, "it has enough to do")));
        let adaptive = |tail: &str| format!("retry = false\nbulkhead.adaptive = {{ initial = 100{tail} }}\n");
        let (files, runtime, users) = reloaded(&adaptive(""), &adaptive(", tolerance = 3.0"), &refuses).await;
        let limit = || runtime.snapshot().services[0].bulkhead.map(|bulkhead| bulkhead.max_in_flight);
        for call in 0..20 {
            users.send(Ask(call)).await.expect_err("it refuses");
            sleep(ms(10)).await;
        }
        let learned = limit();
        assert!(learned.is_some_and(|limit| limit < 50), "{learned:?}");
        runtime.reload().expect("it is right");
        assert_eq!(limit(), learned, "another tolerance says nothing against it");
        let bounds = format!("{USERS}{}", adaptive(", min = 60"));
        files.write(&bounds);
        runtime.reload().expect("it is right");
        assert_eq!(limit(), Some(60), "but other bounds do");
        end(runtime).await;
    });
}

#[test]
fn a_measured_limit_says_whose_it_is() {
    virtual_time(async || {
        let refuses =
            Behaviour::new(|_| Reaction::Fail(Failure::new(Blame::Overload, "it has enough to do")));
        let both = "retry = false\nbulkhead.adaptive.initial = 100\ncalls.Ask.bulkhead.adaptive.initial = 50\n\
                    keyed.bulkhead.adaptive.initial = 50\n";
        let (_files, runtime, users) = reloaded(both, both, &refuses).await;
        let mut events = runtime.events();
        users.keyed("one").send(Ask(0)).await.expect_err("it refuses");
        let mut told = Vec::new();
        while let Some(event) = events.try_next() {
            if let What::LimitChanged { scope, from, to } = event.what {
                told.push((scope.to_string(), from, to));
            }
        }
        told.sort();
        assert_eq!(told, [("Ask".to_owned(), 50, 45), ("service".to_owned(), 100, 90)], "and no key's");
        end(runtime).await;
    });
}
