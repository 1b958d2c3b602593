use futures_util::FutureExt;
use seawall::{
    call::Reason,
    downstream::{Failure, Reached},
    telemetry::{Cause, What},
};
use seawall_testkit::{Ask, Behaviour, Change, Opening, Reaction, Scripted, virtual_time};

use crate::support::{end, ms, replies, settle, start};

/// Its thread ends under it, with five writes begun and reads coming in: from callers on other threads, who live on.
#[test]
fn a_shard_that_dies_under_load_leaves_nobody_without_an_answer() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let behaviour =
            Behaviour::new(|asked| if asked.call == "Change" { Reaction::Hang } else { Reaction::Reply });
        let runtime = seawall::Runtime::builder()
            .kind::<Scripted>()
            .extension("users", behaviour.clone())
            .parse("[runtime]\narbiters = 1\n[services.users]\nkind = \"scripted\"\ntimeout = \"20s\"")
            .expect("TOML")
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let users = runtime.service::<Scripted>("users").expect("there");
        let writes: Vec<_> = (0..5)
            .map(|id| {
                let users = users.clone();
                tokio::spawn(async move { users.send(Change(id)).await })
            })
            .collect();
        while behaviour.attempts() < 5 {
            tokio::time::sleep(ms(1)).await;
        }
        behaviour.react(|asked| {
            if asked.id == 0 && asked.number == 1 && asked.call == "Ask" {
                actix_rt::System::current().stop();
                return Reaction::Hang;
            }
            Reaction::Reply.after(ms(1))
        });
        let reads: Vec<_> = (0..90)
            .map(|id| {
                let users = users.clone();
                tokio::spawn(async move { users.send(Ask(id)).await })
            })
            .collect();
        for read in reads {
            read.await
                .expect("it does not panic")
                .expect("what may be made twice is made again on the next shard");
        }
        for write in writes {
            let error = write.await.expect("it does not panic").expect_err("it was cut off");
            assert_eq!(
                error.reached(),
                Reached::Maybe,
                "and its caller is told that it may have been made: {error:?}"
            );
        }
        assert!(behaviour.opened() >= 2, "another shard took its place");
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}

#[test]
fn a_pool_that_cannot_be_opened_is_tried_ever_more_slowly_and_then_failed() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.open(|_| Opening::Fails);
        let (runtime, users) = start("", &behaviour).await;
        let mut events = runtime.events();
        let error = users.send(Ask(1)).await.expect_err("there is no pool");
        assert!(matches!(error.reason(), Some(Reason::Unavailable { .. })), "{error:?}");
        assert!(error.retry_after().is_some());
        tokio::time::sleep(ms(5_000)).await;
        let error = users.send(Ask(1)).await.expect_err("it is failed");
        assert!(matches!(error.reason(), Some(Reason::ServiceFailed { .. })), "{error:?}");
        assert_eq!(behaviour.opened(), 6, "once, and five restarts");
        assert_eq!(behaviour.attempts(), 0);
        assert!(!runtime.snapshot().services[0].up);

        behaviour.open(|_| Opening::Succeeds);
        tokio::time::sleep(ms(30_000)).await;
        users.send(Ask(1)).await.expect("the probe opened it");
        assert!(runtime.snapshot().services[0].up);
        let told: Vec<_> = std::iter::from_fn(|| events.try_next())
            .filter(|event| matches!(event.what, What::ServiceFailed { .. } | What::ServiceRecovered))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        end(runtime).await;
    });
}

#[test]
fn opening_that_panics_or_hangs_is_a_failure_to_open() {
    for opening in [Opening::Panics, Opening::Hangs] {
        virtual_time(async || {
            let behaviour = replies();
            let first = opening.clone();
            behaviour.open(move |before| if before == 0 { first.clone() } else { Opening::Succeeds });
            let (runtime, users) = start("", &behaviour).await;
            users.send(Ask(1)).await.expect("the second opening is well, and in time");
            assert_eq!(behaviour.opened(), 2);
            end(runtime).await;
        });
    }
}

#[test]
fn neighbours_do_not_notice() {
    virtual_time(async || {
        let (sick, well) = (replies(), replies());
        sick.open(|_| Opening::Panics);
        let runtime = seawall::Runtime::builder()
            .kind::<Scripted>()
            .extension("sick", sick.clone())
            .extension("well", well.clone())
            .parse("[services.sick]\nkind = \"scripted\"\n[services.well]\nkind = \"scripted\"")
            .expect("TOML")
            .current_thread()
            .start()
            .await
            .expect("it starts");
        let (sick, well) = (runtime.service::<Scripted>("sick"), runtime.service::<Scripted>("well"));
        let (sick, well) = (sick.expect("there"), well.expect("there"));
        for id in 0..100 {
            sick.send(Ask(id)).await.expect_err("it has no pool");
            well.send(Ask(id)).await.expect("it has one");
            tokio::time::sleep(ms(100)).await;
        }
        end(runtime).await;
    });
}

#[test]
fn several_panics_reopen_the_pool() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.react(|asked| if asked.serial <= 5 { Reaction::Panic } else { Reaction::Reply });
        let (runtime, users) = start("", &behaviour).await;
        let mut events = runtime.events();
        for id in 0..5 {
            users.send(Ask(id)).await.expect_err("it panics");
        }
        settle().await;
        users.send(Ask(1)).await.expect("the new pool is well");
        assert_eq!((behaviour.opened(), behaviour.closed()), (2, 1));
        let causes: Vec<_> = std::iter::from_fn(|| events.try_next())
            .filter_map(|event| match event.what {
                What::ShardRestarted { cause, .. } => Some(cause),
                _ => None,
            })
            .collect();
        assert_eq!(causes, [Cause::AttemptPanics]);
        end(runtime).await;
    });
}

#[test]
fn failing_health_checks_reopen_the_pool() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("health = { interval = \"1s\", failures = 3 }", &behaviour).await;
        users.send(Ask(1)).await.expect("it is open");
        behaviour.check(|| Err(Failure::timeout(seawall::downstream::Stage::Attempt)));
        tokio::time::sleep(ms(2_500)).await;
        assert_eq!(behaviour.opened(), 1);
        tokio::time::sleep(ms(1_000)).await;
        behaviour.check(|| Ok(()));
        tokio::time::sleep(ms(10_000)).await;
        assert_eq!(behaviour.opened(), 2);
        users.send(Ask(1)).await.expect("it is open");
        end(runtime).await;
    });
}

#[test]
fn breaker_and_cache_survive_a_restart() {
    virtual_time(async || {
        let behaviour: Behaviour = replies();
        let (runtime, users) = start("retry = false", &behaviour).await;
        users.send(seawall_testkit::Lookup(1)).await.expect("loaded");
        users.reopen();
        settle().await;
        let kept = users.send(seawall_testkit::Lookup(1)).await.expect("kept");
        assert_eq!(kept.serial, 1);
        let breaker = runtime.snapshot().services[0].breaker.expect("it has one");
        assert_eq!(breaker.calls, 1);
        assert!(users.send(Ask(2)).now_or_never().is_none());
        users.send(Ask(2)).await.expect("the new pool serves");
        assert_eq!(behaviour.opened(), 2);
        end(runtime).await;
    });
}

/// A reload and a restart waited up to four seconds for the old pool to close before they opened another.
#[test]
fn a_pool_that_does_not_close_keeps_nobody_waiting_for_the_next() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        users.send(Ask(1)).await.expect("it replies");
        behaviour.hang_on_close(true);
        users.reopen();
        settle().await;
        let asked = tokio::time::Instant::now();
        users.send(Ask(2)).await.expect("it replies");
        assert!(asked.elapsed() < ms(10), "{:?}", asked.elapsed());
        assert_eq!((behaviour.opened(), behaviour.closed()), (2, 1));
        behaviour.hang_on_close(false);
        end(runtime).await;
    });
}

/// Its thread ends while it is blocked, with a call in the mailbox that had spent its token and suffered its delay.
#[test]
fn what_was_lost_before_it_began_is_sent_again_and_pays_once() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let behaviour = replies();
        let runtime = seawall::Runtime::builder()
            .kind::<Scripted>()
            .extension("users", behaviour.clone())
            .parse(
                "[runtime]\narbiters = 1\nallow_faults = true\n[services.users]\nkind = \"scripted\"\n\
                 retry = false\nrate = { limit = 2, burst = 2, per = \"1h\" }\nfaults.delay = \"1ms\"\n\
                 keyed.rate = { limit = 1, burst = 1, per = \"1h\" }",
            )
            .expect("TOML")
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let users = runtime.service::<Scripted>("users").expect("there");
        let mut events = runtime.events();
        behaviour.react(|asked| match asked.id {
            1 => {
                actix_rt::System::current().stop();
                Reaction::Block(ms(300))
            }
            _ => Reaction::Reply,
        });
        let blocked = {
            let users = users.clone();
            tokio::spawn(async move { users.send(Ask(1)).await.map(drop) })
        };
        while behaviour.attempts() == 0 {
            tokio::time::sleep(ms(1)).await;
        }
        users.keyed("one").send(Ask(2)).await.expect("it is made on the next thread, for the same tokens");
        // It ended with its thread, or just before.
        let _ = blocked.await.expect("it does not panic");
        let delays = "seawall_faults_injected_total{service=\"users\",fault=\"delay\"} 2\n";
        assert!(runtime.metrics().contains(delays), "{}", runtime.metrics());
        let cause = loop {
            let next = tokio::time::timeout(ms(10_000), events.next()).await.expect("it is told");
            if let What::ShardRestarted { cause, .. } = next.expect("they go on").what {
                break cause;
            }
        };
        assert_eq!(cause, Cause::ThreadEnded);
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}
