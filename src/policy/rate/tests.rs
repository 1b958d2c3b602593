use proptest::prelude::*;

use super::*;

#[test]
fn the_defaults_are_those_of_the_docs() {
    let settings = RateSettings::default();
    assert_eq!((settings.mode, settings.limit, settings.burst), (Mode::Enforce, 100, 100));
    assert_eq!(settings.per, Duration::from_secs(1));
    assert_eq!((settings.max_wait, settings.per_tenant), (Duration::ZERO, false));
}

proptest! {
    /// The same as a bucket that holds a burst of tokens and gets one back each interval.
    #[test]
    fn it_does_what_a_leaky_bucket_does(
        waits in prop::collection::vec(0_u64..400, 1..300),
        limit in 1_u32..20,
        burst in 1_u32..10,
    ) {
        let rate = Rate::new(&RateSettings { limit, burst, per: Duration::from_micros(1), ..RateSettings::default() });
        let interval = 1_000 / u64::from(limit);
        // In nanoseconds' worth of tokens.
        let (mut now, mut tokens) = (0, u64::from(burst) * interval);
        for wait in waits {
            let wait = wait.saturating_sub(200);
            now += wait;
            tokens = (tokens + wait).min(u64::from(burst) * interval);
            let taken = rate.take(Tick::from_nanos(now));
            if tokens >= interval {
                prop_assert_eq!(taken, Ok(()));
                tokens -= interval;
            } else {
                prop_assert_eq!(taken, Err(Duration::from_nanos(interval - tokens)));
            }
        }
    }
}

#[test]
fn threads_take_no_more_than_there_is() {
    let rate = Rate::new(&RateSettings { burst: 1_000, ..RateSettings::default() });
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1_000).filter(|_| rate.take(Tick::ZERO).is_ok()).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
    });
    assert_eq!(taken, 1_000);
}

#[test]
fn a_burst_passes_and_then_one_an_interval() {
    let rate = Rate::new(&RateSettings { limit: 10, burst: 3, ..RateSettings::default() });
    let mut now = Tick::ZERO.after(Duration::from_secs(5));
    for _ in 0..3 {
        assert_eq!(rate.take(now), Ok(()));
    }
    assert_eq!(rate.take(now), Err(Duration::from_millis(100)));
    now = now.after(Duration::from_millis(100));
    assert_eq!(rate.take(now), Ok(()));
    assert_eq!(rate.take(now), Err(Duration::from_millis(100)));
}

#[test]
fn no_second_lets_more_pass_than_limit_and_burst() {
    let rate = Rate::new(&RateSettings { limit: 50, burst: 5, ..RateSettings::default() });
    let passed = (0..1_000_000_000_u64).step_by(100_000).filter(|t| rate.take(Tick::from_nanos(*t)).is_ok());
    assert_eq!(passed.count(), 50 + 5 - 1);
}

#[test]
fn a_token_given_back_is_there_again() {
    let rate = Rate::new(&RateSettings { limit: 10, burst: 2, ..RateSettings::default() });
    let now = Tick::ZERO.after(Duration::from_secs(5));
    assert_eq!((rate.take(now), rate.take(now)), (Ok(()), Ok(())));
    rate.give_back();
    assert_eq!(rate.take(now), Ok(()));
    assert_eq!(rate.take(now), Err(Duration::from_millis(100)));
}

#[test]
fn who_comes_while_others_wait_gets_behind_them() {
    let rate = Rate::new(&RateSettings { limit: 10, burst: 1, ..RateSettings::default() });
    let (start, ms) = (Tick::ZERO.after(Duration::from_secs(5)), Duration::from_millis);
    assert_eq!(rate.line_up(start, ms(250)), Turn::Taken);
    assert_eq!(rate.line_up(start, ms(250)), Turn::Waits);
    assert_eq!(rate.line_up(start, ms(250)), Turn::Waits);
    assert_eq!(rate.line_up(start, ms(250)), Turn::Refused(ms(300)));
    let later = start.after(ms(100));
    assert_eq!(rate.line_up(later, ms(50)), Turn::Refused(ms(200)), "the token is the first one's");
    assert_eq!(rate.take(later), Ok(()));
    rate.step_out();
    assert_eq!(rate.line_up(later, ms(200)), Turn::Waits);
    // Both go away: nothing was taken.
    rate.step_out();
    rate.step_out();
    assert_eq!(rate.line_up(start.after(ms(200)), Duration::ZERO), Turn::Taken);
}

proptest! {
    /// A line of people, of whom the first takes his token as soon as there is one, and any may go away.
    #[test]
    fn the_line_is_as_long_as_was_said(
        steps in prop::collection::vec((0_u8..6, 0_u64..60, 0_u64..300), 1..300),
        burst in 1_u32..5,
    ) {
        // A token each 100 ns.
        let rate = Rate::new(&RateSettings {
            limit: 10,
            per: Duration::from_micros(1),
            burst,
            ..RateSettings::default()
        });
        let mut now = 10_000;
        let mut line = std::collections::VecDeque::<u64>::new();
        for (step, wait, patience) in steps {
            let until = now + wait;
            // Time goes on, and whoever is first takes what comes.
            while now < until {
                now += 1;
                while let Some(promised) = line.front() && rate.take(Tick::from_nanos(now)).is_ok() {
                    prop_assert!(now <= *promised, "it took longer than it said");
                    line.pop_front();
                    rate.step_out();
                }
            }
            match step {
                0..=3 => match rate.line_up(Tick::from_nanos(now), Duration::from_nanos(patience)) {
                    Turn::Taken => prop_assert!(line.is_empty()),
                    Turn::Waits => line.push_back(now + patience),
                    Turn::Refused(after) => prop_assert!(after.as_nanos() > u128::from(patience)),
                },
                4 if !line.is_empty() => {
                    line.remove(patience as usize % line.len());
                    rate.step_out();
                }
                _ => {}
            }
            prop_assert_eq!(rate.waiting.load(Ordering::Relaxed) as usize, line.len());
        }
    }
}

proptest! {
    /// Other settings change the pace of what comes, and not what was taken: as many are owed after as before, to within
    /// the one that rounding may cost.
    #[test]
    fn a_change_owes_as_many_as_before(taken in 0_u32..50, limit in 1_u32..1_000, other in 1_u32..1_000, wait in 0_u64..2_000) {
        let by = |limit| RateSettings { limit, burst: 50, ..RateSettings::default() };
        let rate = Rate::new(&by(limit));
        let start = Tick::from_nanos(1_000_000_000_000);
        (0..taken).for_each(|_| rate.take(start).expect("it is of the burst"));
        let now = start.after(Duration::from_millis(wait));
        let back = wait * u64::from(limit) / 1000;
        let owed = u64::from(taken).saturating_sub(back);
        rate.set(&by(other), now);
        let left = (0..60).take_while(|_| rate.take(now).is_ok()).count() as u64;
        prop_assert!((50 - owed).abs_diff(left) <= 1, "{} are owed, {} were left", owed, left);
        (0..left).for_each(|_| rate.give_back());
        prop_assert!(rate.take(now).is_ok() == (left > 0));
    }
}

#[test]
fn what_is_given_back_after_the_rate_was_lowered_leaves_no_more_than_a_burst() {
    let rate = Rate::new(&RateSettings::default());
    let now = Tick::from_nanos(1_000);
    rate.take(now).expect("there are many");
    rate.set(
        &RateSettings { per: Duration::from_secs(3600), burst: 1, ..RateSettings::default() },
        Tick::from_nanos(2_000_000_000),
    );
    rate.give_back();
    rate.take(Tick::from_nanos(2_000_000_000)).expect("nothing is owed");
    rate.take(Tick::from_nanos(2_000_000_001)).expect_err("and it had only one");
}
