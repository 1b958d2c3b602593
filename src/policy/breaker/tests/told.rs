//! What it is told: health checks, orders by hand, and questions.

use super::*;

#[test]
fn it_can_be_forced_disabled_and_reset() {
    let breaker = breaker(|_| {});
    assert_eq!(breaker.force_open(at(0)).map(|change| change.to), Some(State::ForcedOpen));
    assert!(breaker.admit(at(1_000_000)).is_err(), "no time ends it");
    assert!(breaker.disable(at(1_000_001)).is_some());
    for i in 0..100 {
        assert_eq!(call(&breaker, Verdict::Failure, at(1_000_002 + i)), None);
    }
    assert_eq!(breaker.reset(at(1_000_200)).map(|change| change.to), Some(State::Closed));
    assert_eq!(breaker.reset(at(1_000_200)), None);
}

#[test]
fn a_good_check_makes_it_half_open_once_the_reset_time_has_passed() {
    let breaker = breaker(|_| {});
    assert_eq!(breaker.checked(true, at(0)), None);
    open(&breaker, at(0));
    assert_eq!(breaker.checked(true, at(29_999)), None, "a flapping downstream is not let back in at once");
    let change = breaker.checked(true, at(30_000)).expect("it is time");
    assert_eq!((change.to, change.cause), (State::HalfOpen, Cause::HealthCheck));
    let (probe, change) = breaker.admit(at(90_000)).expect("the check took no slot");
    assert_eq!(change, None);
    let change = breaker.record(probe, Verdict::Success, Duration::ZERO, at(90_001));
    assert_eq!(change.map(|change| change.to), Some(State::Closed));
}

#[test]
fn checks_that_fail_open_it_and_one_while_it_is_open_changes_nothing() {
    let breaker = breaker(|_| {});
    let change = breaker.checked(false, at(0)).expect("it opens");
    assert_eq!((change.to, change.cause, change.open_count), (State::Open, Cause::HealthCheck, 1));
    assert_eq!(breaker.checked(false, at(1)), None);
    breaker.checked(true, at(2)).expect("it is half open: what checks did, a check undoes");
    let change = breaker.checked(false, at(3)).expect("it was not well after all");
    assert_eq!((change.to, change.retry_after), (State::Open, 60 * SECOND));
    breaker.checked(true, at(4)).expect("it is half open");
    assert!(call(&breaker, Verdict::Failure, at(5)).is_some(), "the probe fails");
    assert_eq!(breaker.checked(true, at(6)), None, "now calls know better");
    breaker.force_open(at(30_002));
    assert_eq!(breaker.checked(true, at(900_000)), None, "what was forced stays so");
}

#[test]
fn with_a_gate_no_time_alone_ends_its_being_open() {
    let breaker = breaker(|settings| settings.health_gate = true);
    open(&breaker, at(0));
    for now in [29_999, 30_000, 1_000_000] {
        assert!(breaker.look(at(now)).is_err());
        let refused = breaker.admit(at(now)).expect_err("no check was well");
        assert!(refused.health_gate);
        assert!(refused.to_string().contains("a health check that is well"), "{refused}");
    }
    breaker.checked(true, at(1_000_000)).expect("it is half open");
    call(&breaker, Verdict::Success, at(1_000_001)).expect("its probe closes it");
}

#[test]
fn a_check_does_not_open_what_warms_up() {
    let breaker = breaker(|settings| settings.warm_up = SECOND);
    assert_eq!(breaker.checked(false, at(999)), None);
    assert!(breaker.checked(false, at(1_000)).is_some());
}

#[test]
fn to_ask_why_counts_no_refusal() {
    let breaker = breaker(|_| {});
    assert_eq!(breaker.explain(at(0)), None);
    open(&breaker, at(0));
    let why = breaker.explain(at(10_000)).expect("it is open");
    assert_eq!((why.state, why.failures, why.open_count), (State::Open, 5, 1));
    assert_eq!((why.retry_after, why.since, why.threshold), (20 * SECOND, 10 * SECOND, 0.5));
    assert_eq!(breaker.snapshot(at(10_000)).rejected, 0);
    assert_eq!(breaker.look(at(10_000)), Err(why));
    assert_eq!(breaker.explain(at(30_000)), None, "the next would be the probe");
}
