//! How a shard that ended is restarted: at once the first time, then ever more slowly; and past an intensity, hardly.
//!
//! After Erlang's supervisors, whose restart intensity ends the supervisor itself and so escalates. Here the service
//! alone is failed: callers are told so at once, and a slow probe goes on for as long as it takes.
//!
//! What ends a failure, and the growth of the pauses, is a shard that lived for a whole window. Not that few ended in
//! one: slow probes are few by themselves, and a service would be tried fast again and again while nothing got better.

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
    /// When it ended lately; no more than `intensity` of them.
    ends: VecDeque<Tick>,
    /// How often it ended since it last lived for a window.
    row: u32,
    failed: bool,
    /// Since when it lives.
    opened: Option<Tick>,
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
        Self { settings, ends: VecDeque::new(), row: 0, failed: false, opened: None }
    }

    /// The shard ended now, or its pool could not be opened. Pauses are jittered by up to a quarter, downwards, so that
    /// shards do not restart in step.
    pub fn record(&mut self, now: Tick, random: u64) -> Next {
        let RestartSettings { backoff, backoff_max, intensity, window } = self.settings;
        if self.opened.take().is_some_and(|opened| now.since(opened) > window) {
            self.ends.clear();
            (self.row, self.failed) = (0, false);
        }
        while self.ends.front().is_some_and(|end| now.since(*end) > window) {
            self.ends.pop_front();
        }
        self.ends.push_back(now);
        self.row = self.row.saturating_add(1);
        if self.ends.len() > intensity as usize {
            self.failed = true;
            // Enough to know that it is one too many.
            self.ends.pop_front();
        }
        let pause = match self.row {
            _ if self.failed => jittered(backoff_max, random),
            1 => Duration::ZERO,
            row => {
                let doubled = backoff.saturating_mul(1_u32.checked_shl(row - 2).unwrap_or(u32::MAX));
                jittered(doubled.min(backoff_max), random)
            }
        };
        if self.failed { Next::Fail { probe_after: pause } } else { Next::Restart { after: pause } }
    }

    /// How often it ended in a row, without having lived for a window in between.
    pub fn in_a_row(&self) -> u32 {
        self.row
    }

    /// Its pool was opened, and a shard lives from now on. How long the opening took is no part of its life.
    pub fn opened(&mut self, now: Tick) {
        self.opened = Some(now);
    }
}

fn jittered(pause: Duration, random: u64) -> Duration {
    pause.mul_f64(1.0 - 0.25 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn a_shard_that_lived_for_a_window_is_forgiven() {
        let mut restarts = Restarts::new(RestartSettings::default());
        for i in 0..5 {
            restarts.record(at(i), 0);
        }
        restarts.opened(at(1_000));
        assert_eq!(restarts.record(at(61_001), 0), Next::Restart { after: Duration::ZERO });
    }

    #[test]
    fn a_failed_service_stays_failed_however_far_apart_its_probes_are() {
        // The third probe used to find the first ends out of the window, and five fast restarts began anew.
        let mut restarts = Restarts::new(RestartSettings::default());
        let mut now = at(0);
        let mut fails = 0;
        for _ in 0..100 {
            match restarts.record(now, u64::MAX / 2) {
                Next::Restart { after } => {
                    assert_eq!(fails, 0, "it was failed");
                    now = now.after(after);
                }
                Next::Fail { probe_after } => {
                    fails += 1;
                    now = now.after(probe_after);
                }
            }
        }
        assert_eq!(fails, 95);
        // To live for a moment is not enough; nor is it that opening it took long.
        restarts.opened(now);
        assert!(matches!(restarts.record(now.after(Duration::from_secs(1)), 0), Next::Fail { .. }));
        let now = now.after(Duration::from_secs(1_000));
        assert!(matches!(restarts.record(now, 0), Next::Fail { .. }));
        restarts.opened(now);
        assert_eq!(
            restarts.record(now.after(Duration::from_secs(61)), 0),
            Next::Restart { after: Duration::ZERO }
        );
    }

    #[test]
    fn pauses_grow_as_long_as_nothing_lives_even_if_few_end_in_a_window() {
        let settings = RestartSettings {
            backoff: Duration::from_secs(10),
            window: Duration::from_secs(20),
            ..RestartSettings::default()
        };
        let mut restarts = Restarts::new(settings);
        let mut now = at(0);
        let pauses: Vec<_> = (0..6)
            .map(|_| match restarts.record(now, 0) {
                Next::Restart { after } => {
                    now = now.after(after);
                    after.as_secs()
                }
                Next::Fail { .. } => panic!("so few in a window are borne"),
            })
            .collect();
        assert_eq!(pauses, [0, 10, 20, 30, 30, 30]);
    }

    #[test]
    fn none_are_borne_if_the_settings_say_so() {
        let mut restarts = Restarts::new(RestartSettings { intensity: 0, ..RestartSettings::default() });
        assert_eq!(restarts.record(at(0), 0), Next::Fail { probe_after: Duration::from_secs(30) });
    }

    proptest! {
        /// The same from all ends there ever were, and how long each shard had lived.
        #[test]
        fn it_does_what_a_full_record_says(
            steps in prop::collection::vec((0_u64..40_000, prop::option::of(0_u64..90_000), any::<u64>()), 1..60),
            intensity in 0_u32..8,
        ) {
            let settings = RestartSettings { intensity, ..RestartSettings::default() };
            let mut restarts = Restarts::new(settings.clone());
            let window = settings.window.as_millis() as u64;
            // Since a shard last lived for a window.
            let mut ends: Vec<u64> = Vec::new();
            let (mut now, mut failed) = (0, false);
            for (opening, lived, random) in steps {
                now += opening;
                if let Some(lived) = lived {
                    restarts.opened(at(now));
                    now += lived;
                    if lived > window {
                        ends.clear();
                        failed = false;
                    }
                }
                ends.push(now);
                let lately = ends.iter().filter(|end| now - **end <= window).count();
                failed |= lately > intensity as usize;
                let longest = match ends.len() as u32 {
                    _ if failed => settings.backoff_max,
                    1 => Duration::ZERO,
                    row => settings.backoff.saturating_mul(2_u32.saturating_pow(row - 2)).min(settings.backoff_max),
                };
                let (pause, fails) = match restarts.record(at(now), random) {
                    Next::Restart { after } => (after, false),
                    Next::Fail { probe_after } => (probe_after, true),
                };
                prop_assert_eq!(fails, failed);
                prop_assert!(pause <= longest && pause >= longest.mul_f64(0.7499), "{:?} of {:?}", pause, longest);
                prop_assert_eq!(restarts.in_a_row() as usize, ends.len());
            }
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let settings = RestartSettings::default();
        assert_eq!((settings.intensity, settings.window), (5, Duration::from_secs(60)));
        assert_eq!(settings.backoff, Duration::from_millis(100));
        assert_eq!(settings.backoff_max, Duration::from_secs(30));
    }
}
