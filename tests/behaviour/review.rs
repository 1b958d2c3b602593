//! How calls, drains and restarts behave where several parts meet: each was a bug once.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use seawall::{
    Call, Failure, Runtime, Service,
    call::{Attempt, Cacheable, KeyWriter, Origin, Reason, Sharing, TagWriter},
};
use seawall_testkit::{Ask, Behaviour, Change, Lookup, Reaction, Scripted, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, replies, settle, slow, start};

#[test]
fn a_place_in_one_queue_is_not_taken_for_a_place_in_another() {
    virtual_time(async || {
        let behaviour = slow(ms(20));
        let settings = "retry = false\nbulkhead = { max_in_flight = 3 }\n\
                        [services.users.calls.Ask.bulkhead]\nmax_in_flight = 1\n";
        let (runtime, users) = start(settings, &behaviour).await;
        for result in join_all((0..20).map(|id| users.send(Ask(id)))).await {
            result.expect("it is answered");
        }
        users.send(Ask(1)).await.expect("the gates are as they were");
        end(runtime).await;
    });
}

#[test]
fn a_rate_in_shadow_rejects_nobody() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) =
            start("rate = { mode = \"shadow\", limit = 1, per = \"10s\", burst = 1 }", &behaviour).await;
        for id in 0..5 {
            users.send(Ask(id)).await.expect("a shadow lets pass");
        }
        end(runtime).await;
    });
}

#[test]
fn a_rate_that_is_off_rejects_nobody() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) =
            start("rate = { mode = \"off\", limit = 1, per = \"10s\", burst = 1 }", &behaviour).await;
        for id in 0..5 {
            users.send(Ask(id)).await.expect("it is off");
        }
        end(runtime).await;
    });
}

#[test]
fn one_calls_breaker_that_opens_sends_no_other_call_away() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.call {
            "Ask" => Reaction::Fail(down()).after(ms(10)),
            _ => Reaction::Reply.after(ms(50)),
        });
        let settings = "retry = false\nbulkhead = { max_in_flight = 2, max_queue = 50 }\n\
                        breaker = { scope = \"call\", consecutive_failures = 2 }";
        let (runtime, users) = start(settings, &behaviour).await;
        let bad: Vec<_> = (0..4)
            .map(|id| {
                let users = users.clone();
                actix_rt::spawn(async move { users.send(Ask(id)).await.map(drop) })
            })
            .collect();
        sleep(ms(1)).await;
        let good: Vec<_> = (0..5)
            .map(|id| {
                let users = users.clone();
                actix_rt::spawn(async move { users.send(Change(id)).await.map(drop) })
            })
            .collect();
        let refused = join_all(bad).await.into_iter().filter(|bad| {
            let bad = bad.as_ref().expect("it does not panic");
            matches!(bad, Err(error) if matches!(error.reason(), Some(Reason::Breaker(_))))
        });
        assert_eq!(refused.count(), 2, "those of the call itself are sent away");
        for good in join_all(good).await {
            good.expect("it does not panic").expect("its breaker is closed");
        }
        end(runtime).await;
    });
}

#[test]
fn a_write_that_ends_after_its_caller_voids_what_was_loaded_meanwhile() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.call {
            "Change" => Reaction::Reply.after(ms(100)),
            _ => Reaction::Reply,
        });
        let (runtime, users) = start("", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        let mut write = users.send(Change(1));
        for _ in 0..3 {
            assert!((&mut write).now_or_never().is_none());
            settle().await;
        }
        drop(write);
        // The write is still under way: this reads what it is about to change.
        let before = users.send(Lookup(1)).await.expect("loaded").serial;
        sleep(ms(200)).await;
        assert_eq!(behaviour.finished(), behaviour.attempts());
        let after = users.send(Lookup(1)).await.expect("loaded").serial;
        assert!(after > before, "the old value is served after the write");
        end(runtime).await;
    });
}

#[test]
fn a_drain_waits_for_a_write_that_goes_on_without_its_caller() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        let mut write = users.send(Change(1));
        for _ in 0..3 {
            assert!((&mut write).now_or_never().is_none());
            settle().await;
        }
        drop(write);
        assert_eq!(runtime.drain().await.cut_off, 0);
        assert_eq!((behaviour.attempts(), behaviour.finished()), (1, 1));
    });
}

#[test]
fn pools_that_are_reopened_by_request_are_no_failures() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        for id in 0..10 {
            users.send(Ask(id)).await.expect("it is served");
            users.reopen();
            settle().await;
        }
        users.send(Ask(10)).await.expect("it is served");
        end(runtime).await;
    });
}

async fn real(settings: &str, names: &[(&str, &Behaviour)]) -> Runtime {
    let mut builder = Runtime::builder().kind::<Scripted>();
    let mut text = settings.to_owned();
    for (name, behaviour) in names {
        builder = builder.extension(name, (*behaviour).clone());
        text += &format!("[services.{name}]\nkind = \"scripted\"\nstartup = {{ mode = \"lazy\" }}\n");
    }
    builder.parse(text).expect("TOML").start().await.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_task_of_tokios_on_an_arbiter_is_served() {
    actix_rt::System::new().block_on(async {
        let behaviour = replies();
        let runtime = real("", &[("users", &behaviour)]).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        let task = tokio::spawn(async move { users.send(Ask(1)).await.map(drop) });
        task.await.expect("it does not panic").expect("it is served");
        runtime.drain().await;
    });
}

#[test]
fn the_first_call_of_a_thread_may_be_one_that_is_kept() {
    actix_rt::System::new().block_on(async {
        let behaviour = replies();
        let runtime = real("", &[("users", &behaviour)]).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        users.send(Lookup(1)).await.expect("it is served");
        runtime.drain().await;
    });
}

#[test]
fn a_caller_of_a_blocked_thread_waits_for_it_without_spinning() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let (blocks, other) = (Behaviour::new(|_| Reaction::Block(Duration::from_secs(1))), replies());
        let runtime =
            real("[runtime]\narbiters = 1\nwatchdog = \"60s\"\n", &[("blocks", &blocks), ("other", &other)])
                .await;
        let first = runtime.service::<Scripted>("blocks").expect("there");
        let second = runtime.service::<Scripted>("other").expect("there");
        let blocked = tokio::spawn(async move { first.send(Ask(1)).await.map(drop) });
        while blocks.attempts() == 0 {
            sleep(ms(1)).await;
        }
        let began = Instant::now();
        let error = tokio::spawn(async move { second.send(Ask(1)).deadline(ms(200)).await.map(drop) })
            .await
            .expect("it does not panic");
        assert!(began.elapsed() < ms(700), "{:?}", began.elapsed());
        error.expect_err("its time ran out");
        let _ = blocked.await;
        runtime.drain().await;
    });
}

#[test]
fn what_waited_behind_a_blocked_thread_past_its_deadline_is_not_begun() {
    actix_rt::System::new().block_on(async {
        let behaviour = Behaviour::new(|asked| match asked.id {
            0 => Reaction::Block(Duration::from_millis(300)),
            _ => Reaction::Reply,
        });
        let runtime = real("", &[("users", &behaviour)]).await;
        let users = runtime.service::<Scripted>("users").expect("there");
        users.send(Ask(9)).await.expect("it is open");
        let (first, second) = tokio::join!(users.send(Ask(0)), users.send(Ask(1)).deadline(ms(100)));
        first.expect("it was slow, and in time");
        let error = second.expect_err("its time ran out before it was begun");
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(behaviour.attempts(), 2);
        runtime.drain().await;
    });
}

#[test]
fn a_calls_own_code_may_use_its_service() {
    virtual_time(async || {
        let behaviour = replies();
        let cache = "cache = { ttl = \"1s\", jitter = \"0%\", stale_while_revalidate = \"10s\" }";
        let (runtime, users) = start(cache, &behaviour).await;
        users.send(Nosy(users.clone())).await.expect("it is loaded");
        sleep(ms(2000)).await;
        let stale = users.send(Nosy(users.clone())).await.expect("it is kept");
        assert_eq!(stale.origin(), Origin::Stale);
        settle().await;
        end(runtime).await;
    });
}

/// A call whose tags use its own service.
struct Nosy(Service<Scripted>);

impl Call<Scripted> for Nosy {
    type Reply = u64;
    const NAME: &'static str = "Nosy";

    fn sharing() -> Option<Sharing<u64>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&1_u64);
        Cacheable::Yes
    }

    fn tags(&self, tags: &mut TagWriter) {
        self.0.invalidate(&Lookup(1)).expect("it is a good call");
        tags.tag("nosy");
    }

    async fn attempt(&self, _: &Scripted, _: &Attempt) -> Result<u64, Failure> {
        Ok(1)
    }
}

#[test]
fn a_call_that_suffers_a_delay_is_answered_whoever_polls_it_in_the_end() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "[runtime]\nallow_faults = true\n[services.users]\nfaults = { delay = \"20ms\" }\n";
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .extension("users", behaviour.clone())
            .parse(format!("{settings}kind = \"scripted\""))
            .expect("TOML")
            .current_thread()
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let users: Service<Scripted> = runtime.service("users").expect("there");
        let mut call = users.send(Ask(1));
        // Polled by somebody who is not there any more when the delay is over.
        assert!((&mut call).now_or_never().is_none());
        sleep(ms(50)).await;
        let began = Instant::now();
        tokio::time::timeout(ms(1000), call).await.expect("in time").expect("it is answered");
        assert!(began.elapsed() < ms(1000), "it was not woken when the answer came");
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn calls_that_part_from_their_services_rate_do_not_share_the_one_it_had() {
    virtual_time(async || {
        let files = crate::reload::Files::new("rates");
        let rate = "{ limit = 1, per = \"100s\", burst = 1 }";
        let calls = format!("[services.users.calls]\nAsk.rate = {rate}\nChange.rate = {rate}\n");
        let service = "[services.users]\nkind = \"scripted\"\nretry = false\n";
        files.write(&format!("{service}rate = {rate}\n{calls}"));
        let (runtime, users) = files.start(&replies()).await;
        users.send(Ask(1)).await.expect("there is one token");
        users.send(Change(1)).await.expect_err("for both");
        files.write(&format!("{service}rate = false\n{calls}"));
        runtime.reload().expect("they are right");
        users.send(Ask(2)).await.expect("it has its own now");
        users.send(Change(2)).await.expect("and so has this");
        end(runtime).await;
    });
}

#[test]
fn a_drain_waits_for_the_pools_that_were_replaced_before_it() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        users.send(Ask(1)).await.expect("it is open");
        behaviour.hang_on_close(true);
        users.reopen();
        sleep(ms(500)).await;
        behaviour.hang_on_close(false);
        users.send(Ask(2)).await.expect("its successor does not wait");
        let began = Instant::now();
        end(runtime).await;
        assert!(began.elapsed() >= ms(1500), "the old pool was still closing: {:?}", began.elapsed());
    });
}

#[test]
fn a_drain_cuts_off_what_is_under_way_on_a_pool_that_was_replaced() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Hang);
        let (runtime, users) = start("timeout = \"50s\"", &behaviour).await;
        let call = {
            let users = users.clone();
            actix_rt::spawn(async move { users.send(Change(1)).await.map(drop) })
        };
        sleep(ms(10)).await;
        users.reopen();
        sleep(ms(500)).await;
        let began = Instant::now();
        assert_eq!(runtime.drain_within(ms(100)).await.cut_off, 1);
        call.await.expect("it does not panic").expect_err("it was cut off");
        assert!(began.elapsed() < ms(1000), "{:?}", began.elapsed());
    });
}

#[test]
fn a_drain_cuts_off_what_was_sent_while_it_told_the_shards() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.id {
            1 => Reaction::Reply.after(ms(10)),
            _ => Reaction::Hang,
        });
        let settings = "timeout = \"50s\"\nbulkhead = { max_in_flight = 1, queue_timeout = \"20s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        let first = users.send(Ask(1));
        let second = {
            let users = users.clone();
            async move {
                sleep(ms(5)).await;
                users.send(Change(2)).await.map(drop)
            }
        };
        let second = actix_rt::spawn(second);
        first.await.expect("it answers");
        // The second has been given the place, and knows it not yet.
        let began = Instant::now();
        runtime.drain_within(Duration::ZERO).await;
        second.await.expect("it does not panic").expect_err("it was cut off");
        assert!(began.elapsed() < ms(1000), "{:?}", began.elapsed());
        assert_eq!(runtime.snapshot().active, 0);
    });
}

#[test]
fn who_waits_at_a_bulkhead_goes_on_when_it_is_turned_off() {
    virtual_time(async || {
        let behaviour = slow(ms(10_000));
        let settings = "timeout = \"60s\"\nbulkhead = { max_in_flight = 1, queue_timeout = \"50s\" }\n";
        for (path, off) in [
            ("users.bulkhead", None),
            ("users.bulkhead.mode", Some("off")),
            ("users.bulkhead.mode", Some("shadow")),
            ("users.calls.Ask.bulkhead", None),
        ] {
            let own = if off.is_none() { "calls.Ask.bulkhead.max_queue = 7\n" } else { "" };
            let (runtime, users) = start(&format!("{settings}{own}"), &behaviour).await;
            users.send(Change(0)).await.expect("it is open, and both calls are known");
            let before = behaviour.attempts();
            let both = async {
                tokio::join!(users.send(Ask(1)), users.send(Ask(2)), async {
                    sleep(ms(100)).await;
                    assert_eq!(behaviour.attempts(), before + 1, "{path}: one waits");
                    runtime.set(path, off).because("a test").expect("it is right");
                    if path.contains("calls") {
                        runtime
                            .set("users.bulkhead.max_in_flight", 2)
                            .because("a test")
                            .expect("it is right");
                    }
                    sleep(ms(100)).await;
                    assert_eq!(behaviour.attempts(), before + 2, "{path}: nothing stands in its way");
                })
            };
            let (one, other, ()) = both.await;
            one.expect("it is answered");
            other.expect("it is answered");
            end(runtime).await;
        }
    });
}
