use seawall::{Origin, within};
use seawall_testkit::{Ask, Reaction, virtual_time};
use tokio::time::Instant;

use crate::support::{end, ms, replies, slow, start};

#[test]
fn a_call_goes_to_its_downstream_and_back() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        let answer = users.send(Ask(7)).await.expect("it answers");
        assert_eq!((answer.id, answer.origin()), (7, Origin::Fresh));
        assert_eq!(behaviour.attempts(), 1);
        let snapshot = runtime.snapshot();
        let ask = snapshot.service("users").and_then(|users| users.call("Ask")).expect("it was called");
        assert_eq!((ask.fresh, ask.total(), ask.attempts), (1, 1, 1));
        end(runtime).await;
    });
}

#[test]
fn a_call_that_takes_too_long_is_given_up_and_says_where_it_was() {
    virtual_time(async || {
        let behaviour = slow(ms(60_000));
        let (runtime, users) = start("retry = false", &behaviour).await;
        let began = Instant::now();
        let error = users.send(Ask(7)).await.expect_err("3 s are over");
        assert_eq!(began.elapsed().as_secs(), 3);
        assert!(error.is_timeout());
        assert_eq!(error.to_string(), "users Ask timed out after 3s, waiting for the answer");
        end(runtime).await;
    });
}

#[test]
fn the_earliest_deadline_wins() {
    virtual_time(async || {
        let behaviour = slow(ms(60_000));
        let (runtime, users) = start("max_timeout = \"10s\"", &behaviour).await;
        let took = async |call: seawall::Sending<'_, _, Ask>| {
            let began = Instant::now();
            assert!(call.await.expect_err("its time is over").is_timeout());
            began.elapsed().as_millis()
        };
        assert_eq!(took(users.send(Ask(1)).deadline(ms(200))).await, 200);
        assert_eq!(took(users.send(Ask(1)).deadline(ms(60_000))).await, 10_000);
        assert_eq!(within(ms(300), took(users.send(Ask(1)))).await, 300);
        assert_eq!(within(ms(300), within(ms(900), took(users.send(Ask(1))))).await, 300);
        end(runtime).await;
    });
}

#[test]
fn a_deadline_that_has_passed_is_refused_before_anything_is_sent() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("", &behaviour).await;
        let error = users.send(Ask(1)).deadline(ms(0)).await.expect_err("there is no time");
        assert!(error.is_rejection() && error.is_timeout());
        assert_eq!(behaviour.attempts(), 0);
        assert_eq!(runtime.snapshot().service("users").and_then(|s| s.breaker).map(|b| b.calls), Some(0));
        end(runtime).await;
    });
}

#[test]
fn an_absurd_deadline_is_capped() {
    virtual_time(async || {
        let (runtime, users) = start("", &replies()).await;
        users.send(Ask(1)).deadline(std::time::Duration::MAX).await.expect("it answers");
        within(std::time::Duration::MAX, async { users.send(Ask(1)).await }).await.expect("it answers");
        end(runtime).await;
    });
}

#[test]
fn a_panicking_attempt_fails_its_call_alone() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.react(|asked| match asked.id {
            0 => Reaction::Panic,
            1 => Reaction::Panic.after(ms(10)),
            _ => Reaction::Reply.after(ms(20)),
        });
        let (runtime, users) = start("", &behaviour).await;
        let calls = (0..5).map(|id| users.send(Ask(id)));
        let results = futures_util::future::join_all(calls).await;
        let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [true, true, false, false, false]);
        let error = results.into_iter().next().expect("the first").expect_err("it panicked");
        assert_eq!(
            error.failure().map(ToString::to_string).as_deref(),
            Some("the attempt panicked: the script says so")
        );
        assert_eq!(behaviour.opened(), 1, "the shard lives");
        end(runtime).await;
    });
}
