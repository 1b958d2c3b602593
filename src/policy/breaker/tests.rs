use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Tick {
    Tick::ZERO.after(Duration::from_millis(ms))
}

fn breaker(change: impl FnOnce(&mut BreakerSettings)) -> Breaker {
    let mut settings =
        BreakerSettings { reset_jitter: crate::units::Ratio::NONE, ..BreakerSettings::default() };
    change(&mut settings);
    Breaker::new(settings, 7, Tick::ZERO)
}

fn call(breaker: &Breaker, verdict: Verdict, now: Tick) -> Option<Transition> {
    let (permit, change) = breaker.admit(now).expect("it is not open");
    breaker.record(permit, verdict, Duration::ZERO, now).or(change)
}

fn open(breaker: &Breaker, now: Tick) {
    while breaker.snapshot(now).state == State::Closed {
        call(breaker, Verdict::Failure, now);
    }
}

#[test]
fn the_defaults_are_the_references() {
    let settings = BreakerSettings::default();
    assert_eq!(settings.window, WindowSize::Time(10 * SECOND));
    assert_eq!((settings.buckets, settings.minimum_calls, settings.consecutive_failures), (10, 10, 5));
    assert_eq!(settings.error_threshold.get(), 0.5);
    assert_eq!((settings.reset_timeout, settings.reset_max), (30 * SECOND, 60 * SECOND));
    assert_eq!((settings.reset_growth, settings.reset_jitter.get()), (2.0, 0.1));
    assert_eq!(
        (settings.half_open_calls, settings.half_open_timeout, settings.ramp),
        (1, 10 * SECOND, 10 * SECOND)
    );
}

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
    assert_eq!(change.map(|change| change.cause), None, "a fast success is not the one that tips it");
    let (permit, _) = breaker.admit(at(10)).expect("closed");
    let change = breaker.record(permit, Verdict::Success, 2 * SECOND, at(10));
    assert_eq!(change.map(|change| change.cause), Some(Cause::SlowCalls));
}

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
fn threads_agree_on_one_probe() {
    for _ in 0..200 {
        let breaker = breaker(|_| {});
        open(&breaker, at(0));
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| usize::from(breaker.admit(at(30_000)).is_ok()))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        assert_eq!(admitted, 1);
    }
}

#[test]
fn who_comes_too_late_to_open_it_does_not_make_it_stay_open_for_longer() {
    let breaker = breaker(|_| {});
    let word = breaker.word();
    let totals = Totals::default();
    assert!(breaker.open(word, Cause::ErrorRatio, totals, at(0)).is_some());
    assert!(breaker.open(word, Cause::ErrorRatio, totals, at(0)).is_none(), "it is open");
    assert_eq!(breaker.snapshot(at(0)).retry_after_ms, 30_000);
}

#[test]
fn a_probe_that_fails_while_another_succeeds_opens_it_all_the_same() {
    for _ in 0..200 {
        let breaker = breaker(|settings| settings.half_open_calls = 3);
        open(&breaker, at(0));
        let now = at(30_000);
        let probes: Vec<_> = (0..3).map(|_| breaker.admit(now).expect("it is a probe").0).collect();
        let start = std::sync::Barrier::new(probes.len());
        std::thread::scope(|scope| {
            for (number, probe) in probes.into_iter().enumerate() {
                let (breaker, start) = (&breaker, &start);
                let verdict = if number == 0 { Verdict::Failure } else { Verdict::Success };
                scope.spawn(move || {
                    start.wait();
                    breaker.record(probe, verdict, Duration::ZERO, now);
                });
            }
        });
        assert_eq!(breaker.snapshot(now).state, State::Open);
    }
}
