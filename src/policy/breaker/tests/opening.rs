//! What opens a breaker, and what does not.

use super::*;

#[test]
fn it_opens_at_the_threshold_and_not_before_the_minimum() {
    let breaker = breaker(|settings| settings.consecutive_failures = 0);
    for i in 0..9 {
        let verdict = if i % 2 == 0 { Verdict::Failure } else { Verdict::Success };
        assert_eq!(call(&breaker, verdict, at(i)), None);
    }
    // The tenth is a success, and half of ten is too many.
    let change = call(&breaker, Verdict::Success, at(9)).expect("5 of 10 failed");
    assert_eq!(
        (change.to, change.cause, change.failures, change.calls),
        (State::Open, Cause::ErrorRatio, 5, 10)
    );
    let refused = breaker.admit(at(10)).expect_err("it is open");
    assert_eq!(refused.retry_after, Duration::from_millis(29_999));
}

#[test]
fn failures_in_a_row_open_it_however_rare_the_calls() {
    let breaker = breaker(|_| {});
    for i in 0..4 {
        assert_eq!(call(&breaker, Verdict::Failure, at(i * 60_000)), None);
    }
    let change = call(&breaker, Verdict::Failure, at(240_000)).expect("five in a row");
    assert_eq!(change.cause, Cause::ConsecutiveFailures);
}

#[test]
fn what_is_no_ones_fault_is_neither_success_nor_failure() {
    let breaker = breaker(|_| {});
    for i in 0..4 {
        call(&breaker, Verdict::Failure, at(i));
    }
    for i in 0..100 {
        assert_eq!(call(&breaker, Verdict::Neutral, at(i)), None);
    }
    assert_eq!(breaker.snapshot(at(100)).calls, 4);
    assert!(call(&breaker, Verdict::Failure, at(101)).is_some(), "the row was not broken");
}

#[test]
fn slow_calls_open_it() {
    let breaker = breaker(|settings| settings.slow_call = Some(SlowCall::default()));
    let mut change = None;
    for i in 0..10 {
        let (permit, _) = breaker.admit(at(i)).expect("closed");
        let took = if i < 5 { 2 * SECOND } else { Duration::ZERO };
        change = breaker.record(permit, Verdict::Success, took, at(i)).or(change);
    }
    // The tenth is fast, and half of ten is too many.
    let change = change.expect("5 of 10 were slow");
    assert_eq!((change.cause, change.slow, change.threshold), (Cause::SlowCalls, 5, 0.5));
}

#[test]
fn it_does_not_open_while_it_warms_up() {
    let breaker = breaker(|settings| settings.warm_up = SECOND);
    for i in 0..20 {
        assert_eq!(call(&breaker, Verdict::Failure, at(i)), None);
    }
    assert!(call(&breaker, Verdict::Failure, at(1_000)).is_some());
}

#[test]
fn a_move_is_nobodys_fault_unless_it_lasts() {
    let breaker = breaker(|_| {});
    for i in 0..100 {
        assert_eq!(call(&breaker, Verdict::Moved, at(1 + i * 99)), None);
    }
    assert_eq!((breaker.snapshot(at(9_901)).calls, breaker.snapshot(at(9_901)).moving_ms), (0, 9_900));
    // An answer, and all begins anew.
    call(&breaker, Verdict::Success, at(9_950));
    assert_eq!(breaker.snapshot(at(9_950)).moving_ms, 0);
    for i in 0..5 {
        assert_eq!(call(&breaker, Verdict::Moved, at(10_000 + i * 1_000)), None);
    }
    let lasts = LONGEST_MOVE.as_millis() as u64;
    for i in 0..4 {
        assert_eq!(call(&breaker, Verdict::Moved, at(10_000 + lasts + i)), None);
    }
    let change = call(&breaker, Verdict::Moved, at(10_004 + lasts)).expect("five failures in a row");
    assert_eq!((change.cause, change.failures), (Cause::ConsecutiveFailures, 5));
    // It is still nowhere: the probe fails at once.
    let change = call(&breaker, Verdict::Moved, at(10_004 + lasts + 30_000)).expect("it opens again");
    assert_eq!(change.cause, Cause::ProbeFailed);
}
