use std::time::Duration;

use crate::{
    sync::atomic::{AtomicU64, Ordering},
    units::Tick,
};

/// What is let through in the time after closing: of a trickle all, of a flood a share that grows from a tenth to all.
///
/// By counting, not by chance: of `n` calls in a tenth of the ramp, as many pass as the share says, evenly spread.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    /// Until when it lasts; 0 without one.
    until: AtomicU64,
    /// The tenth that it is in, counted from 1, in the upper half; the calls that came in it in the lower.
    step: AtomicU64,
}

impl Ramp {
    pub(super) fn begin(&self, length: Duration, now: Tick) {
        self.step.store(0, Ordering::Relaxed);
        self.until.store(if length.is_zero() { 0 } else { now.after(length).as_nanos() }, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// How long it still lasts.
    pub(super) fn left(&self, now: Tick) -> Duration {
        Tick::from_nanos(self.until.load(Ordering::Relaxed)).since(now)
    }

    /// Whether a call passes. Up to `trickle` in each tenth always do, and one at least.
    #[inline]
    pub(super) fn passes(&self, length: Duration, trickle: u32, now: Tick) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until == 0 || self.passes_while(Tick::from_nanos(until), length, trickle, now)
    }

    #[cold]
    fn passes_while(&self, until: Tick, length: Duration, trickle: u32, now: Tick) -> bool {
        let left = until.since(now);
        if left.is_zero() || length.is_zero() {
            self.end();
            return true;
        }
        let (length, gone) = (length.as_nanos(), length.saturating_sub(left).as_nanos());
        let step = (gone * 10 / length) as u64 + 1;
        let mut current = self.step.load(Ordering::Relaxed);
        let number = loop {
            let number = if current >> 32 == step { current & u64::from(u32::MAX) } else { 0 };
            let next = step << 32 | (number + 1).min(u64::from(u32::MAX));
            match self.step.compare_exchange_weak(current, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break number,
                Err(now) => current = now,
            }
        };
        if number < u64::from(trickle.max(1)) {
            return true;
        }
        // The whole part of number x share goes up by one for as many as pass.
        let share = 0.1 + 0.9 * (gone as f64 / length as f64);
        ((number + 1) as f64 * share).floor() > (number as f64 * share).floor()
    }
}
