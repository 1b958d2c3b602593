//! The breaker's word, and what is changed beside it.

mod support;

use std::time::Duration;

use loom::{sync::Arc, thread};
use seawall_loom::{
    policy::{
        blame::Verdict,
        breaker::{Breaker, BreakerSettings, Permit, State},
        window::WindowSize,
    },
    units::{Ratio, Tick},
};
use support::explore;

const NONE: Duration = Duration::ZERO;

fn at(seconds: u64) -> Tick {
    Tick::ZERO.after(Duration::from_secs(seconds))
}

fn breaker(change: impl FnOnce(&mut BreakerSettings)) -> Arc<Breaker> {
    let mut settings = BreakerSettings {
        window: WindowSize::Calls(2),
        consecutive_failures: 1,
        reset_jitter: Ratio::NONE,
        ramp: NONE,
        ..BreakerSettings::default()
    };
    change(&mut settings);
    Arc::new(Breaker::new(settings, 7, Tick::ZERO))
}

fn permit(breaker: &Breaker, now: Tick) -> Permit {
    breaker.admit(now).expect("it passes").0
}

/// Opens it at the start; its probes are due after 30 s.
fn open(breaker: &Breaker) {
    let permit = permit(breaker, at(0));
    breaker.record(permit, Verdict::Failure, NONE, at(0)).expect("one is enough");
}

/// Runs both at once, and gives what each gives.
fn both<T: 'static>(one: impl FnOnce() -> T + 'static, other: impl FnOnce() -> T + 'static) -> (T, T) {
    let thread = thread::spawn(one);
    let other = other();
    (thread.join().expect("it does not panic"), other)
}

#[test]
fn of_two_that_come_when_it_is_due_one_is_the_probe_and_tells_of_it() {
    explore(|| {
        let breaker = breaker(|_| {});
        open(&breaker);
        let ask = |breaker: &Arc<Breaker>| {
            let breaker = Arc::clone(breaker);
            move || breaker.admit(at(30)).ok().map(|(_, change)| change.is_some())
        };
        let (one, other) = both(ask(&breaker), ask(&breaker));
        assert!(matches!((one, other), (Some(true), None) | (None, Some(true))), "{one:?} {other:?}");
    });
}

#[test]
fn two_that_fail_at_once_open_it_once() {
    explore(|| {
        let breaker = breaker(|_| {});
        let fail = |breaker: &Arc<Breaker>| {
            let (breaker, permit) = (Arc::clone(breaker), permit(breaker, at(0)));
            move || breaker.record(permit, Verdict::Failure, NONE, at(0)).is_some()
        };
        let (one, other) = both(fail(&breaker), fail(&breaker));
        assert!(one != other, "{one} {other}");
        let snapshot = breaker.snapshot(at(0));
        assert_eq!((snapshot.open_count, snapshot.generation, snapshot.retry_after_ms), (1, 1, 30_000));
    });
}

#[test]
fn a_probe_that_fails_beside_one_that_succeeds_opens_it() {
    explore(|| {
        let breaker = breaker(|settings| settings.half_open_calls = 2);
        open(&breaker);
        let end = |breaker: &Arc<Breaker>, verdict| {
            let (breaker, permit) = (Arc::clone(breaker), permit(breaker, at(30)));
            move || breaker.record(permit, verdict, NONE, at(30)).map(|change| change.to)
        };
        let (good, bad) = (end(&breaker, Verdict::Success), end(&breaker, Verdict::Failure));
        let (good, bad) = both(good, bad);
        assert_eq!((good, bad), (None, Some(State::Open)));
        assert_eq!(breaker.state(), State::Open);
    });
}

#[test]
fn the_last_of_two_good_probes_closes_it_and_no_slot_is_lost() {
    explore(|| {
        let breaker = breaker(|settings| settings.half_open_calls = 2);
        open(&breaker);
        let end = |breaker: &Arc<Breaker>| {
            let (breaker, permit) = (Arc::clone(breaker), permit(breaker, at(30)));
            move || breaker.record(permit, Verdict::Success, NONE, at(30)).is_some()
        };
        let (one, other) = both(end(&breaker), end(&breaker));
        assert!(one != other, "one of them closes it");
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn a_slot_given_back_beside_one_taken_is_there_for_the_next() {
    explore(|| {
        let breaker = breaker(|settings| settings.half_open_calls = 2);
        open(&breaker);
        let first = permit(&breaker, at(30));
        let back = Arc::clone(&breaker);
        let taker = Arc::clone(&breaker);
        let (_, taken) = both(
            move || {
                back.record(first, Verdict::Neutral, NONE, at(30));
                None
            },
            move || taker.admit(at(30)).ok(),
        );
        assert!(taken.is_some(), "there was a second slot anyway");
        assert!(breaker.admit(at(30)).is_ok(), "the one given back");
        assert!(breaker.admit(at(30)).is_err(), "and there are two");
    });
}

#[test]
fn an_outcome_of_before_a_change_changes_nothing_after_it() {
    explore(|| {
        let breaker = breaker(|_| {});
        let (early, failing) = (permit(&breaker, at(0)), permit(&breaker, at(0)));
        let late = Arc::clone(&breaker);
        let opens = Arc::clone(&breaker);
        let (one, other) = both(
            move || late.record(early, Verdict::Success, NONE, at(0)),
            move || opens.record(failing, Verdict::Failure, NONE, at(0)),
        );
        // A success that comes between the failure and the look at the row ends the row, as one that came after would; one
        // that comes after it finds the row, and opens it in the other's place.
        match (one, other) {
            (None, None) => assert_eq!((breaker.state(), breaker.failures_in_a_row()), (State::Closed, 0)),
            (None, Some(change)) | (Some(change), None) => {
                assert_eq!((change.to, breaker.state(), change.generation), (State::Open, State::Open, 1));
            }
            (Some(_), Some(_)) => panic!("both opened it"),
        }
    });
}

#[test]
fn probes_given_up_are_given_anew_once() {
    explore(|| {
        let breaker = breaker(|_| {});
        open(&breaker);
        let lost = permit(&breaker, at(30));
        let ask = |breaker: &Arc<Breaker>| {
            let breaker = Arc::clone(breaker);
            move || breaker.admit(at(40)).is_ok()
        };
        let (one, other) = both(ask(&breaker), ask(&breaker));
        assert!(one != other, "{one} {other}");
        assert_eq!(breaker.record(lost, Verdict::Failure, NONE, at(40)), None, "it is given up");
        assert_eq!(breaker.state(), State::HalfOpen);
    });
}

#[test]
fn forcing_beside_opening_leaves_it_forced() {
    explore(|| {
        let breaker = breaker(|_| {});
        let failing = permit(&breaker, at(0));
        let (fails, forces) = (Arc::clone(&breaker), Arc::clone(&breaker));
        let (opened, forced) = both(
            move || fails.record(failing, Verdict::Failure, NONE, at(0)),
            move || forces.force_open(at(0)),
        );
        assert_eq!(breaker.state(), State::ForcedOpen);
        let changes = u64::from(opened.is_some()) + u64::from(forced.is_some());
        assert_eq!(breaker.snapshot(at(0)).generation, changes, "each change is told once");
    });
}

#[test]
fn a_check_beside_a_call_makes_it_half_open_once() {
    explore(|| {
        let breaker = breaker(|_| {});
        open(&breaker);
        let (checks, calls) = (Arc::clone(&breaker), Arc::clone(&breaker));
        let (checked, called) = both(
            move || checks.checked(true, at(30)).is_some(),
            move || calls.admit(at(30)).expect("it is the probe either way").1.is_some(),
        );
        assert!(checked != called, "{checked} {called}");
        assert!(breaker.admit(at(30)).is_err(), "its slot is taken");
    });
}

#[test]
fn of_two_in_the_same_tenth_of_the_ramp_one_passes() {
    explore(|| {
        let breaker = breaker(|settings| {
            settings.ramp = Duration::from_secs(10);
            settings.minimum_calls = 1;
        });
        open(&breaker);
        let probe = permit(&breaker, at(30));
        breaker.record(probe, Verdict::Success, NONE, at(30)).expect("it closes");
        let ask = |breaker: &Arc<Breaker>| {
            let breaker = Arc::clone(breaker);
            move || breaker.admit(at(31)).is_ok()
        };
        let (one, other) = both(ask(&breaker), ask(&breaker));
        assert!(one != other, "{one} {other}");
    });
}

#[test]
fn a_move_begins_once_and_ends_with_an_answer() {
    explore(|| {
        let breaker = breaker(|_| {});
        let end = |breaker: &Arc<Breaker>, verdict, now| {
            let (breaker, permit) = (Arc::clone(breaker), permit(breaker, now));
            move || _ = breaker.record(permit, verdict, NONE, now)
        };
        both(end(&breaker, Verdict::Moved, at(1)), end(&breaker, Verdict::Moved, at(2)));
        let lasts = breaker.snapshot(at(5)).moving_ms;
        assert!(lasts == 4_000 || lasts == 3_000, "{lasts}");
        end(&breaker, Verdict::Success, at(5))();
        assert_eq!(breaker.snapshot(at(5)).moving_ms, 0);
    });
}
