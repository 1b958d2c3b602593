use seawall::{
    Failure,
    downstream::{Blame, Reached, Symptom},
};
use seawall_testkit::{Ask, Behaviour, Change, Reaction, virtual_time};

use crate::support::{down, end, fails, ms, replies, start};

#[test]
fn what_may_be_made_twice_is_tried_again() {
    virtual_time(async || {
        let behaviour = fails();
        behaviour.react(|asked| if asked.number == 1 { Reaction::Fail(down()) } else { Reaction::Reply });
        let (runtime, users) = start("", &behaviour).await;
        assert_eq!(users.send(Ask(1)).await.expect("the second try").number, 2);
        end(runtime).await;
    });
}

#[test]
fn a_write_is_tried_again_only_if_it_never_got_there() {
    virtual_time(async || {
        let behaviour = fails();
        behaviour.react(|asked| match (asked.id, asked.number) {
            (1, 1) => Reaction::Fail(down().reached(Reached::No)),
            (2, _) => Reaction::Fail(down().reached(Reached::Maybe)),
            _ => Reaction::Reply,
        });
        let (runtime, users) = start("", &behaviour).await;
        users.send(Change(1)).await.expect("it had not been sent");
        let error = users.send(Change(2)).await.expect_err("it may have been");
        assert_eq!(error.reached(), Reached::Maybe, "and the caller is told");
        assert_eq!(behaviour.attempts(), 3);
        end(runtime).await;
    });
}

#[test]
fn a_downstream_is_left_alone_as_long_as_it_asks() {
    virtual_time(async || {
        let behaviour = fails();
        behaviour.react(|asked| match asked.number {
            1 => Reaction::Fail(Failure::new(Blame::Overload, "slow down").retry_after(ms(1500))),
            _ => Reaction::Reply,
        });
        let (runtime, users) = start("", &behaviour).await;
        let began = tokio::time::Instant::now();
        users.send(Ask(1)).await.expect("the second try");
        assert!(began.elapsed() >= ms(1500));
        let error = users.send(Ask(1)).deadline(ms(1000)).await.expect_err("there is no time to wait");
        assert_eq!(error.retry_after(), Some(ms(1500)));
        end(runtime).await;
    });
}

#[test]
fn retries_stay_within_their_budget() {
    virtual_time(async || {
        let behaviour = fails();
        let settings = "breaker = false\nretry_budget = { minimum_per_second = 1 }\nretry = { attempts = 3 }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..1000 {
            users.send(Ask(1)).await.expect_err("it fails");
            tokio::time::sleep(ms(1)).await;
        }
        let attempts = behaviour.attempts();
        assert!(attempts <= 1000 + 200 + 30, "{attempts} attempts for 1000 calls");
        end(runtime).await;
    });
}

#[test]
fn a_call_made_for_a_retry_is_not_retried() {
    virtual_time(async || {
        let behaviour = fails();
        let (runtime, users) = start("", &behaviour).await;
        let context = seawall::Context::new().retried();
        context.in_scope(async { users.send(Ask(1)).await }).await.expect_err("it fails");
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

#[test]
fn an_answer_that_says_no_is_not_retried_unless_asked_for() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour
            .react(|_| Reaction::Fail(Failure::new(Blame::Downstream, "500").symptom(Symptom::Response)));
        let (runtime, users) = start("breaker = false", &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}

/// Who asks for less and may have worked on it all the same is not given a write twice; who refused it before any work is.
#[test]
fn a_write_is_sent_again_only_to_who_refused_it_before_any_work() {
    virtual_time(async || {
        for (reached, attempts) in [(Reached::Yes, 1), (Reached::Maybe, 1), (Reached::No, 2)] {
            let behaviour = Behaviour::new(move |asked| match asked.number {
                1 => Reaction::Fail(Failure::new(Blame::Overload, "slow down").reached(reached)),
                _ => Reaction::Reply,
            });
            let (runtime, users) = start("", &behaviour).await;
            let sent = users.send(Change(1)).await;
            assert_eq!(
                (sent.is_ok(), behaviour.attempts()),
                (reached == Reached::No, attempts),
                "{reached:?}"
            );
            end(runtime).await;
        }
    });
}
