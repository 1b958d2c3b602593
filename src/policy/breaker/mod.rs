//! The circuit breaker: stops calling what does not answer, and finds out when it does again.
//!
//! Michael Nygard's pattern (*Release It!*). It opens on the share of failures, on failures in a row, or on the share of
//! slow calls; after the reset time the first call that comes makes it half open and is its probe; enough good probes
//! close it, one bad one opens it again, for longer. There is no timer: an idle breaker costs nothing.
//!
//! State, generation and probe slots are one atomic word, which is all that an attempt looks at. Changes of state are made
//! under a lock, together with the figures they went by, so that of two threads that see it time to open one does, and
//! the other changes nothing; probe slots are taken and given back beside the lock. A permit carries the generation it was
//! given in, so that an outcome which arrives after a change of state does not count: a success from before the outage
//! closes nothing. (Between looking at the generation and counting there is a moment: a thread interrupted just there
//! counts one outcome late.) A probe that never ends must not hold the gate for ever: when no slot was given out for a
//! time, all are given anew, under a new generation.
//!
//! After closing, a flood is let through by a growing share: whoever has just come back with cold caches would otherwise
//! be sent home by all that had waited. Up to `minimum_calls` in each tenth of the ramp always pass, so that a quiet
//! service does not notice.
//!
//! A downstream that moved (a failover, a shard that died) has done nothing wrong, unless it goes on moving: see
//! [`LONGEST_MOVE`]. And where the service is checked from time to time, the breaker hears of that too: see
//! [`checked`](Breaker::checked).
//!
//! In the closed state an attempt costs two loads to admit, and one addition to record; the sum over the window is taken
//! only while there was a failure or a slow call in it.

mod health;
mod moving;
mod ramp;
mod report;
mod settings;
mod word;

use std::time::Duration;

pub use moving::LONGEST_MOVE;
pub use report::{BreakerSnapshot, Cause, Rejected, State, Transition};
pub use settings::{BreakerScope, BreakerSettings, SlowCall};

use self::{
    moving::Moving,
    ramp::Ramp,
    word::{MOST_PROBES, Word},
};
use super::{
    blame::Verdict,
    window::{Totals, Window, WindowSize},
};
use crate::{
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    units::Tick,
};

/// A circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    window: Window,
    word: AtomicU64,
    consecutive: AtomicU32,
    /// When there was last a failure or a slow call; 0 for never.
    trouble: AtomicU64,
    /// When the first probe is due. Written before the state that it is of.
    until: AtomicU64,
    /// When the probes are given up that are under way. Moved on before each is let through.
    overdue: AtomicU64,
    ramp: Ramp,
    moving: Moving,
    rejected: AtomicU64,
    created: Tick,
    history: Mutex<History>,
}

/// What the state came from.
#[derive(Debug)]
struct History {
    /// When the state last changed.
    since: Tick,
    /// When it was last opened from closed, or closed.
    at: Tick,
    totals: Totals,
    cause: Cause,
    /// How often it opened since it was last closed.
    count: u32,
    random: u64,
}

/// Leave to make one attempt. It must be handed back to [`Breaker::record`], once.
#[must_use = "a permit that is not recorded holds its probe's slot"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    generation: u64,
    probe: bool,
}

impl Breaker {
    /// A closed breaker. `seed` is where its jitter comes from.
    pub fn new(settings: BreakerSettings, seed: u64, now: Tick) -> Self {
        Self {
            window: Window::new(settings.window, settings.buckets),
            word: AtomicU64::new(Word::new(State::Closed, 0, 0, 0).0),
            consecutive: AtomicU32::new(0),
            trouble: AtomicU64::new(0),
            until: AtomicU64::new(0),
            overdue: AtomicU64::new(0),
            ramp: Ramp::default(),
            moving: Moving::default(),
            rejected: AtomicU64::new(0),
            created: now,
            history: Mutex::new(History {
                since: now,
                at: now,
                totals: Totals::default(),
                cause: Cause::Requested,
                count: 0,
                random: seed,
            }),
            settings,
        }
    }

    /// Whether an attempt would be refused now; takes no permit, and counts a refusal. In a ramp it says yes, for only asking tells.
    ///
    /// # Errors
    /// The refusal, which is counted.
    pub fn look(&self, now: Tick) -> Result<(), Rejected> {
        if self.refuses(now) { Err(self.refusal(now)) } else { Ok(()) }
    }

    /// The same, without a word of refusal that would count.
    pub fn refuses(&self, now: Tick) -> bool {
        self.refusing(self.word(), now).is_some()
    }

    /// The state, if it refuses.
    fn refusing(&self, word: Word, now: Tick) -> Option<State> {
        match word.state() {
            State::Closed | State::Disabled => None,
            State::Open if self.may_probe(now) => None,
            State::HalfOpen if self.has_slot(word) || self.is_overdue(now) => None,
            state => Some(state),
        }
    }

    /// What it has to say when it refuses; counts a refusal.
    pub fn refusal(&self, now: Tick) -> Rejected {
        self.refuse(self.word().state(), now)
    }

    /// Whether all is well: it is closed, or disabled.
    pub fn is_closed(&self) -> bool {
        matches!(self.word().state(), State::Closed | State::Disabled)
    }

    /// Admits an attempt, changing from open to half-open where it is time.
    ///
    /// # Errors
    /// The refusal.
    #[inline]
    pub fn admit(&self, now: Tick) -> Result<(Permit, Option<Transition>), Rejected> {
        let word = self.word();
        if word.state() == State::Closed {
            let Self { settings, ramp, .. } = self;
            if !ramp.passes(settings.ramp, settings.minimum_calls, now) {
                return Err(self.refuse(State::Closed, now));
            }
            return Ok((Permit { generation: word.generation(), probe: false }, None));
        }
        self.admit_probe(now)
    }

    fn admit_probe(&self, now: Tick) -> Result<(Permit, Option<Transition>), Rejected> {
        loop {
            let word = self.word();
            let generation = word.generation();
            match word.state() {
                State::Closed | State::Disabled => {
                    return Ok((Permit { generation, probe: false }, None));
                }
                State::HalfOpen if self.has_slot(word) => {
                    self.put_off(now);
                    if self.swap(word, word.probe_began()) {
                        return Ok((Permit { generation, probe: true }, None));
                    }
                }
                // Open => HalfOpen
                State::Open if self.may_probe(now) => {
                    if let Some(change) = self.half_open(word, Cause::ResetTimeout, 1, now) {
                        return Ok((Permit { generation: generation + 1, probe: true }, Some(change)));
                    }
                }
                // HalfOpen => HalfOpen: the probes never ended, others are let through.
                State::HalfOpen if self.is_overdue(now) => {
                    let _history = self.history.lock();
                    // Somebody else may have done it before us.
                    if self.is_overdue(now) {
                        self.put_off(now);
                        if self.turn(generation, State::HalfOpen, 1) {
                            return Ok((Permit { generation: generation + 1, probe: true }, None));
                        }
                    }
                }
                state => return Err(self.refuse(state, now)),
            }
        }
    }

    /// Records an attempt's outcome, and gives its permit back. It does not count if the state has changed since.
    #[inline]
    pub fn record(
        &self,
        permit: Permit,
        verdict: Verdict,
        elapsed: Duration,
        now: Tick,
    ) -> Option<Transition> {
        let slow = self.settings.slow_call.as_ref().is_some_and(|slow| elapsed >= slow.duration);
        let word = self.word();
        if word.generation() != permit.generation {
            return None;
        }
        let verdict = match verdict {
            Verdict::Moved => self.moving.judge(now),
            Verdict::Success => {
                self.moving.end();
                verdict
            }
            verdict => verdict,
        };
        if permit.probe {
            return self.record_probe(&permit, verdict, slow, now);
        }
        if word.state() != State::Closed || verdict == Verdict::Neutral {
            return None;
        }
        let failed = verdict == Verdict::Failure;
        self.window.record(failed, slow, now);
        if failed {
            self.consecutive.fetch_add(1, Ordering::Relaxed);
        } else if self.consecutive.load(Ordering::Relaxed) != 0 {
            self.consecutive.store(0, Ordering::Relaxed);
        }
        if failed || slow {
            self.trouble.fetch_max(now.as_nanos().max(1), Ordering::Relaxed);
        }
        if !self.is_in_trouble(now) {
            return None;
        }
        // Closed => Open
        let (cause, totals) = self.should_open(now)?;
        self.open(permit.generation, cause, totals, now)
    }

    fn record_probe(&self, permit: &Permit, verdict: Verdict, slow: bool, now: Tick) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.generation() != permit.generation {
                return None;
            }
            match verdict {
                // HalfOpen => Open
                Verdict::Failure => {
                    return self.open(permit.generation, Cause::ProbeFailed, self.window.totals(now), now);
                }
                Verdict::Success if slow => {
                    return self.open(permit.generation, Cause::SlowCalls, self.window.totals(now), now);
                }
                // HalfOpen => Closed
                Verdict::Success if word.succeeded() + 1 >= self.half_open_calls() => {
                    return self.close(permit.generation, now);
                }
                Verdict::Success | Verdict::Neutral | Verdict::Moved => {
                    if self.swap(word, word.probe_ended(verdict == Verdict::Success)) {
                        return None;
                    }
                }
            }
        }
    }

    /// Opens it until told otherwise.
    pub fn force_open(&self, now: Tick) -> Option<Transition> {
        self.force(State::ForcedOpen, now)
    }

    /// Lets everything pass, unseen, until told otherwise.
    pub fn disable(&self, now: Tick) -> Option<Transition> {
        self.force(State::Disabled, now)
    }

    /// Closes it, and forgets what it saw.
    pub fn reset(&self, now: Tick) -> Option<Transition> {
        self.force(State::Closed, now)
    }

    fn force(&self, state: State, now: Tick) -> Option<Transition> {
        let mut history = self.history.lock();
        let word = self.word();
        if state == State::Closed {
            self.forget();
            self.ramp.end();
        }
        if word.state() == state {
            return None;
        }
        if state == State::ForcedOpen {
            self.rejected.store(0, Ordering::Relaxed);
        }
        let totals = self.window.totals(now);
        self.turn(word.generation(), state, 0);
        let change = if state == State::Closed {
            self.closed(&mut history, word, Cause::Requested, now)
        } else {
            (history.at, history.totals) = (now, totals);
            (history.cause, history.count) = (Cause::Requested, 0);
            self.changed(&mut history, word, state, Cause::Requested, now)
        };
        Some(change)
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.word().state()
    }

    /// How many attempts failed in a row, up to now.
    pub fn failures_in_a_row(&self) -> u32 {
        self.consecutive.load(Ordering::Relaxed)
    }

    /// Until when it refuses some calls at least; the end of time where nobody knows.
    pub fn refuses_until(&self) -> Option<Tick> {
        match self.state() {
            State::Closed | State::Disabled => None,
            State::Open if self.settings.health_gate => Some(Tick::from_nanos(u64::MAX)),
            State::Open => Some(self.due()),
            State::HalfOpen => Some(Tick::from_nanos(self.overdue.load(Ordering::Acquire))),
            State::ForcedOpen => Some(Tick::from_nanos(u64::MAX)),
        }
    }

    /// The breaker as it is now.
    pub fn snapshot(&self, now: Tick) -> BreakerSnapshot {
        let history = self.history.lock();
        let word = self.word();
        let totals = self.window.totals(now);
        BreakerSnapshot {
            state: word.state(),
            since_ms: now.since(history.since).as_millis() as u64,
            calls: totals.calls,
            failures: totals.failures,
            slow: totals.slow,
            error_ratio: totals.error_ratio(),
            consecutive_failures: self.consecutive.load(Ordering::Relaxed),
            ramp_ms: self.ramp.left(now).as_millis() as u64,
            moving_ms: self.moving.lasts(now).as_millis() as u64,
            generation: word.generation(),
            open_count: history.count,
            rejected: self.rejected.load(Ordering::Relaxed),
            retry_after_ms: match word.state() {
                State::Open => self.due().since(now).as_millis() as u64,
                _ => 0,
            },
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    fn should_open(&self, now: Tick) -> Option<(Cause, Totals)> {
        let settings = &self.settings;
        if self.is_warming_up(now) {
            return None;
        }
        let totals = self.window.totals(now);
        let row = settings.consecutive_failures;
        if row > 0 && self.consecutive.load(Ordering::Relaxed) >= row {
            return Some((Cause::ConsecutiveFailures, totals));
        }
        if totals.calls < u64::from(settings.minimum_calls.max(1)) {
            return None;
        }
        if totals.failures > 0 && totals.error_ratio() >= settings.error_threshold.get() {
            return Some((Cause::ErrorRatio, totals));
        }
        let slow = settings.slow_call.as_ref()?;
        (totals.slow > 0 && totals.slow_ratio() >= slow.threshold.get()).then_some((Cause::SlowCalls, totals))
    }

    fn is_warming_up(&self, now: Tick) -> bool {
        now.since(self.created) < self.settings.warm_up
    }

    /// Whether there may be a failure or a slow call in the window.
    fn is_in_trouble(&self, now: Tick) -> bool {
        let last = self.trouble.load(Ordering::Relaxed);
        last != 0
            && match self.settings.window {
                WindowSize::Time(length) => now.since(Tick::from_nanos(last)) <= length,
                WindowSize::Calls(_) => true,
            }
    }

    /// Opens it half, with so many probes under way, unless another was quicker.
    fn half_open(&self, before: Word, cause: Cause, under_way: u64, now: Tick) -> Option<Transition> {
        let mut history = self.history.lock();
        self.put_off(now);
        self.turn(before.generation(), State::HalfOpen, under_way)
            .then(|| self.changed(&mut history, before, State::HalfOpen, cause, now))
    }

    /// Opens it, unless `generation` is over.
    fn open(&self, generation: u64, cause: Cause, totals: Totals, now: Tick) -> Option<Transition> {
        let mut history = self.history.lock();
        let word = self.word();
        if word.generation() != generation {
            return None;
        }
        history.count += 1;
        (history.totals, history.cause) = (totals, cause);
        if history.count == 1 {
            history.at = now;
            self.rejected.store(0, Ordering::Relaxed);
        }
        let reset_time = self.reset_time(&mut history);
        self.until.store(now.after(reset_time).as_nanos(), Ordering::Release);
        self.turn(generation, State::Open, 0);
        Some(self.changed(&mut history, word, State::Open, cause, now))
    }

    /// Closes it after its probes, unless `generation` is over.
    fn close(&self, generation: u64, now: Tick) -> Option<Transition> {
        let mut history = self.history.lock();
        let word = self.word();
        if word.generation() != generation {
            return None;
        }
        self.forget();
        self.ramp.begin(self.settings.ramp, now);
        self.turn(generation, State::Closed, 0);
        Some(self.closed(&mut history, word, Cause::ProbesSucceeded, now))
    }

    fn forget(&self) {
        self.window.clear();
        self.consecutive.store(0, Ordering::Relaxed);
        self.trouble.store(0, Ordering::Relaxed);
        self.moving.end();
    }

    /// Changes the state, with the history locked; `false` if `generation` is over. Only probes come and go meanwhile.
    fn turn(&self, generation: u64, to: State, under_way: u64) -> bool {
        loop {
            let word = self.word();
            if word.generation() != generation {
                return false;
            }
            if self.swap(word, Word::new(to, generation + 1, under_way, 0)) {
                return true;
            }
        }
    }

    fn closed(&self, history: &mut History, before: Word, cause: Cause, now: Tick) -> Transition {
        let opened = std::mem::replace(&mut history.at, now);
        (history.totals, history.cause, history.count) = (Totals::default(), cause, 0);
        let change = self.changed(history, before, State::Closed, cause, now);
        Transition { lasted: now.since(opened), ..change }
    }

    fn changed(&self, history: &mut History, before: Word, to: State, cause: Cause, now: Tick) -> Transition {
        let since = std::mem::replace(&mut history.since, now);
        let History { totals, count, .. } = *history;
        Transition {
            from: before.state(),
            to,
            cause,
            generation: before.generation() + 1,
            calls: totals.calls,
            failures: totals.failures,
            slow: totals.slow,
            error_ratio: totals.error_ratio(),
            threshold: self.threshold(cause),
            retry_after: if to == State::Open { self.due().since(now) } else { Duration::ZERO },
            lasted: now.since(since),
            rejected: self.rejected.load(Ordering::Relaxed),
            open_count: count,
        }
    }

    /// The share that opens it for this cause.
    fn threshold(&self, cause: Cause) -> f64 {
        match (cause, &self.settings.slow_call) {
            (Cause::SlowCalls, Some(slow)) => slow.threshold.get(),
            _ => self.settings.error_threshold.get(),
        }
    }

    /// How long it stays open now that it opened for the `history.count`th time in a row.
    fn reset_time(&self, history: &mut History) -> Duration {
        let settings = &self.settings;
        let growth = settings.reset_growth.max(1.0).powi(history.count.saturating_sub(1).min(64) as i32);
        let grown = (settings.reset_timeout.as_secs_f64() * growth)
            .min(settings.reset_max.max(settings.reset_timeout).as_secs_f64());
        // splitmix64, from 0 to 1.
        history.random = history.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = history.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        Duration::from_secs_f64(grown * (1.0 + settings.reset_jitter.get() * (2.0 * share - 1.0)))
    }

    fn half_open_calls(&self) -> u64 {
        u64::from(self.settings.half_open_calls).clamp(1, MOST_PROBES)
    }

    fn has_slot(&self, word: Word) -> bool {
        word.under_way() + word.succeeded() < self.half_open_calls()
    }

    fn due(&self) -> Tick {
        Tick::from_nanos(self.until.load(Ordering::Acquire))
    }

    fn is_due(&self, now: Tick) -> bool {
        now >= self.due()
    }

    fn is_overdue(&self, now: Tick) -> bool {
        now.as_nanos() >= self.overdue.load(Ordering::Acquire)
    }

    /// A probe is let through: it has the whole time. A thread that comes late with an earlier moment takes none away.
    fn put_off(&self, now: Tick) {
        let overdue = now.after(self.settings.half_open_timeout).as_nanos();
        self.overdue.fetch_max(overdue, Ordering::AcqRel);
    }

    #[cold]
    fn refuse(&self, state: State, now: Tick) -> Rejected {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.account(state, now)
    }

    /// Why an attempt would be refused now, if it would be. Takes nothing, and counts nothing.
    pub fn explain(&self, now: Tick) -> Option<Rejected> {
        self.refusing(self.word(), now).map(|state| self.account(state, now))
    }

    fn account(&self, state: State, now: Tick) -> Rejected {
        let history = self.history.lock();
        let retry_after = match state {
            State::Open => self.due().since(now),
            State::HalfOpen => Tick::from_nanos(self.overdue.load(Ordering::Acquire)).since(now),
            _ => Duration::ZERO,
        };
        let History { since, totals, cause, count, .. } = *history;
        let Totals { calls, failures, slow } = totals;
        Rejected {
            state,
            retry_after,
            since: now.since(since),
            calls,
            failures,
            slow,
            threshold: self.threshold(cause),
            cause,
            open_count: count,
            health_gate: self.settings.health_gate,
        }
    }

    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    fn swap(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests;
