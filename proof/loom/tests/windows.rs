//! The windows: a ring of outcomes, and a ring of buckets.

mod support;

use std::time::Duration;

use loom::{sync::Arc, thread};
use seawall_loom::{
    policy::window::{Totals, Window, WindowSize},
    units::Tick,
};
use support::explore;

fn at(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

/// Records these outcomes on a thread each, and a third thread looks on; what it saw.
fn record(window: &Arc<Window>, outcomes: [(bool, bool, Tick); 2], now: Tick) -> Totals {
    let threads: Vec<_> = outcomes
        .into_iter()
        .map(|(failed, slow, at)| {
            let window = Arc::clone(window);
            thread::spawn(move || window.record(failed, slow, at))
        })
        .collect();
    let seen = window.totals(now);
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    seen
}

#[test]
fn a_ring_of_outcomes_loses_none_and_invents_none() {
    for calls in [1, 2, 3] {
        explore(move || {
            let window = Arc::new(Window::new(WindowSize::Calls(calls), 1));
            window.record(true, false, at(0));
            let seen = record(&window, [(true, true, at(0)), (false, false, at(0))], at(0));
            // Two are recording: off by one for each at most.
            assert!(
                seen.calls <= u64::from(calls).min(3) && seen.failures <= 2 && seen.slow <= 1,
                "{seen:?}"
            );
            let totals = window.totals(at(0));
            assert_eq!(totals.calls, u64::from(calls).min(3));
            match calls {
                1 => assert_eq!(totals.failures, totals.slow, "one of the two"),
                2 => assert_eq!((totals.failures, totals.slow), (1, 1)),
                _ => assert_eq!((totals.failures, totals.slow), (2, 1)),
            }
            window.clear();
            assert_eq!(window.totals(at(0)), Totals::default());
        });
    }
}

/// Three buckets of 10 ns.
fn buckets() -> Arc<Window> {
    Arc::new(Window::new(WindowSize::Time(Duration::from_nanos(30)), 3))
}

#[test]
fn two_that_come_first_into_a_new_period_are_both_counted() {
    explore(|| {
        let window = buckets();
        // The place that the new period falls on holds an old one.
        window.record(true, true, at(0));
        let seen = record(&window, [(true, false, at(30)), (false, true, at(31))], at(31));
        assert!(
            seen.calls <= 2 && seen.failures <= 1 && seen.slow <= 1,
            "nothing of the old period: {seen:?}"
        );
        let totals = window.totals(at(31));
        assert_eq!(totals, Totals { calls: 2, failures: 1, slow: 1 });
    });
}

#[test]
fn one_that_comes_late_empties_nothing_that_is_newer() {
    explore(|| {
        let window = buckets();
        let seen = record(&window, [(true, true, at(0)), (false, false, at(30))], at(30));
        assert!(seen.calls <= 1 && seen.failures == 0, "{seen:?}");
        assert_eq!(window.totals(at(30)), Totals { calls: 1, failures: 0, slow: 0 });
    });
}

#[test]
fn who_makes_the_buckets_shares_them() {
    explore(|| {
        let window = buckets();
        record(&window, [(true, false, at(0)), (true, false, at(11))], at(11));
        assert_eq!(window.totals(at(11)).failures, 2);
    });
}
