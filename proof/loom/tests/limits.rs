//! The bulkhead's word, the rate's, and the budget's.

mod support;

use std::time::Duration;

use loom::{sync::Arc, thread};
use seawall_loom::{
    policy::{
        budget::{BudgetSettings, RetryBudget},
        bulkhead::{Bulkhead, Entry, Wait},
        latency::Histogram,
        rate::{Rate, RateSettings},
    },
    units::{Ratio, Tick},
};
use support::explore;

const NOW: Tick = Tick::from_nanos(1);
const NEVER: Tick = Tick::from_nanos(u64::MAX);

/// Runs `one` on two threads.
fn twice<T: 'static>(one: impl Fn() -> T + Clone + 'static) -> [T; 2] {
    let thread = thread::spawn(one.clone());
    let here = one();
    [thread.join().expect("it does not panic"), here]
}

#[test]
fn a_rate_gives_each_token_out_once() {
    for burst in [1, 2, 3] {
        explore(move || {
            let rate = Arc::new(Rate::new(&RateSettings { burst, ..RateSettings::default() }));
            let taken = twice(move || rate.take(NOW).is_ok());
            let expected = burst.min(2) as usize;
            assert_eq!(taken.into_iter().filter(|taken| *taken).count(), expected);
        });
    }
}

#[test]
fn a_budget_loses_no_deposit_and_is_overdrawn_by_one_at_most() {
    explore(|| {
        let settings =
            BudgetSettings { ratio: Ratio::percent(100), minimum_per_second: 0, ..BudgetSettings::default() };
        let budget = Arc::new(RetryBudget::new(settings));
        let ours = Arc::clone(&budget);
        let paid = twice(move || {
            ours.deposit(NOW);
            ours.withdraw(NOW)
        });
        assert_eq!(paid, [true, true], "each paid for itself");
        assert!(!budget.withdraw(NOW), "and nothing is left");
    });
}

#[test]
fn a_histogram_loses_nothing() {
    explore(|| {
        let histogram = Arc::new(Histogram::default());
        let ours = Arc::clone(&histogram);
        twice(move || ours.record(Duration::from_millis(1)));
        assert_eq!(histogram.count(), 2);
    });
}

/// Comes, to wait as long as it takes.
fn enter(bulkhead: &Bulkhead<()>) -> Entry<()> {
    bulkhead.enter(1, None, || 0, || Wait { waiter: (), came: NOW, deadline: NEVER })
}

/// What a caller does: enters, and leaves if it is in; whoever is handed the place leaves too. How many it let in.
fn pass(bulkhead: &Bulkhead<()>) -> u32 {
    match enter(bulkhead) {
        Entry::Admitted => 1 + leave(bulkhead),
        Entry::Queued { .. } | Entry::Full => 0,
    }
}

fn leave(bulkhead: &Bulkhead<()>) -> u32 {
    match bulkhead.leave(NOW).admitted {
        Some(()) => 1 + leave(bulkhead),
        None => 0,
    }
}

#[test]
fn whoever_queues_beside_one_who_leaves_gets_the_place() {
    explore(|| {
        let bulkhead = Arc::new(Bulkhead::new(1, 5, None));
        let ours = Arc::clone(&bulkhead);
        let passed = twice(move || pass(&ours));
        assert_eq!(passed.into_iter().sum::<u32>(), 2, "nobody waits for ever");
        let snapshot = bulkhead.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
    });
}

#[test]
fn no_more_are_in_than_may_be() {
    explore(|| {
        let bulkhead = Arc::new(Bulkhead::new(1, 0, None));
        let ours = Arc::clone(&bulkhead);
        let entered = twice(move || matches!(enter(&ours), Entry::Admitted));
        assert_ne!(entered[0], entered[1]);
    });
}

#[test]
fn who_stops_waiting_beside_one_who_leaves_is_either_out_or_in() {
    explore(|| {
        let bulkhead = Arc::new(Bulkhead::new(1, 5, None));
        assert!(matches!(enter(&bulkhead), Entry::Admitted));
        let Entry::Queued { ticket, .. } = enter(&bulkhead) else { panic!("it is full") };
        let leaver = Arc::clone(&bulkhead);
        let thread = thread::spawn(move || leaver.leave(NOW).admitted.is_some());
        let cancelled = bulkhead.cancel(ticket);
        let handed = thread.join().expect("it does not panic");
        assert_ne!(cancelled, handed);
        let snapshot = bulkhead.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiting), (u32::from(handed), 0));
    });
}
