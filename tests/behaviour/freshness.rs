//! Replies whose time is nearly over, over at once for many, or over for good.

use std::time::Duration;

use futures_util::future::join_all;
use seawall::{Failure, Origin, downstream::Blame};
use seawall_testkit::{Lookup, Reaction, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, replies, slow, start};

#[test]
fn what_is_asked_for_all_the_time_is_loaded_anew_before_its_time_is_over() {
    virtual_time(async || {
        let behaviour = slow(ms(200));
        let (runtime, users) = start("cache = { ttl = \"10s\", jitter = \"0%\" }", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        let began = Instant::now();
        let mut waited = 0;
        while began.elapsed() < Duration::from_secs(100) {
            let asked = Instant::now();
            users.send(Lookup(1)).await.expect("kept");
            waited += u32::from(asked.elapsed() > Duration::ZERO);
            sleep(ms(5)).await;
        }
        assert_eq!(waited, 0, "nobody waits for a load");
        let loads = behaviour.attempts();
        assert!((10..=13).contains(&loads), "{loads}: one each time to live, and hardly more");
        end(runtime).await;
    });
}

#[test]
fn who_wants_no_early_load_gets_none() {
    virtual_time(async || {
        let behaviour = slow(ms(200));
        let settings = "cache = { ttl = \"10s\", jitter = \"0%\", early_refresh = false }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        for _ in 0..1_990 {
            assert_eq!(users.send(Lookup(1)).await.expect("kept").origin(), Origin::Cached);
            sleep(ms(5)).await;
        }
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn an_early_load_that_fails_costs_nobody_anything() {
    virtual_time(async || {
        let behaviour = slow(ms(200));
        let (runtime, users) =
            start("retry = false\ncache = { ttl = \"10s\", jitter = \"0%\" }", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        behaviour.react(|_| Reaction::Fail(down()).after(ms(200)));
        for _ in 0..1_990 {
            assert_eq!(users.send(Lookup(1)).await.expect("kept").serial, 1);
            sleep(ms(5)).await;
        }
        assert!((2..=7).contains(&behaviour.attempts()), "{} tries", behaviour.attempts());
        sleep(ms(500)).await;
        end(runtime).await;
    });
}

/// K4: replies loaded in the same second do not expire in the same second.
#[test]
fn ten_thousand_replies_of_one_second_are_not_loaded_anew_in_one() {
    virtual_time(async || {
        const KEYS: u64 = 10_000;
        let behaviour = replies();
        let (runtime, users) = start("bulkhead = false\ncache = { ttl = \"20s\" }", &behaviour).await;
        join_all((0..KEYS).map(|id| users.send(Lookup(id)))).await;
        assert_eq!(behaviour.attempts(), KEYS);
        let (mut loads, seconds) = (Vec::new(), 21);
        for _ in 0..seconds {
            let before = behaviour.attempts();
            for id in 0..KEYS {
                users.send(Lookup(id)).await.expect("it answers");
            }
            loads.push(behaviour.attempts() - before);
            sleep(ms(1_000)).await;
        }
        let mean = loads.iter().sum::<u64>() as f64 / seconds as f64;
        let peak = loads.iter().copied().max().unwrap_or(0);
        assert!(peak as f64 <= 3.0 * mean, "{peak} at the peak, {mean} on average: {loads:?}");
        end(runtime).await;
    });
}

/// K5: while the downstream is dead, what is kept is served as long as the settings say, and says what it is.
#[test]
fn what_is_stale_says_so_and_ends_when_it_must() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = "retry = false\ncache = { ttl = \"5s\", jitter = \"0%\", stale_if_error = \"60s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        for id in 0..20 {
            users.send(Lookup(id)).await.expect("loaded");
        }
        let loaded = Instant::now();
        behaviour.react(|_| Reaction::Fail(down()));
        let (mut fresh, mut stale, mut errors) = (0, 0, 0);
        while loaded.elapsed() < Duration::from_secs(95) {
            let age = loaded.elapsed();
            match users.send(Lookup(age.as_millis() as u64 % 20)).await {
                Ok(answer) if answer.origin() == Origin::Stale => {
                    let past = answer.age().saturating_sub(Duration::from_secs(5));
                    assert!(answer.age().abs_diff(age) < ms(20), "{:?} is not {age:?}", answer.age());
                    assert!(past <= Duration::from_secs(60), "{past:?} past its time");
                    stale += 1;
                }
                Ok(answer) => {
                    assert_eq!(answer.origin(), Origin::Cached);
                    assert!(age <= Duration::from_secs(5), "{age:?} and not marked as stale");
                    fresh += 1;
                }
                Err(_) => {
                    assert!(age > Duration::from_secs(64), "an error after {age:?}");
                    errors += 1;
                }
            }
            sleep(ms(50)).await;
        }
        assert!(fresh > 90 && stale > 1_100 && errors > 500, "{fresh} fresh, {stale} stale, {errors} errors");
        end(runtime).await;
    });
}

#[test]
fn a_deleted_user_does_not_come_back_as_a_stale_one() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("cache = { ttl = \"5s\", jitter = \"0%\" }", &behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        sleep(ms(6_000)).await;
        behaviour.react(|_| Reaction::Fail(Failure::new(Blame::Caller, "no such user")));
        users.send(Lookup(1)).await.expect_err("it was deleted");
        behaviour.react(|_| Reaction::Fail(down()));
        users.send(Lookup(1)).await.expect_err("nothing of it is kept");
        end(runtime).await;
    });
}
