//! The breaker against an oracle a page long: ten million random events, with clocks that jump and go back, attempts that
//! are cancelled, outcomes that come late, checks, and hands that force it.
//!
//! The oracle remembers what came in each period, and nothing is packed into words: it is plainly what the docs say.

use std::{collections::BTreeMap, time::Duration};

use seawall_proof::{
    policy::{
        blame::Verdict,
        breaker::{Breaker, BreakerSettings, Cause, LONGEST_MOVE, Permit, SlowCall, State, Transition},
        window::WindowSize,
    },
    units::{Ratio, Tick},
};

const EVENTS: u64 = 10_000_000;
/// Each by settings of its own.
const HISTORIES: u64 = 500;

struct Oracle {
    settings: BreakerSettings,
    state: State,
    generation: u64,
    /// Calls, failures and slow ones by period; of a count window the outcomes themselves, by number.
    window: BTreeMap<u64, [u64; 3]>,
    outcomes: u64,
    row: u32,
    moving: Option<Tick>,
    until: Tick,
    overdue: Tick,
    under_way: u32,
    succeeded: u32,
    opened: i32,
    by_checks: bool,
    /// When the ramp ends; the tenth that it is in, and what came in it.
    ramp: Option<Tick>,
    tenth: (u64, u64),
}

/// What it gave leave for: in which generation, and whether as a probe.
type Leave = (u64, bool);
type Turn = Option<(State, State, Cause)>;

impl Oracle {
    fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed,
            generation: 0,
            window: BTreeMap::new(),
            outcomes: 0,
            row: 0,
            moving: None,
            until: Tick::ZERO,
            overdue: Tick::ZERO,
            under_way: 0,
            succeeded: 0,
            opened: 0,
            by_checks: false,
            ramp: None,
            tenth: (0, 0),
        }
    }

    fn turn(&mut self, to: State, cause: Cause) -> Turn {
        self.generation += 1;
        (self.under_way, self.succeeded) = (0, 0);
        self.by_checks = cause == Cause::HealthCheck && to == State::Open;
        Some((std::mem::replace(&mut self.state, to), to, cause))
    }

    fn open(&mut self, cause: Cause, now: Tick) -> Turn {
        let grown = self.settings.reset_timeout.mul_f64(self.settings.reset_growth.powi(self.opened.min(64)));
        self.until = now.after(grown.min(self.settings.reset_max));
        self.opened += 1;
        self.turn(State::Open, cause)
    }

    fn close(&mut self, cause: Cause, now: Tick) -> Turn {
        self.window.clear();
        (self.row, self.moving) = (0, None);
        let ramped = cause == Cause::ProbesSucceeded && !self.settings.ramp.is_zero();
        self.ramp = ramped.then(|| now.after(self.settings.ramp));
        self.tenth = (0, 0);
        if self.state == State::Closed {
            return None;
        }
        self.opened = 0;
        self.turn(State::Closed, cause)
    }

    fn force(&mut self, to: State) -> Turn {
        if self.state == to {
            return None;
        }
        self.opened = 0;
        self.turn(to, Cause::Requested)
    }

    fn ramp_passes(&mut self, now: Tick) -> bool {
        let Some(end) = self.ramp else { return true };
        let (length, left) = (self.settings.ramp.as_nanos(), end.since(now).as_nanos());
        if left == 0 {
            self.ramp = None;
            return true;
        }
        let gone = length.saturating_sub(left);
        let tenth = (gone * 10 / length) as u64 + 1;
        let came = if self.tenth.0 == tenth { self.tenth.1 } else { 0 };
        self.tenth = (tenth, came + 1);
        let share = 0.1 + 0.9 * (gone as f64 / length as f64);
        came < u64::from(self.settings.minimum_calls.max(1))
            || ((came + 1) as f64 * share).floor() > (came as f64 * share).floor()
    }

    fn probe(&mut self, now: Tick) -> Leave {
        self.under_way += 1;
        self.overdue = self.overdue.max(now.after(self.settings.half_open_timeout));
        (self.generation, true)
    }

    fn admit(&mut self, now: Tick) -> Option<(Leave, Turn)> {
        match self.state {
            State::Closed => self.ramp_passes(now).then_some(((self.generation, false), None)),
            State::Disabled => Some(((self.generation, false), None)),
            State::Open if now >= self.until && !self.settings.health_gate => {
                let turn = self.turn(State::HalfOpen, Cause::ResetTimeout);
                Some((self.probe(now), turn))
            }
            State::HalfOpen if self.under_way + self.succeeded < self.settings.half_open_calls => {
                Some((self.probe(now), None))
            }
            State::HalfOpen if now >= self.overdue => {
                let _ = self.turn(State::HalfOpen, Cause::ResetTimeout);
                Some((self.probe(now), None))
            }
            _ => None,
        }
    }

    /// Calls, failures and slow ones in the window.
    fn totals(&self, now: Tick) -> [u64; 3] {
        let within = match self.settings.window {
            WindowSize::Calls(calls) => self.outcomes.saturating_sub(u64::from(calls))..=u64::MAX,
            WindowSize::Time(length) => {
                let (buckets, period) = (u64::from(self.settings.buckets), self.period(length, now));
                (period + 1).saturating_sub(buckets)..=period
            }
        };
        let add = |sum: [u64; 3], of: &[u64; 3]| [sum[0] + of[0], sum[1] + of[1], sum[2] + of[2]];
        self.window.range(within).fold([0; 3], |sum, (_, of)| add(sum, of))
    }

    fn period(&self, length: Duration, now: Tick) -> u64 {
        now.as_nanos() / (length.as_nanos() as u64 / u64::from(self.settings.buckets))
    }

    fn remember(&mut self, failed: bool, slow: bool, now: Tick) {
        let place = match self.settings.window {
            WindowSize::Calls(calls) => {
                self.window.retain(|number, _| number + u64::from(calls) > self.outcomes);
                self.outcomes += 1;
                self.outcomes - 1
            }
            WindowSize::Time(length) => {
                let (buckets, period) = (u64::from(self.settings.buckets), self.period(length, now));
                // Who comes so late that its place is a newer period's is dropped, and a newer one takes an older one's.
                let shares = |other: u64| other % buckets == period % buckets;
                if self.window.range(period + 1..).any(|(other, _)| shares(*other)) {
                    return;
                }
                self.window.retain(|other, _| *other >= period || !shares(*other));
                period
            }
        };
        let of = self.window.entry(place).or_default();
        *of = [of[0] + 1, of[1] + u64::from(failed), of[2] + u64::from(slow)];
    }

    fn record(&mut self, (generation, probe): Leave, verdict: Verdict, slow: bool, now: Tick) -> Turn {
        if generation != self.generation {
            return None;
        }
        let verdict = match (verdict, self.moving) {
            (Verdict::Moved, Some(since)) if now.since(since) >= LONGEST_MOVE => Verdict::Failure,
            (Verdict::Moved, since) => {
                self.moving = since.or(Some(now));
                Verdict::Neutral
            }
            (Verdict::Success, _) => {
                self.moving = None;
                Verdict::Success
            }
            (verdict, _) => verdict,
        };
        if probe {
            self.under_way -= 1;
            return match verdict {
                Verdict::Failure => self.open(Cause::ProbeFailed, now),
                Verdict::Success if slow => self.open(Cause::SlowCalls, now),
                Verdict::Success => {
                    self.succeeded += 1;
                    let all = self.succeeded == self.settings.half_open_calls;
                    if all { self.close(Cause::ProbesSucceeded, now) } else { None }
                }
                Verdict::Neutral | Verdict::Moved => None,
            };
        }
        if self.state == State::Disabled || verdict == Verdict::Neutral {
            return None;
        }
        self.remember(verdict == Verdict::Failure, slow, now);
        self.row = if verdict == Verdict::Failure { self.row + 1 } else { 0 };
        if now.since(Tick::ZERO) < self.settings.warm_up {
            return None;
        }
        let [calls, failures, slow] = self.totals(now);
        let reaches = |of: u64, share: f64| of > 0 && of as f64 / calls as f64 >= share;
        if self.settings.consecutive_failures > 0 && self.row >= self.settings.consecutive_failures {
            return self.open(Cause::ConsecutiveFailures, now);
        }
        if calls < u64::from(self.settings.minimum_calls.max(1)) {
            return None;
        }
        if reaches(failures, self.settings.error_threshold.get()) {
            return self.open(Cause::ErrorRatio, now);
        }
        let too_slow = self.settings.slow_call.as_ref().is_some_and(|set| reaches(slow, set.threshold.get()));
        if too_slow { self.open(Cause::SlowCalls, now) } else { None }
    }

    fn checked(&mut self, well: bool, now: Tick) -> Turn {
        let warming_up = now.since(Tick::ZERO) < self.settings.warm_up;
        match (self.state, well) {
            (State::Open, true) if now >= self.until || self.by_checks => {
                self.overdue = self.overdue.max(now.after(self.settings.half_open_timeout));
                self.turn(State::HalfOpen, Cause::HealthCheck)
            }
            (State::Closed, false) if !warming_up => self.open(Cause::HealthCheck, now),
            (State::HalfOpen, false) => self.open(Cause::HealthCheck, now),
            _ => None,
        }
    }
}

/// xorshift64*: the same events each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

fn settings(random: &mut Random) -> BreakerSettings {
    let mut seconds = |most| Duration::from_secs(random.below(most));
    let (half_open_timeout, ramp, warm_up) = (seconds(20), seconds(20), seconds(60));
    BreakerSettings {
        window: match random.below(3) {
            0 => WindowSize::Calls(1 + random.below(30) as u32),
            _ => WindowSize::Time(Duration::from_secs(10)),
        },
        buckets: [1, 2, 5, 10][random.below(4) as usize],
        minimum_calls: random.below(20) as u32,
        error_threshold: Ratio::percent(10 + random.below(91) as u8),
        consecutive_failures: random.below(8) as u32,
        slow_call: random.one_in(2).then(SlowCall::default),
        reset_jitter: Ratio::NONE,
        half_open_calls: 1 + random.below(4) as u32,
        half_open_timeout: half_open_timeout.max(Duration::from_secs(1)),
        health_gate: random.one_in(4),
        ramp: if random.one_in(2) { Duration::ZERO } else { ramp },
        warm_up: if random.one_in(4) { warm_up } else { Duration::ZERO },
        ..BreakerSettings::default()
    }
}

fn turn(change: Option<Transition>) -> Turn {
    change.map(|change| (change.from, change.to, change.cause))
}

fn history(seed: u64, events: u64) -> u64 {
    let mut random = Random(seed);
    let settings = settings(&mut random);
    let breaker = Breaker::new(settings.clone(), 1, Tick::ZERO);
    let mut oracle = Oracle::new(settings);
    let mut permits: Vec<(Permit, Leave)> = Vec::new();
    let (mut clock, mut turns, mut bad) = (Duration::ZERO, 0, 2);
    for event in 0..events {
        // The clock goes on; sometimes it jumps, and now and then a thread comes with an earlier moment.
        clock += Duration::from_micros(random.below(20_000));
        if random.one_in(2_000) {
            clock += Duration::from_secs(random.below(90));
        }
        let late =
            if random.one_in(50) { Duration::from_millis(random.below(4_000)) } else { Duration::ZERO };
        let now = Tick::ZERO.after(clock.saturating_sub(late));
        if random.one_in(3_000) {
            // Better times, or worse: of ten outcomes so many are failures.
            bad = random.below(11);
        }
        let say = || format!("seed {seed}, event {event}, {:?}", breaker.settings());
        match random.below(1_000) {
            0..480 => {
                let (looked, why) = (breaker.look(now).is_ok(), breaker.explain(now).is_none());
                let (ramped, expected) = (oracle.ramp.is_some(), oracle.admit(now));
                let admitted = breaker.admit(now);
                assert_eq!(expected.is_some(), admitted.is_ok(), "{}", say());
                assert!(looked == admitted.is_ok() || looked && ramped, "{}", say());
                assert_eq!(looked, why, "{}", say());
                if let (Ok((permit, change)), Some((leave, expected))) = (admitted, expected) {
                    assert_eq!(turn(change), expected, "{}", say());
                    turns += u64::from(change.is_some());
                    permits.push((permit, leave));
                }
            }
            480..980 => {
                if permits.is_empty() {
                    continue;
                }
                // Most end soon after they began; some come late, and some never do.
                let newest = permits.len() - 1;
                let which =
                    if random.one_in(10) { random.below(permits.len() as u64) as usize } else { newest };
                let (permit, leave) = permits.swap_remove(which);
                let verdict = match random.below(20) {
                    0 => Verdict::Neutral,
                    1 => Verdict::Moved,
                    _ if random.below(10) < bad => Verdict::Failure,
                    _ => Verdict::Success,
                };
                let slow = random.below(10) < bad / 2;
                let elapsed = Duration::from_millis(if slow { 1_000 } else { 999 });
                let change = breaker.record(permit, verdict, elapsed, now);
                let slow = slow && breaker.settings().slow_call.is_some();
                assert_eq!(turn(change), oracle.record(leave, verdict, slow, now), "{}", say());
                turns += u64::from(change.is_some());
                if permits.len() > 100 {
                    permits.truncate(50);
                }
            }
            980..996 => {
                let well = random.one_in(2);
                let change = breaker.checked(well, now);
                assert_eq!(turn(change), oracle.checked(well, now), "{}", say());
            }
            996 => assert_eq!(turn(breaker.force_open(now)), oracle.force(State::ForcedOpen), "{}", say()),
            997 => assert_eq!(turn(breaker.disable(now)), oracle.force(State::Disabled), "{}", say()),
            _ => assert_eq!(turn(breaker.reset(now)), oracle.close(Cause::Requested, now), "{}", say()),
        }
        assert_eq!(breaker.state(), oracle.state, "{}", say());
        if event % 16 == 0 {
            let snapshot = breaker.snapshot(now);
            let figures = [snapshot.calls, snapshot.failures];
            let [calls, failures, _] = oracle.totals(now);
            assert_eq!(figures, [calls, failures], "{}", say());
            assert_eq!(
                (snapshot.generation, snapshot.consecutive_failures, snapshot.open_count),
                (oracle.generation, oracle.row, oracle.opened as u32),
                "{}",
                say()
            );
        }
    }
    turns
}

#[test]
fn ten_million_events_leave_both_in_the_same_state() {
    let threads = 2;
    let turns: u64 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let seeds = (1..=HISTORIES).filter(move |seed| seed % threads == thread);
                scope.spawn(move || {
                    seeds.map(|seed| history(seed * 0x9e37_79b9, EVENTS / HISTORIES)).sum::<u64>()
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| panic!("they differ: see above")))
            .sum()
    });
    assert!(turns > EVENTS / 1_000, "they were no quiet times: {turns} turns");
}
