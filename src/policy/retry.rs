//! When a failed attempt is made again.
//!
//! Only what may be made twice, or was never sent; after an exponential backoff with full jitter (Marc Brooker,
//! "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), for clients that fail together must not come back
//! together; never into a deadline that it cannot meet; and not before the downstream said it wants to be asked again. What
//! all retries together may cost is the budget's to say ([`budget`](super::budget)).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::blame::{Blame, Reached, Retrying};
use crate::units::duration;

/// Further attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetrySettings {
    /// Attempts in all, the first included. Default 2.
    pub attempts: u32,
    /// What is retried. Default all of these but `response`.
    pub on: Vec<RetryOn>,
    /// The longest pause before the first retry; it doubles from one to the next. Default 50 ms.
    #[serde(with = "duration")]
    pub backoff: Duration,
    /// The longest pause at all. Default 1 s.
    #[serde(with = "duration")]
    pub backoff_max: Duration,
    /// How the pause is spread. Default in full.
    pub jitter: Jitter,
    /// The longest pause that a downstream may ask for; a call told to wait longer fails. Default 30 s.
    #[serde(with = "duration")]
    pub retry_after_max: Duration,
    /// Whether a retry goes to another endpoint, where there is one. Default yes.
    pub other_endpoint: bool,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: vec![RetryOn::Connect, RetryOn::Reset, RetryOn::Timeout, RetryOn::Overload],
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            jitter: Jitter::Full,
            retry_after_max: Duration::from_secs(30),
            other_endpoint: true,
        }
    }
}

/// What a failure looks like that is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetryOn {
    /// No connection could be made.
    Connect,
    /// A connection broke.
    Reset,
    /// Time ran out.
    Timeout,
    /// The downstream asked for less.
    Overload,
    /// An answer that says that it failed: a 500.
    Response,
}

impl RetryOn {
    fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::Response => "response",
        }
    }
}

/// How pauses are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// From nothing to the whole pause.
    #[default]
    Full,
    /// From half of it to the whole.
    Equal,
    /// The whole pause each time.
    None,
}

/// One failed attempt, as far as a retry depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// Attempts made so far.
    pub attempts: u32,
    /// Whose fault it was.
    pub blame: Blame,
    /// Whether the request may have reached the other side.
    pub reached: Reached,
    /// Whether the call may be made twice.
    pub idempotent: bool,
    /// How long the downstream asked to be left alone.
    pub retry_after: Option<Duration>,
    /// What is left of the call's time.
    pub remaining: Duration,
}

/// Whether there is another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// After this pause.
    After(Duration),
    /// No.
    GiveUp(GaveUp),
}

/// Why there is no other attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// All attempts were made.
    Exhausted,
    /// It may not be made twice, or would fail again.
    NotRetryable,
    /// The pause would outlast the call's time.
    Deadline,
    /// The downstream asked for a longer pause than the settings bear.
    RetryAfterTooLong,
}

impl RetrySettings {
    /// Whether failures that look like this (`connect`, `timeout`, ...) are retried.
    pub fn covers(&self, word: &str) -> bool {
        self.on.iter().any(|on| on.word() == word)
    }

    /// Whether, and when, `failed` is tried again.
    pub fn judge(&self, failed: Failed, random: u64) -> Decision {
        if failed.attempts >= self.attempts {
            return Decision::GiveUp(GaveUp::Exhausted);
        }
        let mut pause = match failed.blame.retrying(failed.idempotent, failed.reached) {
            Retrying::Never => return Decision::GiveUp(GaveUp::NotRetryable),
            Retrying::AtOnce => Duration::ZERO,
            Retrying::Later => self.pause(failed.attempts, random),
        };
        if let Some(asked) = failed.retry_after {
            if asked > self.retry_after_max {
                return Decision::GiveUp(GaveUp::RetryAfterTooLong);
            }
            pause = pause.max(asked);
        }
        if pause >= failed.remaining {
            return Decision::GiveUp(GaveUp::Deadline);
        }
        Decision::After(pause)
    }

    /// The pause before the retry of this number, counted from 1.
    pub fn pause(&self, retry: u32, random: u64) -> Duration {
        let doubled =
            self.backoff.saturating_mul(1_u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX));
        let longest = doubled.min(self.backoff_max);
        let share = random as f64 / u64::MAX as f64;
        match self.jitter {
            Jitter::Full => longest.mul_f64(share),
            Jitter::Equal => longest.mul_f64(0.5 + 0.5 * share),
            Jitter::None => longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILED: Failed = Failed {
        attempts: 1,
        blame: Blame::Downstream,
        reached: Reached::Maybe,
        idempotent: true,
        retry_after: None,
        remaining: Duration::from_secs(3),
    };

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        use RetryOn::*;
        let retry = RetrySettings::default();
        assert_eq!((retry.attempts, retry.jitter), (2, Jitter::Full));
        assert_eq!(retry.on, [Connect, Reset, Timeout, Overload]);
        assert_eq!((retry.backoff, retry.backoff_max), (Duration::from_millis(50), Duration::from_secs(1)));
        assert_eq!((retry.retry_after_max, retry.other_endpoint), (Duration::from_secs(30), true));
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_its_cap_or_meets_the_deadline(
            attempts in 0_u32..100,
            random: u64,
            remaining in 0_u64..3_000,
            asked in prop::option::of(0_u64..60_000),
            idempotent: bool,
        ) {
            let retry = RetrySettings { attempts: 50, ..RetrySettings::default() };
            let remaining = Duration::from_millis(remaining);
            let retry_after = asked.map(Duration::from_millis);
            let failed = Failed { attempts, remaining, retry_after, idempotent, ..FAILED };
            if let Decision::After(pause) = retry.judge(failed, random) {
                prop_assert!(idempotent && attempts < 50 && pause < remaining);
                prop_assert!(pause <= retry.backoff_max.max(retry_after.unwrap_or_default()));
                prop_assert!(pause >= retry_after.unwrap_or_default());
            }
        }
    }

    #[test]
    fn jitter_spreads_from_nothing_from_half_or_not_at_all() {
        let pause = |jitter, random| {
            RetrySettings { jitter, ..RetrySettings::default() }.pause(1, random).as_millis()
        };
        assert_eq!((pause(Jitter::Full, 0), pause(Jitter::Full, u64::MAX / 2)), (0, 25));
        assert_eq!((pause(Jitter::Equal, 0), pause(Jitter::Equal, u64::MAX)), (25, 50));
        assert_eq!((pause(Jitter::None, 0), pause(Jitter::None, u64::MAX)), (50, 50));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_jitter_only_shortens() {
        let retry = RetrySettings::default();
        let longest: Vec<_> = (1..=6).map(|n| retry.pause(n, u64::MAX).as_millis()).collect();
        assert_eq!(longest, [50, 100, 200, 400, 800, 1000]);
        assert_eq!(retry.pause(100, u64::MAX), Duration::from_secs(1));
        assert_eq!(retry.pause(3, 0), Duration::ZERO);
    }

    #[test]
    fn what_cannot_succeed_is_not_tried() {
        let retry = RetrySettings { jitter: Jitter::None, ..RetrySettings::default() };
        let judge = |failed| retry.judge(failed, 0);
        assert_eq!(judge(FAILED), Decision::After(Duration::from_millis(50)));
        assert_eq!(judge(Failed { attempts: 2, ..FAILED }), Decision::GiveUp(GaveUp::Exhausted));
        assert_eq!(judge(Failed { idempotent: false, ..FAILED }), Decision::GiveUp(GaveUp::NotRetryable));
        let short = Failed { remaining: Duration::from_millis(50), ..FAILED };
        assert_eq!(judge(short), Decision::GiveUp(GaveUp::Deadline));
    }

    #[test]
    fn what_the_downstream_asked_for_is_honoured_up_to_a_cap() {
        let retry = RetrySettings::default();
        let asked = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            let failed =
                Failed { blame: Blame::Overload, retry_after, remaining: Duration::from_secs(60), ..FAILED };
            retry.judge(failed, 0)
        };
        assert_eq!(asked(2), Decision::After(Duration::from_secs(2)));
        assert_eq!(asked(3600), Decision::GiveUp(GaveUp::RetryAfterTooLong));
    }
}
