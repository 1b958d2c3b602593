//! Half open: probes, and how it closes.

use super::*;

#[test]
fn one_probe_passes_and_closes_it() {
    let breaker = breaker(|_| {});
    open(&breaker, at(0));
    assert!(breaker.look(at(29_999)).is_err());
    assert!(breaker.look(at(30_000)).is_ok());
    let (probe, change) = breaker.admit(at(30_000)).expect("the reset time is over");
    assert_eq!(change.map(|change| (change.from, change.to)), Some((State::Open, State::HalfOpen)));
    assert_eq!(breaker.admit(at(30_001)).expect_err("one probe").state, State::HalfOpen);
    let change = breaker.record(probe, Verdict::Success, Duration::ZERO, at(30_002)).expect("it closes");
    assert_eq!((change.to, change.lasted), (State::Closed, Duration::from_millis(30_002)));
    assert_eq!(breaker.snapshot(at(30_002)).calls, 0, "the window is cleared");
}

#[test]
fn a_failed_probe_opens_it_for_longer_up_to_a_cap() {
    let breaker = breaker(|_| {});
    open(&breaker, at(0));
    let mut now = at(30_000);
    for expected in [60, 60, 60] {
        let change = call(&breaker, Verdict::Failure, now).expect("it opens again");
        assert_eq!((change.cause, change.retry_after), (Cause::ProbeFailed, expected * SECOND));
        now = now.after(change.retry_after);
    }
}

#[test]
fn a_cancelled_probe_gives_its_slot_back() {
    let breaker = breaker(|_| {});
    open(&breaker, at(0));
    for i in 0..100 {
        let (probe, _) = breaker.admit(at(30_000 + i)).expect("the slot is free");
        assert_eq!(breaker.record(probe, Verdict::Neutral, Duration::ZERO, at(30_000 + i)), None);
    }
    assert_eq!(breaker.snapshot(at(30_100)).state, State::HalfOpen);
}

#[test]
fn a_probe_that_never_ends_does_not_hold_the_gate() {
    let breaker = breaker(|_| {});
    open(&breaker, at(0));
    let (lost, _) = breaker.admit(at(30_000)).expect("a probe");
    assert!(breaker.admit(at(39_999)).is_err());
    let (probe, _) = breaker.admit(at(40_000)).expect("another probe");
    // The lost one comes back too late to count.
    assert_eq!(breaker.record(lost, Verdict::Failure, Duration::ZERO, at(40_001)), None);
    let change = breaker.record(probe, Verdict::Success, Duration::ZERO, at(40_002));
    assert_eq!(change.map(|change| change.to), Some(State::Closed));
}

#[test]
fn outcomes_from_before_a_change_of_state_do_not_count() {
    let breaker = breaker(|_| {});
    let (early, _) = breaker.admit(at(0)).expect("closed");
    open(&breaker, at(1));
    let (probe, _) = breaker.admit(at(30_001)).expect("a probe");
    assert_eq!(breaker.record(early, Verdict::Success, Duration::ZERO, at(30_002)), None);
    assert_eq!(breaker.snapshot(at(30_002)).state, State::HalfOpen, "an old success closes nothing");
    let _ = breaker.record(probe, Verdict::Success, Duration::ZERO, at(30_003));
}

#[test]
fn after_closing_a_flood_is_let_through_by_a_growing_share_and_a_trickle_whole() {
    let breaker = breaker(|_| {});
    open(&breaker, at(0));
    call(&breaker, Verdict::Success, at(30_000));
    let passed = |second: u64, calls: u64| {
        (0..calls).filter(|i| breaker.admit(at(30_000 + second * 1000 + i * 1000 / calls)).is_ok()).count()
    };
    assert_eq!(passed(0, 10), 10);
    let (early, late) = (passed(1, 1000), passed(8, 1000));
    assert!((150..300).contains(&early), "{early}");
    assert!((800..950).contains(&late), "{late}");
    assert_eq!(passed(10, 1000), 1000);
}

#[test]
fn a_quiet_service_gets_a_call_through_whatever_the_minimum() {
    let breaker = breaker(|settings| settings.minimum_calls = 0);
    open(&breaker, at(0));
    call(&breaker, Verdict::Success, at(30_000));
    for second in 0..10 {
        assert!(breaker.admit(at(30_000 + second * 1_000)).is_ok(), "one in each tenth of the ramp");
    }
}

#[test]
fn the_reset_time_is_spread_by_the_seed_and_by_no_more_than_the_jitter() {
    let times: Vec<_> = (0..100)
        .map(|seed| {
            let breaker = Breaker::new(BreakerSettings::default(), seed, Tick::ZERO);
            open(&breaker, at(0));
            breaker.snapshot(at(0)).retry_after_ms
        })
        .collect();
    assert!(times.iter().all(|ms| (27_000..=33_000).contains(ms)), "{times:?}");
    assert!(times.iter().max() > times.iter().min().map(|ms| ms + 4_000).as_ref(), "{times:?}");
}

#[test]
fn a_probe_let_through_late_has_its_whole_time() {
    let breaker = breaker(|_| {});
    open(&breaker, at(0));
    let (first, _) = breaker.admit(at(30_000)).expect("a probe");
    let _ = breaker.record(first, Verdict::Neutral, Duration::ZERO, at(39_000));
    let (second, _) = breaker.admit(at(39_999)).expect("the slot is free");
    let refused = breaker.admit(at(40_001)).expect_err("it was let through a moment ago");
    assert_eq!(refused.retry_after, Duration::from_millis(9_998));
    let change = breaker.record(second, Verdict::Success, Duration::ZERO, at(40_002));
    assert_eq!(change.map(|change| change.to), Some(State::Closed));
}

#[test]
fn several_probes_must_succeed_and_one_that_fails_is_enough() {
    let breaker = breaker(|settings| settings.half_open_calls = 3);
    open(&breaker, at(0));
    let mut probes: Vec<_> = (0..3).map(|_| breaker.admit(at(30_000)).expect("a probe").0).collect();
    assert!(breaker.admit(at(30_000)).is_err());
    let mut end = |verdict| {
        let probe = probes.pop().expect("three of them");
        breaker.record(probe, verdict, Duration::ZERO, at(30_001)).map(|change| change.to)
    };
    assert_eq!(end(Verdict::Success), None);
    assert_eq!(end(Verdict::Success), None);
    assert_eq!(end(Verdict::Failure), Some(State::Open));
}
