//! The machine against a model that remembers everything.

use proptest::prelude::*;

use super::*;

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
