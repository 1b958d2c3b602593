//! What counts as what.

use seawall::{
    CallError, Failure, Origin,
    call::Reason,
    downstream::{Blame, Stage, Symptom},
    policy::breaker::State,
};
use seawall_testkit::{Ask, Behaviour, Echo, Lookup, Reaction, virtual_time};

use crate::{
    shop::{LIST_PRICE, Quote, guard},
    support::{down, end, fails, ms, replies, settle, slow, start},
    watch::{AT_ONCE, breaker, call, state},
};

const SPARE: Echo = Echo { id: 9, serial: 0, number: 0 };

#[test]
fn case_7_a_failure_is_the_actions_own_and_counts_once() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &fails()).await;
        let error = users.send(Ask(1)).await.expect_err("it fails");
        assert!(!error.is_rejection() && !error.is_timeout(), "it is not one of ours");
        assert_eq!(error.failure().map(ToString::to_string), Some(down().to_string()));
        assert_eq!((breaker(&runtime).calls, breaker(&runtime).failures), (1, 1));
        assert_eq!((call(&runtime, "Ask").error, call(&runtime, "Ask").total()), (1, 1));
        end(runtime).await;
    });
}

/// The breaker does not count it: code of ours that panics says nothing about the downstream.
#[test]
fn case_8_an_action_that_throws_is_a_failure_and_its_fallback_answers() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &Behaviour::new(|_| Reaction::Panic)).await;
        assert!(matches!(users.send(Ask(1)).await, Err(CallError::Failed(_))));
        let answer = users.send(Ask(1)).fallback(|_| SPARE).await.expect("it falls back");
        assert_eq!((*answer, answer.origin()), (SPARE, Origin::Fallback));
        assert_eq!((state(&runtime), breaker(&runtime).failures), (State::Closed, 0));
        end(runtime).await;
    });
}

/// One failure, not a time-out and a failure, and its latency is recorded once.
#[test]
fn case_9_a_timeout_is_one_failure_and_names_the_stage_that_ran_out() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"100ms\"\nretry = false", &slow(ms(1_000))).await;
        let error = users.send(Ask(1)).await.expect_err("it is too slow");
        assert!(error.is_timeout() && !error.is_rejection(), "{error:?}");
        assert_eq!(error.failure().map(Failure::looked_like), Some(Symptom::Timeout(Stage::Attempt)));
        assert_eq!((call(&runtime, "Ask").timeout, call(&runtime, "Ask").error), (1, 0));
        assert_eq!((breaker(&runtime).calls, breaker(&runtime).failures), (1, 1));
        end(runtime).await;
    });
}

/// In opossum the action goes on, and only what it gives is thrown away.
#[test]
fn case_11_what_timed_out_is_cancelled_and_counts_no_second_time() {
    virtual_time(async || {
        let behaviour = slow(ms(200));
        let (runtime, users) = start("timeout = \"100ms\"\nretry = false", &behaviour).await;
        users.send(Ask(1)).await.expect_err("it is too slow");
        tokio::time::sleep(ms(1_000)).await;
        assert_eq!((behaviour.attempts(), behaviour.finished()), (1, 0));
        assert_eq!((breaker(&runtime).calls, call(&runtime, "Ask").total()), (1, 1));
        end(runtime).await;
    });
}

#[test]
fn case_12_a_timeout_has_its_fallback_too() {
    virtual_time(async || {
        let (runtime, users) = start("timeout = \"100ms\"\nretry = false", &slow(ms(1_000))).await;
        let answer = users.send(Ask(1)).fallback(|_| SPARE).await.expect("it falls back");
        assert_eq!(*answer, SPARE);
        assert_eq!((call(&runtime, "Ask").timeout, call(&runtime, "Ask").fallback), (0, 1));
        assert_eq!(breaker(&runtime).failures, 1);
        end(runtime).await;
    });
}

/// What the filter lets pass is neither failure nor success: in opossum it is counted, and told, as a success.
#[test]
fn case_27_what_is_not_the_downstreams_fault_is_no_failure_and_no_success() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|_| Reaction::Fail(Failure::new(Blame::Caller, "there is none")));
        let (runtime, users) = start(AT_ONCE, &behaviour).await;
        let error = users.send(Ask(1)).fallback(|_| SPARE).await.expect_err("no fallback for it");
        assert_eq!(error.blame(), Blame::Caller);
        assert_eq!((state(&runtime), breaker(&runtime).calls), (State::Closed, 0));
        assert_eq!((call(&runtime, "Ask").error, call(&runtime, "Ask").answered()), (1, 0));
        end(runtime).await;
    });
}

/// There a filter may let time-outs pass; here only one by a caller who had less time than the settings give says nothing.
#[test]
fn case_28_a_timeout_counts_unless_its_caller_was_in_a_hurry() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &slow(ms(2_900))).await;
        let error = users.send(Ask(1)).deadline(ms(100)).await.expect_err("it has no time");
        assert!(error.is_timeout());
        assert_eq!((state(&runtime), breaker(&runtime).failures), (State::Closed, 0));
        users.send(Ask(1)).await.expect("it has as long as it takes");
        end(runtime).await;
    });
}

#[test]
fn case_29_whose_fault_it_is_may_depend_on_error_arguments_and_answer() {
    virtual_time(async || {
        let (runtime, any) = guard("retry = false").await;
        // By the code itself, which knows what it was asked.
        let order = 7;
        let own = any.run(move || async move {
            Err::<(), _>(Failure::new(Blame::Caller, format!("there is no order {order}")))
        });
        let error = own.await.expect_err("it fails");
        assert_eq!(error.failure().map(ToString::to_string).as_deref(), Some("there is no order 7"));
        assert_eq!(error.blame(), Blame::Caller);
        // By the call's judge, of an answer that came well.
        let error = any.send(Quote::new(0, -1)).await.expect_err("no such order");
        assert_eq!(error.blame(), Blame::Caller);
        assert_eq!(error.failure().map(ToString::to_string).as_deref(), Some("nobody has an order 0"));
        assert_eq!(*any.send(Quote::new(1, -1)).await.expect("it has a fallback"), LIST_PRICE);
        assert_eq!((breaker(&runtime).calls, breaker(&runtime).failures), (1, 1));
        end(runtime).await;

        // By the settings, from the failure's code.
        let behaviour = Behaviour::new(|asked| {
            let code = if asked.id == 1 { "409" } else { "503" };
            Reaction::Fail(Failure::new(Blame::Downstream, "no").symptom(Symptom::Response).code(code))
        });
        let (runtime, users) = start("retry = false\nclassify.ignore = [\"4xx\"]", &behaviour).await;
        assert_eq!(users.send(Ask(1)).await.expect_err("it fails").blame(), Blame::Caller);
        assert_eq!(users.send(Ask(2)).await.expect_err("it fails").blame(), Blame::Downstream);
        assert_eq!((breaker(&runtime).calls, breaker(&runtime).failures), (1, 1));
        end(runtime).await;
    });
}

/// In opossum it counts as a failure, so that our own limit may open the breaker.
#[test]
fn case_35_a_call_too_many_is_refused_without_being_made_and_is_no_failure() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let settings = format!("{AT_ONCE}\nbulkhead = {{ max_in_flight = 1, max_queue = 0 }}");
        let (runtime, users) = start(&settings, &behaviour).await;
        let (first, second) = tokio::join!(users.send(Ask(1)), users.send(Ask(2)));
        first.expect("it is alone");
        let error = second.expect_err("it is one too many");
        assert!(matches!(error.reason(), Some(Reason::BulkheadFull { max_in_flight: 1, .. })), "{error:?}");
        assert_eq!((behaviour.attempts(), call(&runtime, "Ask").rejected), (1, 1));
        assert_eq!((state(&runtime), breaker(&runtime).failures), (State::Closed, 0));
        let refused = "seawall_rejections_total{service=\"users\",policy=\"bulkhead\",mode=\"enforce\"";
        assert!(runtime.metrics().contains(refused), "{}", runtime.metrics());
        end(runtime).await;
    });
}

/// Nor needs it anybody's timer or `rotate` event.
#[test]
fn case_51_and_53_the_window_slides_by_itself() {
    virtual_time(async || {
        let (runtime, users) = start("breaker = { window = \"200ms\", buckets = 2 }", &slow(ms(1))).await;
        for _ in 0..3 {
            users.send(Ask(1)).await.expect("it is well");
        }
        assert_eq!(breaker(&runtime).calls, 3);
        tokio::time::sleep(ms(300)).await;
        assert_eq!(breaker(&runtime).calls, 0);
        assert_eq!(call(&runtime, "Ask").fresh, 3, "what the runtime has counted stays");
        end(runtime).await;
    });
}

/// Counts are read when somebody wants them, so nothing ticks to tell them.
#[test]
fn case_52_every_counter_is_in_the_snapshot_at_any_time() {
    virtual_time(async || {
        let (runtime, users) = start("retry = false", &slow(ms(10))).await;
        let _ = tokio::join!(users.send(Lookup(1)), users.send(Lookup(1)));
        users.send(Lookup(1)).await.expect("it is kept");
        tokio::time::sleep(ms(3_600_000)).await;
        let lookup = call(&runtime, "Lookup");
        // fires, successes, cacheHits, cacheMisses, coalesceCacheHits, coalesceCacheMisses
        let counts =
            (lookup.total(), lookup.fresh, lookup.cached, lookup.misses, lookup.coalesced, lookup.loads);
        assert_eq!(counts, (3, 2, 1, 2, 1, 1));
        // failures, timeouts, rejects and semaphoreRejections, fallbacks
        assert_eq!((lookup.error, lookup.timeout, lookup.rejected, lookup.fallback), (0, 0, 0, 0));
        end(runtime).await;
    });
}

/// There they may be turned off and then are -1. Here they cost too little for that.
#[test]
fn case_54_percentiles_are_always_there_and_zero_before_a_call_has_ended() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| {
            let millis = if asked.id < 90 { 10 } else { 1_000 };
            Reaction::Reply.after(ms(millis))
        });
        let (runtime, users) = start("", &behaviour).await;
        tokio::time::timeout(ms(5), users.send(Ask(0))).await.expect_err("its caller went away");
        assert_eq!(call(&runtime, "Ask").latency.p99_us, 0);
        for id in 0..100 {
            users.send(Ask(id)).await.expect("it is well");
        }
        let latency = call(&runtime, "Ask").latency;
        assert!((10_000..12_000).contains(&latency.p50_us), "{latency:?}");
        assert!((1_000_000..1_200_000).contains(&latency.p95_us), "{latency:?}");
        assert!(latency.p95_us <= latency.p99_us, "{latency:?}");
        end(runtime).await;
    });
}

/// In opossum hits, shared calls and refusals are fires, and make the rate look better than it is.
#[test]
fn difference_the_rate_is_of_outcomes_which_hits_and_refusals_are_not() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.call {
            "Lookup" => Reaction::Reply,
            _ => Reaction::Fail(down()),
        });
        let settings = "retry = false\nbreaker = { minimum_calls = 2, consecutive_failures = 0 }";
        let (runtime, users) = start(settings, &behaviour).await;
        for _ in 0..100 {
            users.send(Lookup(1)).await.expect("it is well");
        }
        assert_eq!((breaker(&runtime).calls, state(&runtime)), (1, State::Closed));
        for _ in 0..100 {
            users.send(Ask(1)).await.expect_err("it fails, or is refused");
        }
        let breaker = breaker(&runtime);
        assert_eq!((breaker.calls, breaker.failures, breaker.rejected), (2, 1, 99));
        end(runtime).await;
    });
}

/// In opossum one call may be a failure, a time-out and a fallback, so that its counters sum up to nothing.
#[test]
fn difference_each_call_ends_in_one_outcome_and_they_sum_up() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| match asked.id {
            1 => Reaction::Fail(down()),
            2 => Reaction::Hang,
            _ => Reaction::Reply.after(ms(10)),
        });
        let settings = "retry = false\nbulkhead = { max_in_flight = 1, max_queue = 0 }";
        let (runtime, users) = start(settings, &behaviour).await;
        users.send(Ask(1)).await.expect_err("it fails");
        users.send(Ask(1)).fallback(|_| SPARE).await.expect("it falls back");
        users.send(Ask(2)).await.expect_err("it hangs");
        tokio::time::timeout(ms(5), users.send(Ask(0))).await.expect_err("its caller went away");
        settle().await;
        let (first, second) = tokio::join!(users.send(Ask(0)), users.send(Ask(0)));
        first.expect("it is alone");
        second.expect_err("it is one too many");

        let ask = call(&runtime, "Ask");
        let outcomes = [ask.fresh, ask.fallback, ask.error, ask.timeout, ask.rejected, ask.cancelled];
        assert_eq!((outcomes, ask.total()), ([1; 6], 6));
        let metrics = runtime.metrics();
        let counts = metrics.lines().filter(|line| line.starts_with("seawall_call_duration_seconds_count"));
        let mut told: Vec<_> = counts.filter_map(|line| line.split("outcome=\"").nth(1)).collect();
        told.sort_unstable();
        let told: Vec<_> = told.iter().filter_map(|rest| rest.split_once('"')).collect();
        let outcome =
            |(outcome, rest): &(&str, &str)| format!("{outcome} {}", rest.rsplit(' ').next().unwrap_or(""));
        let told: Vec<_> = told.iter().map(outcome).collect();
        assert_eq!(told, ["cancelled 1", "error 1", "ok 1", "ok 1", "rejected 1", "timeout 1"], "{metrics}");
        end(runtime).await;
    });
}

#[test]
fn difference_a_caller_who_goes_away_is_no_outcome() {
    virtual_time(async || {
        let (runtime, users) = start(AT_ONCE, &slow(ms(100))).await;
        let gone = tokio::time::timeout(ms(50), users.send(Ask(1))).await;
        gone.expect_err("its caller went away");
        settle().await;
        assert_eq!((breaker(&runtime).calls, call(&runtime, "Ask").cancelled), (0, 1));
        end(runtime).await;
    });
}

#[test]
fn difference_five_failures_in_a_row_open_it_whatever_the_rate() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start("retry = false", &behaviour).await;
        for _ in 0..95 {
            users.send(Ask(1)).await.expect("it is well");
        }
        behaviour.react(|_| Reaction::Fail(down()));
        for failures in 1..=5 {
            assert_eq!(state(&runtime), State::Closed, "after {failures}");
            users.send(Ask(1)).await.expect_err("it fails");
        }
        assert_eq!(state(&runtime), State::Open);
        end(runtime).await;
    });
}
