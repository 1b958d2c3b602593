//! The circuit breaker: stops calling what does not answer, and finds out when it does again.
//!
//! Michael Nygard's pattern (*Release It!*). It opens on the share of failures, on failures in a row, or on the share of
//! slow calls; after the reset time the first call that comes makes it half open and is its probe; enough good probes
//! close it, one bad one opens it again, for longer. There is no timer: an idle breaker costs nothing.
//!
//! State, generation and probe slots are one atomic word. A permit carries the generation it was given in, so that an
//! outcome which arrives after a change of state does not count: a success from before the outage closes nothing. A probe
//! that never ends must not hold the gate for ever, so its slot is given anew after a time, under a new generation.
//!
//! After closing, a flood is let through by a growing share: whoever has just come back with cold caches would otherwise
//! be sent home by all that had waited. Up to `minimum_calls` in each tenth of the ramp always pass, so that a quiet
//! service does not notice.
//!
//! In the closed state an attempt costs one load to admit, and one or two additions to record.

mod report;
mod settings;

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

pub use report::{BreakerSnapshot, Cause, Rejected, State, Transition};
pub use settings::{BreakerScope, BreakerSettings, SlowCall};

use super::{
    blame::Verdict,
    window::{Totals, Window, WindowSize},
};
use crate::units::Tick;

/// A circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    window: Window,
    word: AtomicU64,
    consecutive: AtomicU32,
    last_failure: AtomicU64,
    /// When the state last changed.
    since: AtomicU64,
    /// When the next probe is due.
    until: AtomicU64,
    /// Until when the ramp lasts; 0 without one.
    ramp_until: AtomicU64,
    /// The ramp's step in the upper half, the calls admitted in it in the lower.
    ramp_step: AtomicU64,
    rejected: AtomicU64,
    random: AtomicU64,
    created: Tick,
    opened: Mutex<Opened>,
}

/// The figures it opened by.
#[derive(Clone, Copy, Debug)]
struct Opened {
    at: Tick,
    totals: Totals,
    cause: Cause,
    /// How often since it was last closed.
    count: u32,
}

/// Leave to make one attempt. It must be handed back to [`Breaker::record`], once.
#[must_use = "a permit that is not recorded holds its probe's slot"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    generation: u64,
    probe: bool,
}

/// State, probes that succeeded, probes under way, generation; from the lowest bits up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

const FIELD: u64 = (1 << 10) - 1;

impl Word {
    fn new(state: State, generation: u64, under_way: u64, succeeded: u64) -> Self {
        Self(state as u64 | succeeded.min(FIELD) << 3 | under_way.min(FIELD) << 13 | generation << 23)
    }

    fn state(self) -> State {
        State::ALL[((self.0 & 7) as usize).min(State::ALL.len() - 1)]
    }

    fn succeeded(self) -> u64 {
        self.0 >> 3 & FIELD
    }

    fn under_way(self) -> u64 {
        self.0 >> 13 & FIELD
    }

    fn generation(self) -> u64 {
        self.0 >> 23
    }
}

impl Breaker {
    /// A closed breaker. `seed` is where its jitter comes from.
    pub fn new(settings: BreakerSettings, seed: u64, now: Tick) -> Self {
        Self {
            window: Window::new(settings.window, settings.buckets),
            word: AtomicU64::new(Word::new(State::Closed, 0, 0, 0).0),
            consecutive: AtomicU32::new(0),
            last_failure: AtomicU64::new(0),
            since: AtomicU64::new(now.as_nanos()),
            until: AtomicU64::new(0),
            ramp_until: AtomicU64::new(0),
            ramp_step: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            random: AtomicU64::new(seed),
            created: now,
            opened: Mutex::new(Opened {
                at: now,
                totals: Totals::default(),
                cause: Cause::Requested,
                count: 0,
            }),
            settings,
        }
    }

    /// Whether an attempt would be refused now; takes nothing. In a ramp it says yes, for only asking tells.
    ///
    /// # Errors
    /// The refusal.
    pub fn look(&self, now: Tick) -> Result<(), Rejected> {
        let word = self.word();
        match word.state() {
            State::Closed | State::Disabled => Ok(()),
            State::Open if now.as_nanos() >= self.until.load(Ordering::Acquire) => Ok(()),
            State::HalfOpen if self.has_slot(word) || self.is_overdue(now) => Ok(()),
            state => Err(self.refuse(state, now)),
        }
    }

    /// Admits an attempt, changing from open to half-open where it is time.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(&self, now: Tick) -> Result<(Permit, Option<Transition>), Rejected> {
        loop {
            let word = self.word();
            let generation = word.generation();
            match word.state() {
                State::Closed => {
                    let ramp_until = self.ramp_until.load(Ordering::Relaxed);
                    if ramp_until != 0 && !self.passes_ramp(Tick::from_nanos(ramp_until), now) {
                        return Err(self.refuse(State::Closed, now));
                    }
                    return Ok((Permit { generation, probe: false }, None));
                }
                State::Disabled => return Ok((Permit { generation, probe: false }, None)),
                // Open => HalfOpen
                State::Open if now.as_nanos() >= self.until.load(Ordering::Acquire) => {
                    let probing = Word::new(State::HalfOpen, generation + 1, 1, 0);
                    if self.swap(word, probing) {
                        let change = self.changed(State::Open, State::HalfOpen, Cause::ResetTimeout, now);
                        return Ok((Permit { generation: generation + 1, probe: true }, Some(change)));
                    }
                }
                State::HalfOpen if self.has_slot(word) => {
                    let probing =
                        Word::new(State::HalfOpen, generation, word.under_way() + 1, word.succeeded());
                    if self.swap(word, probing) {
                        return Ok((Permit { generation, probe: true }, None));
                    }
                }
                // HalfOpen => HalfOpen: the probes never ended, others are let through.
                State::HalfOpen if self.is_overdue(now) => {
                    if self.swap(word, Word::new(State::HalfOpen, generation + 1, 1, 0)) {
                        self.since.store(now.as_nanos(), Ordering::Release);
                        return Ok((Permit { generation: generation + 1, probe: true }, None));
                    }
                }
                state => return Err(self.refuse(state, now)),
            }
        }
    }

    /// Records an attempt's outcome, and gives its permit back. It does not count if the state has changed since.
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
        if permit.probe {
            return self.record_probe(&permit, verdict, slow, now);
        }
        if word.state() != State::Closed {
            return None;
        }
        match verdict {
            Verdict::Neutral => return None,
            Verdict::Success => {
                self.window.record(false, slow, now);
                if self.consecutive.load(Ordering::Relaxed) != 0 {
                    self.consecutive.store(0, Ordering::Relaxed);
                }
                if !slow && !self.has_failed_lately(now) {
                    return None;
                }
            }
            Verdict::Failure => {
                self.window.record(true, slow, now);
                self.consecutive.fetch_add(1, Ordering::Relaxed);
                self.last_failure.store(now.as_nanos().max(1), Ordering::Relaxed);
            }
        }
        // Closed => Open
        let (cause, totals) = self.should_open(now)?;
        self.open(word, cause, totals, now)
    }

    fn record_probe(&self, permit: &Permit, verdict: Verdict, slow: bool, now: Tick) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.generation() != permit.generation || word.state() != State::HalfOpen {
                return None;
            }
            let (generation, under_way) = (word.generation(), word.under_way().saturating_sub(1));
            match verdict {
                // HalfOpen => Open
                Verdict::Failure => {
                    if let Some(change) = self.open(word, Cause::ProbeFailed, self.window.totals(now), now) {
                        return Some(change);
                    }
                }
                Verdict::Success if slow => {
                    if let Some(change) = self.open(word, Cause::SlowCalls, self.window.totals(now), now) {
                        return Some(change);
                    }
                }
                // HalfOpen => Closed
                Verdict::Success if word.succeeded() + 1 >= self.half_open_calls() => {
                    self.window.clear();
                    self.consecutive.store(0, Ordering::Relaxed);
                    let ramp = self.settings.ramp;
                    let ramp_until = if ramp.is_zero() { 0 } else { now.after(ramp).as_nanos() };
                    self.ramp_until.store(ramp_until, Ordering::Relaxed);
                    self.ramp_step.store(0, Ordering::Relaxed);
                    if self.swap(word, Word::new(State::Closed, generation + 1, 0, 0)) {
                        return Some(self.closed(State::HalfOpen, Cause::ProbesSucceeded, now));
                    }
                }
                Verdict::Success => {
                    let probing = Word::new(State::HalfOpen, generation, under_way, word.succeeded() + 1);
                    if self.swap(word, probing) {
                        return None;
                    }
                }
                Verdict::Neutral => {
                    if self.swap(word, Word::new(State::HalfOpen, generation, under_way, word.succeeded())) {
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
        self.window.clear();
        self.consecutive.store(0, Ordering::Relaxed);
        self.ramp_until.store(0, Ordering::Relaxed);
        self.force(State::Closed, now)
    }

    fn force(&self, state: State, now: Tick) -> Option<Transition> {
        loop {
            let word = self.word();
            if word.state() == state {
                return None;
            }
            if self.swap(word, Word::new(state, word.generation() + 1, 0, 0)) {
                if state == State::Closed {
                    return Some(self.closed(word.state(), Cause::Requested, now));
                }
                *self.opened.lock() =
                    Opened { at: now, totals: self.window.totals(now), cause: Cause::Requested, count: 0 };
                return Some(self.changed(word.state(), state, Cause::Requested, now));
            }
        }
    }

    /// The breaker as it is now.
    pub fn snapshot(&self, now: Tick) -> BreakerSnapshot {
        let word = self.word();
        let totals = self.window.totals(now);
        let until = Tick::from_nanos(self.until.load(Ordering::Relaxed));
        let retry_after = if word.state() == State::Open { until.since(now) } else { Duration::ZERO };
        BreakerSnapshot {
            state: word.state(),
            since_ms: now.since(self.since()).as_millis() as u64,
            calls: totals.calls,
            failures: totals.failures,
            slow: totals.slow,
            error_ratio: totals.error_ratio(),
            consecutive_failures: self.consecutive.load(Ordering::Relaxed),
            generation: word.generation(),
            open_count: self.opened.lock().count,
            rejected: self.rejected.load(Ordering::Relaxed),
            retry_after_ms: retry_after.as_millis() as u64,
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    fn should_open(&self, now: Tick) -> Option<(Cause, Totals)> {
        let settings = &self.settings;
        if now.since(self.created) < settings.warm_up {
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

    fn has_failed_lately(&self, now: Tick) -> bool {
        let last = self.last_failure.load(Ordering::Relaxed);
        last != 0
            && match self.settings.window {
                WindowSize::Time(length) => now.since(Tick::from_nanos(last)) <= length,
                WindowSize::Calls(_) => true,
            }
    }

    fn open(&self, word: Word, cause: Cause, totals: Totals, now: Tick) -> Option<Transition> {
        let mut opened = self.opened.lock();
        // Others may have opened it while this one waited: it must not stay open for longer by that.
        if self.word() != word {
            return None;
        }
        let count = opened.count + 1;
        // Before the state, for whoever sees it open must not find its time over.
        self.until.store(now.after(self.reset_time(count)).as_nanos(), Ordering::Release);
        if !self.swap(word, Word::new(State::Open, word.generation() + 1, 0, 0)) {
            return None;
        }
        *opened = Opened { at: if count == 1 { now } else { opened.at }, totals, cause, count };
        drop(opened);
        if count == 1 {
            self.rejected.store(0, Ordering::Relaxed);
        }
        Some(self.changed(word.state(), State::Open, cause, now))
    }

    fn closed(&self, from: State, cause: Cause, now: Tick) -> Transition {
        let opened = std::mem::replace(
            &mut *self.opened.lock(),
            Opened { at: now, totals: Totals::default(), cause, count: 0 },
        );
        Transition { lasted: now.since(opened.at), ..self.changed(from, State::Closed, cause, now) }
    }

    fn changed(&self, from: State, to: State, cause: Cause, now: Tick) -> Transition {
        let before = Tick::from_nanos(self.since.swap(now.as_nanos(), Ordering::AcqRel));
        let Opened { totals, count, .. } = *self.opened.lock();
        let until = Tick::from_nanos(self.until.load(Ordering::Acquire));
        Transition {
            from,
            to,
            cause,
            generation: self.word().generation(),
            calls: totals.calls,
            failures: totals.failures,
            slow: totals.slow,
            error_ratio: totals.error_ratio(),
            threshold: self.settings.error_threshold.get(),
            retry_after: if to == State::Open { until.since(now) } else { Duration::ZERO },
            lasted: now.since(before),
            rejected: self.rejected.load(Ordering::Relaxed),
            open_count: count,
        }
    }

    /// How long it stays open the `count`th time in a row.
    fn reset_time(&self, count: u32) -> Duration {
        let settings = &self.settings;
        let growth = settings.reset_growth.max(1.0).powi(count.saturating_sub(1).min(64) as i32);
        let grown = (settings.reset_timeout.as_secs_f64() * growth)
            .min(settings.reset_max.max(settings.reset_timeout).as_secs_f64());
        // splitmix64, from 0 to 1.
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        Duration::from_secs_f64(grown * (1.0 + settings.reset_jitter.get() * (share - 0.5)))
    }

    /// In a ramp: up to `minimum_calls` in each tenth of it pass, and of those above a share that grows from a tenth to all.
    fn passes_ramp(&self, until: Tick, now: Tick) -> bool {
        let left = until.since(now);
        let ramp = self.settings.ramp;
        if left.is_zero() || ramp.is_zero() {
            self.ramp_until.store(0, Ordering::Relaxed);
            return true;
        }
        let done = 1.0 - left.as_secs_f64() / ramp.as_secs_f64();
        let step = (done * 10.0) as u64 + 1;
        let mut current = self.ramp_step.load(Ordering::Relaxed);
        let number = loop {
            let number = if current >> 32 == step { current & u64::from(u32::MAX) } else { 0 };
            let next = step << 32 | (number + 1).min(u64::from(u32::MAX));
            match self.ramp_step.compare_exchange_weak(current, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break number,
                Err(now) => current = now,
            }
        };
        if number < u64::from(self.settings.minimum_calls) {
            return true;
        }
        // Evenly spread: the whole part of number x share goes up by one for as many as pass.
        let share = 0.1 + 0.9 * done;
        ((number + 1) as f64 * share).floor() > (number as f64 * share).floor()
    }

    fn half_open_calls(&self) -> u64 {
        u64::from(self.settings.half_open_calls).clamp(1, FIELD)
    }

    fn has_slot(&self, word: Word) -> bool {
        word.under_way() + word.succeeded() < self.half_open_calls()
    }

    fn is_overdue(&self, now: Tick) -> bool {
        now.since(self.since()) >= self.settings.half_open_timeout
    }

    fn refuse(&self, state: State, now: Tick) -> Rejected {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        let Opened { totals, cause, .. } = *self.opened.lock();
        let retry_after = match state {
            State::Open => Tick::from_nanos(self.until.load(Ordering::Relaxed)).since(now),
            State::HalfOpen => self.since().after(self.settings.half_open_timeout).since(now),
            _ => Duration::ZERO,
        };
        let since = now.since(self.since());
        Rejected { state, retry_after, since, calls: totals.calls, failures: totals.failures, cause }
    }

    fn since(&self) -> Tick {
        Tick::from_nanos(self.since.load(Ordering::Acquire))
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
