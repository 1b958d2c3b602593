use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::{policy::Mode, units::Ratio};

const SECOND: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Tick {
    Tick::ZERO.after(Duration::from_millis(ms))
}

fn breaker(change: impl FnOnce(&mut BreakerSettings)) -> Breaker {
    let mut settings = BreakerSettings { reset_jitter: Ratio::NONE, ..BreakerSettings::default() };
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
    assert_eq!((settings.mode, settings.scope), (Mode::Enforce, BreakerScope::Service));
    assert_eq!((settings.slow_call, settings.warm_up), (None, Duration::ZERO));
    assert_eq!(SlowCall::default(), SlowCall { duration: SECOND, threshold: Ratio::percent(50) });
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
    // The tenth is fast, and half of ten is too many.
    let change = change.expect("5 of 10 were slow");
    assert_eq!((change.cause, change.slow, change.threshold), (Cause::SlowCalls, 5, 0.5));
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
fn it_does_not_open_while_it_warms_up() {
    let breaker = breaker(|settings| settings.warm_up = SECOND);
    for i in 0..20 {
        assert_eq!(call(&breaker, Verdict::Failure, at(i)), None);
    }
    assert!(call(&breaker, Verdict::Failure, at(1_000)).is_some());
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

/// The machine as DESIGN tells it, remembering everything.
struct Oracle {
    settings: BreakerSettings,
    state: State,
    generation: u64,
    outcomes: Vec<(Tick, bool, bool)>,
    row: u32,
    until: Tick,
    overdue: Tick,
    under_way: u32,
    succeeded: u32,
    count: i32,
}

/// What it gave leave for: in which generation, and whether as a probe.
type Leave = (u64, bool);
type Turn = Option<(State, State)>;

impl Oracle {
    fn turn(&mut self, to: State) -> Turn {
        self.generation += 1;
        (self.under_way, self.succeeded) = (0, 0);
        Some((std::mem::replace(&mut self.state, to), to))
    }

    fn open(&mut self, now: Tick) -> Turn {
        let grown = self.settings.reset_timeout.mul_f64(self.settings.reset_growth.powi(self.count));
        self.until = now.after(grown.min(self.settings.reset_max));
        self.count += 1;
        self.turn(State::Open)
    }

    fn close(&mut self) -> Turn {
        self.outcomes.clear();
        (self.row, self.count) = (0, 0);
        if self.state == State::Closed { None } else { self.turn(State::Closed) }
    }

    fn probe(&mut self, now: Tick) -> Leave {
        self.under_way += 1;
        self.overdue = now.after(self.settings.half_open_timeout);
        (self.generation, true)
    }

    fn admit(&mut self, now: Tick) -> Option<(Leave, Turn)> {
        match self.state {
            State::Closed | State::Disabled => Some(((self.generation, false), None)),
            State::Open if now >= self.until => {
                let turn = self.turn(State::HalfOpen);
                Some((self.probe(now), turn))
            }
            State::HalfOpen if self.under_way + self.succeeded < self.settings.half_open_calls => {
                Some((self.probe(now), None))
            }
            State::HalfOpen if now >= self.overdue => {
                let _ = self.turn(State::HalfOpen);
                Some((self.probe(now), None))
            }
            _ => None,
        }
    }

    fn record(&mut self, (generation, probe): Leave, verdict: Verdict, slow: bool, now: Tick) -> Turn {
        if generation != self.generation || self.state == State::Disabled {
            return None;
        }
        if probe {
            self.under_way -= 1;
            return match verdict {
                Verdict::Neutral => None,
                Verdict::Success if !slow => {
                    self.succeeded += 1;
                    if self.succeeded == self.settings.half_open_calls { self.close() } else { None }
                }
                _ => self.open(now),
            };
        }
        if verdict == Verdict::Neutral {
            return None;
        }
        self.outcomes.push((now, verdict == Verdict::Failure, slow));
        self.row = if verdict == Verdict::Failure { self.row + 1 } else { 0 };
        let WindowSize::Time(length) = self.settings.window else { panic!("a window over time") };
        let width = length.as_nanos() as u64 / u64::from(self.settings.buckets);
        let period = |at: Tick| at.as_nanos() / width;
        let within: Vec<_> = self
            .outcomes
            .iter()
            .filter(|(at, ..)| period(*at) + u64::from(self.settings.buckets) > period(now))
            .collect();
        let share = |of: usize| of as f64 / within.len() as f64;
        let (failed, slow) =
            (within.iter().filter(|(_, failed, _)| *failed).count(), within.iter().filter(|o| o.2).count());
        let opens = self.row >= self.settings.consecutive_failures
            || within.len() >= self.settings.minimum_calls as usize
                && (failed > 0 && share(failed) >= 0.5 || slow > 0 && share(slow) >= 0.5);
        if opens { self.open(now) } else { None }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit,
    Record(usize, Verdict, bool),
    Wait(u64),
    ForceOpen,
    Disable,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict =
        prop_oneof![3 => Just(Verdict::Success), 3 => Just(Verdict::Failure), 1 => Just(Verdict::Neutral)];
    let step = prop_oneof![
        40 => Just(Step::Admit),
        40 => (any::<usize>(), verdict, prop::bool::weighted(0.2)).prop_map(|(i, v, s)| Step::Record(i, v, s)),
        15 => (0_u64..3_000).prop_map(Step::Wait),
        3 => (10_000_u64..70_000).prop_map(Step::Wait),
        1 => prop_oneof![Just(Step::ForceOpen), Just(Step::Disable)],
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn it_does_what_the_oracle_says(steps in steps(), half_open_calls in 1_u32..4, row in 3_u32..8) {
        let settings = BreakerSettings {
            half_open_calls,
            consecutive_failures: row,
            reset_jitter: Ratio::NONE,
            ramp: Duration::ZERO,
            slow_call: Some(SlowCall::default()),
            ..BreakerSettings::default()
        };
        let breaker = Breaker::new(settings.clone(), 1, Tick::ZERO);
        let mut oracle = Oracle {
            settings, state: State::Closed, generation: 0, outcomes: Vec::new(), row: 0, until: Tick::ZERO,
            overdue: Tick::ZERO, under_way: 0, succeeded: 0, count: 0,
        };
        let turn = |change: Option<Transition>| change.map(|change| (change.from, change.to));
        let mut permits: Vec<(Permit, Leave)> = Vec::new();
        let mut now = Tick::ZERO;
        for step in steps {
            match step {
                Step::Wait(ms) => now = now.after(Duration::from_millis(ms)),
                Step::Admit => {
                    let looked = breaker.look(now).is_ok();
                    let expected = oracle.admit(now);
                    let admitted = breaker.admit(now);
                    prop_assert_eq!(looked, admitted.is_ok());
                    prop_assert_eq!(expected.is_some(), admitted.is_ok());
                    if let (Ok((permit, change)), Some((leave, expected))) = (admitted, expected) {
                        prop_assert_eq!(turn(change), expected);
                        permits.push((permit, leave));
                    }
                }
                Step::Record(index, verdict, slow) if !permits.is_empty() => {
                    let (permit, leave) = permits.swap_remove(index % permits.len());
                    let elapsed = if slow { 2 * SECOND } else { Duration::ZERO };
                    let change = breaker.record(permit, verdict, elapsed, now);
                    prop_assert_eq!(turn(change), oracle.record(leave, verdict, slow, now));
                }
                Step::Record(..) => {}
                Step::ForceOpen if oracle.state != State::ForcedOpen => {
                    oracle.count = 0;
                    prop_assert_eq!(turn(breaker.force_open(now)), oracle.turn(State::ForcedOpen));
                }
                Step::Disable if oracle.state != State::Disabled => {
                    oracle.count = 0;
                    prop_assert_eq!(turn(breaker.disable(now)), oracle.turn(State::Disabled));
                }
                Step::ForceOpen => prop_assert_eq!(breaker.force_open(now), None),
                Step::Disable => prop_assert_eq!(breaker.disable(now), None),
                Step::Reset => prop_assert_eq!(turn(breaker.reset(now)), oracle.close()),
            }
            let snapshot = breaker.snapshot(now);
            prop_assert_eq!(snapshot.state, oracle.state);
            prop_assert_eq!(snapshot.generation, oracle.generation);
            prop_assert_eq!(snapshot.consecutive_failures, oracle.row);
        }
    }
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

#[test]
fn a_good_check_makes_it_half_open_once_the_reset_time_has_passed() {
    let breaker = breaker(|_| {});
    assert_eq!(breaker.checked(true, at(0)), None);
    open(&breaker, at(0));
    assert_eq!(breaker.checked(true, at(29_999)), None, "a flapping downstream is not let back in at once");
    let change = breaker.checked(true, at(30_000)).expect("it is time");
    assert_eq!((change.to, change.cause), (State::HalfOpen, Cause::HealthCheck));
    let (probe, change) = breaker.admit(at(90_000)).expect("the check took no slot");
    assert_eq!(change, None);
    let change = breaker.record(probe, Verdict::Success, Duration::ZERO, at(90_001));
    assert_eq!(change.map(|change| change.to), Some(State::Closed));
}

#[test]
fn checks_that_fail_open_it_and_one_while_it_is_open_changes_nothing() {
    let breaker = breaker(|_| {});
    let change = breaker.checked(false, at(0)).expect("it opens");
    assert_eq!((change.to, change.cause, change.open_count), (State::Open, Cause::HealthCheck, 1));
    assert_eq!(breaker.checked(false, at(1)), None);
    breaker.checked(true, at(2)).expect("it is half open: what checks did, a check undoes");
    let change = breaker.checked(false, at(3)).expect("it was not well after all");
    assert_eq!((change.to, change.retry_after), (State::Open, 60 * SECOND));
    breaker.checked(true, at(4)).expect("it is half open");
    assert!(call(&breaker, Verdict::Failure, at(5)).is_some(), "the probe fails");
    assert_eq!(breaker.checked(true, at(6)), None, "now calls know better");
    breaker.force_open(at(30_002));
    assert_eq!(breaker.checked(true, at(900_000)), None, "what was forced stays so");
}

#[test]
fn with_a_gate_no_time_alone_ends_its_being_open() {
    let breaker = breaker(|settings| settings.health_gate = true);
    open(&breaker, at(0));
    for now in [29_999, 30_000, 1_000_000] {
        assert!(breaker.look(at(now)).is_err());
        let refused = breaker.admit(at(now)).expect_err("no check was well");
        assert!(refused.health_gate);
        assert!(refused.to_string().contains("a health check that is well"), "{refused}");
    }
    breaker.checked(true, at(1_000_000)).expect("it is half open");
    call(&breaker, Verdict::Success, at(1_000_001)).expect("its probe closes it");
}

#[test]
fn a_check_does_not_open_what_warms_up() {
    let breaker = breaker(|settings| settings.warm_up = SECOND);
    assert_eq!(breaker.checked(false, at(999)), None);
    assert!(breaker.checked(false, at(1_000)).is_some());
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

#[test]
fn to_ask_why_counts_no_refusal() {
    let breaker = breaker(|_| {});
    assert_eq!(breaker.explain(at(0)), None);
    open(&breaker, at(0));
    let why = breaker.explain(at(10_000)).expect("it is open");
    assert_eq!((why.state, why.failures, why.open_count), (State::Open, 5, 1));
    assert_eq!((why.retry_after, why.since, why.threshold), (20 * SECOND, 10 * SECOND, 0.5));
    assert_eq!(breaker.snapshot(at(10_000)).rejected, 0);
    assert_eq!(breaker.look(at(10_000)), Err(why));
    assert_eq!(breaker.explain(at(30_000)), None, "the next would be the probe");
}
