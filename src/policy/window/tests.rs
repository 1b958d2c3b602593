use proptest::prelude::*;

use super::*;

/// What the window should hold, remembered outcome by outcome.
#[derive(Default)]
struct Model {
    outcomes: Vec<(u64, bool, bool)>,
}

impl Model {
    fn totals(&self, keep: impl Fn(usize, u64) -> bool) -> Totals {
        let mut totals = Totals::default();
        let from_the_end = |index: usize| self.outcomes.len() - 1 - index;
        for (index, (at, failed, slow)) in self.outcomes.iter().enumerate() {
            if keep(from_the_end(index), *at) {
                totals.calls += 1;
                totals.failures += u64::from(*failed);
                totals.slow += u64::from(*slow);
            }
        }
        totals
    }
}

proptest! {
    #[test]
    fn a_time_window_holds_what_came_in_its_periods(
        steps in prop::collection::vec((0_u64..40, any::<bool>(), any::<bool>()), 1..300),
        buckets in 1_u32..12,
    ) {
        let width = 10;
        let window = Window::new(WindowSize::Time(Duration::from_nanos(width * u64::from(buckets))), buckets);
        let mut model = Model::default();
        let mut now = 0;
        for (step, failed, slow) in steps {
            now += step;
            window.record(failed, slow, Tick::from_nanos(now));
            model.outcomes.push((now, failed, slow));
            let oldest = (now / width + 1).saturating_sub(u64::from(buckets));
            prop_assert_eq!(window.totals(Tick::from_nanos(now)), model.totals(|_, at| at / width >= oldest));
        }
    }

    #[test]
    fn a_count_window_holds_the_last_calls(
        outcomes in prop::collection::vec((any::<bool>(), any::<bool>()), 1..300),
        calls in 1_u32..50,
    ) {
        let window = Window::new(WindowSize::Calls(calls), 10);
        let mut model = Model::default();
        for (failed, slow) in outcomes {
            window.record(failed, slow, Tick::ZERO);
            model.outcomes.push((0, failed, slow));
            prop_assert_eq!(window.totals(Tick::ZERO), model.totals(|age, _| age < calls as usize));
        }
        window.clear();
        prop_assert_eq!(window.totals(Tick::ZERO), Totals::default());
    }
}

#[test]
fn an_idle_window_is_empty_without_anything_ticking() {
    let window = Window::new(WindowSize::Time(Duration::from_secs(10)), 10);
    window.record(true, true, Tick::ZERO);
    assert_eq!(window.totals(Tick::ZERO.after(Duration::from_secs(9))).failures, 1);
    assert_eq!(window.totals(Tick::ZERO.after(Duration::from_secs(10))), Totals::default());
    assert_eq!(window.totals(Tick::ZERO.after(Duration::from_secs(10_000))), Totals::default());
}

#[test]
fn a_thread_that_comes_late_empties_no_newer_bucket() {
    let window = Window::new(WindowSize::Time(Duration::from_nanos(30)), 3);
    for _ in 0..5 {
        window.record(true, true, Tick::from_nanos(31));
    }
    window.record(false, false, Tick::from_nanos(1));
    let totals = window.totals(Tick::from_nanos(31));
    assert_eq!((totals.calls, totals.failures, totals.slow), (5, 5, 5));
}

#[test]
fn a_bucket_that_was_long_idle_is_written_again() {
    for idle in [1_u64 << 20, 1 << 21, (1 << 21) + 7, (1 << 22) - 1000, 1 << 40] {
        let window = Window::new(WindowSize::Time(Duration::from_nanos(30)), 3);
        window.record(true, false, Tick::ZERO);
        let now = Tick::from_nanos(idle * 30);
        window.record(false, false, now);
        let totals = window.totals(now);
        assert_eq!((totals.calls, totals.failures), (1, 0), "idle for {idle} rounds");
    }
}

#[test]
fn sizes_are_durations_or_calls() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Settings {
        window: WindowSize,
    }
    for (text, window) in [
        ("window = \"10s\"", WindowSize::Time(Duration::from_secs(10))),
        ("window = { calls = 100 }", WindowSize::Calls(100)),
    ] {
        let read: Settings = toml::from_str(text).expect("it is right");
        assert_eq!(read, Settings { window });
        let written = toml::to_string(&read).expect("it can be written");
        assert_eq!(toml::from_str::<Settings>(&written).expect("as it was written"), read);
    }
    for wrong in ["10", "\"0s\"", "\"soon\"", "{ calls = 0 }", "{ calls = 1000001 }", "{}"] {
        assert!(toml::from_str::<Settings>(&format!("window = {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn threads_lose_no_outcome() {
    for size in [WindowSize::Time(Duration::from_secs(10)), WindowSize::Calls(100_000)] {
        let window = Window::new(size, 10);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let window = &window;
                scope.spawn(move || {
                    for i in 0..10_000_u64 {
                        // All write into buckets that they have to empty first.
                        window.record(thread % 2 == 0, false, Tick::from_nanos(i * 100_000));
                    }
                });
            }
        });
        let totals = window.totals(Tick::from_nanos(1_000_000_000));
        assert_eq!((totals.calls, totals.failures), (40_000, 20_000));
    }
}
