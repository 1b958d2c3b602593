//! What is measured and drawn: recent durations, hedges, the throttle, injected faults; and limits that change under calls.
//!
//! Of the other policies `adaptive`, `keys`, `rate::tenants` and `wave` are under one lock each, `balance`, `outlier`, `retry`,
//! `blame`, `freshness` and `restart` are somebody's own: of these there is one order. How `recent` clears a half beside who
//! records cannot be shown here: loom lets an addition begin from a value that a store before it has replaced, which no
//! machine does, and so finds durations that were cleared. Its own tests hold it with real threads.

mod support;

use std::time::Duration;

use loom::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};
use seawall_loom::{
    policy::{
        Mode,
        blame::Blame,
        bulkhead::Bulkhead,
        faults::{FaultSettings, Faults},
        hedge::{Delay, Hedge, HedgeSettings, Quantile},
        rate::{Rate, RateSettings},
        throttle::{Throttle, ThrottleSettings},
    },
    units::{Ratio, Tick},
};
use support::explore;

/// For what walks over a histogram's hundreds of buckets: one interruption, for two would take hours.
fn explore_wide(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(1);
    builder.max_branches = 20_000;
    builder.check(test);
}

const NOW: Tick = Tick::from_nanos(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn a_hedges_delay_is_nothing_or_what_was_measured() {
    explore_wide(|| {
        let delay = Delay::Measured(Quantile::percent(50.0).expect("it is one"));
        let settings = HedgeSettings { delay, minimum_delay: MS, ..HedgeSettings::default() };
        let hedge = Arc::new(Hedge::new(settings));
        (0..2).for_each(|_| hedge.record(100 * MS, NOW));
        let theirs = Arc::clone(&hedge);
        let thread = thread::spawn(move || theirs.delay(NOW));
        let seen = [hedge.delay(NOW), thread.join().expect("it does not panic"), hedge.delay(NOW)];
        let measured = |delay: &Duration| (90 * MS..=110 * MS).contains(delay);
        assert!(seen.iter().flatten().all(measured), "{seen:?}");
        assert!(seen[2].is_some(), "one of the two has folded it");
    });
}

#[test]
fn a_throttle_takes_no_more_than_was_sent() {
    explore(|| {
        let settings =
            ThrottleSettings { mode: Mode::Enforce, minimum_calls: 1, ..ThrottleSettings::default() };
        let throttle = Arc::new(Throttle::new(settings));
        let (refused, asks) = (Arc::clone(&throttle), Arc::clone(&throttle));
        let refused = thread::spawn(move || refused.record(1, Some(Blame::Overload), NOW));
        let asks = thread::spawn(move || asks.admit(1, || 0, NOW).is_ok());
        let seen = throttle.snapshot(NOW);
        assert!(seen.accepted <= seen.requests && seen.requests <= 2, "{seen:?}");
        refused.join().expect("it does not panic");
        let admitted = asks.join().expect("it does not panic");
        let after = throttle.snapshot(NOW);
        assert_eq!((after.requests, after.accepted), (if admitted { 1 } else { 2 }, 0));
        assert!(throttle.is_shedding(NOW));
    });
}

#[test]
fn faults_are_drawn_once_each() {
    explore(|| {
        let settings = FaultSettings { fail: Ratio::percent(50), seed: Some(7), ..FaultSettings::default() };
        let in_turn = Faults::new(settings.clone(), 0);
        let mut expected = [in_turn.draw().is_some(), in_turn.draw().is_some()];
        let faults = Arc::new(Faults::new(settings, 0));
        let theirs = Arc::clone(&faults);
        let thread = thread::spawn(move || theirs.draw().is_some());
        let mut drawn = [faults.draw().is_some(), thread.join().expect("it does not panic")];
        drawn.sort_unstable();
        expected.sort_unstable();
        assert_eq!(drawn, expected);
    });
}

#[test]
fn a_rate_that_changes_gives_no_token_out_twice() {
    for limit in [10, 100, 1_000] {
        explore(move || {
            let by = |limit, burst| RateSettings { limit, burst, ..RateSettings::default() };
            let rate = Arc::new(Rate::new(&by(100, 2)));
            let theirs = Arc::clone(&rate);
            let thread = thread::spawn(move || theirs.take(NOW).is_ok());
            rate.set(&by(limit, 1), NOW);
            assert!(thread.join().expect("it does not panic"));
            assert!(rate.take(NOW).is_err(), "there was one");
            rate.give_back();
        });
    }
}

/// A reload, and a measured limit that changes meanwhile: who comes last knows of the other.
#[test]
fn a_bulkheads_limit_is_the_one_in_force() {
    explore(|| {
        let (bulkhead, in_force) = (Arc::new(Bulkhead::<()>::new(1, 0, None)), Arc::new(AtomicU32::new(1)));
        let (theirs, measured) = (Arc::clone(&bulkhead), Arc::clone(&in_force));
        let thread = thread::spawn(move || {
            measured.store(5, Ordering::SeqCst);
            theirs.set_max_in_flight(|| measured.load(Ordering::SeqCst));
        });
        bulkhead.set_limits(|| in_force.load(Ordering::SeqCst), 0, None);
        thread.join().expect("it does not panic");
        assert_eq!(bulkhead.snapshot().max_in_flight, 5);
    });
}
