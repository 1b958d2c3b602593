//! What several threads make of one breaker.

use std::sync::atomic::AtomicBool;

use super::*;

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
fn of_two_that_see_it_time_to_open_the_second_changes_nothing() {
    // It used to grow the reset time of the first, and so to double it.
    let breaker = breaker(|_| {});
    let open = |now| breaker.open(0, Cause::ErrorRatio, Totals::default(), now);
    assert!(open(at(0)).is_some());
    assert_eq!(open(at(5)), None);
    let snapshot = breaker.snapshot(at(0));
    assert_eq!((snapshot.open_count, snapshot.retry_after_ms), (1, 30_000));
}

#[test]
fn threads_that_fail_at_once_open_it_once_and_for_the_first_reset_time() {
    for _ in 0..300 {
        let breaker = breaker(|settings| settings.consecutive_failures = 1);
        let go = AtomicBool::new(false);
        let opened: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (permit, _) = breaker.admit(at(0)).expect("closed");
                    let (breaker, go) = (&breaker, &go);
                    scope.spawn(move || {
                        while !go.load(Ordering::Acquire) {
                            std::hint::spin_loop();
                        }
                        usize::from(breaker.record(permit, Verdict::Failure, Duration::ZERO, at(0)).is_some())
                    })
                })
                .collect();
            go.store(true, Ordering::Release);
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        let snapshot = breaker.snapshot(at(0));
        assert_eq!((opened, snapshot.open_count, snapshot.retry_after_ms), (1, 1, 30_000));
    }
}

#[test]
fn threads_lose_no_probe_and_make_one_chain_of_changes() {
    let probes = 3;
    let breaker = breaker(|settings| {
        settings.half_open_calls = probes;
        settings.ramp = Duration::ZERO;
        settings.reset_growth = 1.0;
        settings.half_open_timeout = Duration::from_secs(1_000_000);
    });
    let clock = AtomicU64::new(0);
    let under_way = AtomicU32::new(0);
    let mut changes: Vec<Transition> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let (breaker, clock, under_way) = (&breaker, &clock, &under_way);
                scope.spawn(move || {
                    let mut changes = Vec::new();
                    for i in 0..20_000_u64 {
                        let now = at(clock.fetch_add(100, Ordering::Relaxed));
                        let Ok((permit, change)) = breaker.admit(now) else { continue };
                        changes.extend(change);
                        let probe = permit.probe;
                        let verdict = match (i + thread * 7) % 31 {
                            // Bad times and good ones by turns.
                            n if i / 1_000 % 2 == 0 && n % 3 != 0 => Verdict::Failure,
                            n if n % 5 == 0 => Verdict::Neutral,
                            _ => Verdict::Success,
                        };
                        if probe {
                            let generation = permit.generation;
                            let now_under_way = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                            // Later on, probes of a generation that has ended may be under way beside.
                            if breaker.word().generation() == generation && generation == 2 {
                                assert!(now_under_way <= probes, "{now_under_way} probes");
                            }
                            std::thread::yield_now();
                            under_way.fetch_sub(1, Ordering::SeqCst);
                        }
                        changes.extend(breaker.record(permit, verdict, Duration::ZERO, now));
                    }
                    changes
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    changes.sort_by_key(|change| change.generation);
    assert!(changes.len() > 10, "{} changes", changes.len());
    let mut state = State::Closed;
    for (change, generation) in changes.iter().zip(1..) {
        assert_eq!((change.generation, change.from), (generation, state), "{change:?}");
        state = change.to;
    }
    let word = breaker.word();
    assert_eq!((word.state(), word.under_way()), (state, 0), "no slot is lost");
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
