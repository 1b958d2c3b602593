//! How a shard that ended is restarted: at once the first time, then ever more slowly; and past an intensity, hardly.
//!
//! After Erlang's supervisors, whose restart intensity ends the supervisor itself and so escalates. Here the service
//! alone is failed: callers are told so at once, and a slow probe goes on for as long as it takes.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::units::{Tick, duration};

/// How a service's shards are restarted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartSettings {
    /// The pause before the second restart; the first comes at once. It doubles from one to the next. Default 100 ms.
    #[serde(with = "duration")]
    pub backoff: Duration,
    /// The longest pause, and the time from one probe of a failed service to the next. Default 30 s.
    #[serde(with = "duration")]
    pub backoff_max: Duration,
    /// Restarts within `window` that are borne; one more, and the service is failed. Default 5.
    pub intensity: u32,
    /// The time that restarts count. Default 60 s.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl Default for RestartSettings {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            intensity: 5,
            window: Duration::from_secs(60),
        }
    }
}

/// The restarts of one shard.
#[derive(Debug)]
pub struct Restarts {
    settings: RestartSettings,
    /// At most `intensity + 1` of them.
    ends: VecDeque<Tick>,
}

/// What to do about a shard that ended, or whose pool could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Open it again after this pause.
    Restart {
        /// The pause.
        after: Duration,
    },
    /// Give the service up, and probe it after this pause.
    Fail {
        /// The pause.
        probe_after: Duration,
    },
}

impl Restarts {
    /// None yet.
    pub fn new(settings: RestartSettings) -> Self {
        Self { settings, ends: VecDeque::new() }
    }

    /// The shard ended now. Pauses are jittered by up to a quarter, downwards, so that shards do not restart in step.
    pub fn record(&mut self, now: Tick, random: u64) -> Next {
        let settings = &self.settings;
        while self.ends.front().is_some_and(|end| now.since(*end) > settings.window) {
            self.ends.pop_front();
        }
        self.ends.push_back(now);
        if self.ends.len() > settings.intensity as usize {
            // Enough to know that it is one too many.
            while self.ends.len() > settings.intensity as usize + 1 {
                self.ends.pop_front();
            }
            return Next::Fail { probe_after: jittered(settings.backoff_max, random) };
        }
        let after = match self.ends.len() as u32 {
            0 | 1 => Duration::ZERO,
            ends => {
                let doubled =
                    settings.backoff.saturating_mul(1_u32.checked_shl(ends - 2).unwrap_or(u32::MAX));
                jittered(doubled.min(settings.backoff_max), random)
            }
        };
        Next::Restart { after }
    }
}

fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(1.0 - 0.25 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::ZERO.after(Duration::from_millis(ms))
    }

    #[test]
    fn restarts_come_at_once_then_slower_and_then_the_service_is_failed() {
        let mut restarts = Restarts::new(RestartSettings::default());
        let pauses: Vec<_> = (0..7).map(|i| restarts.record(at(i), 0)).collect();
        let restart = |ms| Next::Restart { after: Duration::from_millis(ms) };
        let failed = Next::Fail { probe_after: Duration::from_secs(30) };
        assert_eq!(
            pauses,
            [restart(0), restart(100), restart(200), restart(400), restart(800), failed, failed]
        );
    }

    #[test]
    fn a_quiet_window_forgives() {
        let mut restarts = Restarts::new(RestartSettings::default());
        for i in 0..5 {
            restarts.record(at(i), 0);
        }
        assert_eq!(restarts.record(at(61_000), 0), Next::Restart { after: Duration::ZERO });
    }
}
