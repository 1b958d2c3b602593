//! How many calls may be in flight, measured.
//!
//! A limit that somebody wrote down is right for the downstream of that day. What can be measured is whether calls queue
//! up over there: then they take longer than they did, or are refused. By Little's law so many may be in flight as arrive
//! in the time that one takes while nothing queues; more only wait elsewhere.
//!
//! **Gradient**, after Netflix's concurrency-limits (its Gradient2). A short window of latencies is held against what calls
//! have taken over minutes. As long as they take less than `tolerance` times that, nothing queues, and the limit grows by a
//! headroom of half its square root: enough to find out whether more is possible, little enough for a queue over there
//! to stay short. Beyond it shrinks by the ratio of the two, at most by half, and settles where the headroom makes up for
//! it. It differs from its model in three things. The slow average forgets by time and not by count, in ten minutes, so that
//! a busy service does not take an overload of seconds for the way things are; it follows down ten times as fast, since
//! what was possible once is possible. And the limit shrinks at once but grows by steps of a fifth: what queues over there
//! has to be waited for.
//!
//! **AIMD**, TCP's old way (Chiu and Jain, 1989): up by one a window, down by a tenth when something is lost. It knows nothing
//! of latency, and suits a downstream that refuses what it cannot do.
//!
//! For both an attempt that timed out, or was refused for overload, was lost. A hundred that were lost together say one
//! thing: only one that began after the limit last shrank makes it shrink again. And how long calls take says nothing of a limit
//! that is not used: by that it changes only while at least half of it is in flight.
//!
//! What is started under overload takes that for normal until the load first falls; `max` bounds it until then.
//! It costs a short lock an attempt.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::units::Tick;

/// How a limit is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdaptiveSettings {
    /// What it goes by. Default `gradient`.
    pub algorithm: Algorithm,
    /// Where it starts, in calls in flight. Default 20.
    pub initial: u32,
    /// The least it may come to, in calls in flight. Default 1.
    pub min: u32,
    /// The most it may come to, in calls in flight. Default 200; for kinds with a pool, the pool's size if that is less.
    pub max: u32,
    /// How many times as long as usual calls may take before the limit shrinks; of `gradient`. Default 1.5.
    pub tolerance: f64,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self { algorithm: Algorithm::Gradient, initial: 20, min: 1, max: 200, tolerance: 1.5 }
    }
}

/// What a limit goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// How long calls take, against how long they usually take.
    #[default]
    Gradient,
    /// Whether calls are lost: additive increase, multiplicative decrease.
    Aimd,
}

/// What an attempt tells of its downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How long it took.
    pub rtt: Duration,
    /// How many were in flight when it ended, itself included.
    pub in_flight: u32,
    /// Whether it timed out, or was refused for overload.
    pub lost: bool,
}

/// A window is judged when it is as long as this and has as many samples as [`FEWEST`].
const WINDOW: Duration = Duration::from_millis(100);
const FEWEST: u32 = 10;
/// In this time the slow average forgets, upwards.
const MEMORY: f64 = 600.0;
/// And downwards, in seconds.
const MEMORY_DOWN: f64 = 60.0;
/// Windows whose plain mean the slow average starts with.
const WARM_UP: u32 = 10;
/// Of a step up, so much is made.
const SMOOTHING: f64 = 0.2;
/// What a loss leaves of the limit.
const BACKOFF: f64 = 0.9;

/// A limit that is measured.
#[derive(Debug)]
pub struct Adaptive {
    settings: AdaptiveSettings,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    limit: f64,
    /// How long calls usually take, in seconds; 0 if that is not known yet.
    usual: f64,
    /// How many windows it is of, while it warms up.
    windows: u32,
    /// When it shrank for a loss.
    shrank: Option<Tick>,
    window: Window,
}

/// The samples since the last judgement.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Option<Tick>,
    samples: u32,
    sum: f64,
    most_in_flight: u32,
}

impl Adaptive {
    /// A limit at its start, within `min` and `max`.
    pub fn new(settings: AdaptiveSettings) -> Self {
        let limit = f64::from(settings.initial.min(settings.max).max(settings.min).max(1));
        let window = Window::default();
        Self { settings, state: Mutex::new(State { limit, usual: 0.0, windows: 0, shrank: None, window }) }
    }

    /// The same limit by other settings: what was learned of the downstream holds, within their bounds.
    pub fn by(&self, settings: AdaptiveSettings) -> Self {
        let mut state = self.state.lock().clone();
        state.bound(&settings);
        Self { settings, state: Mutex::new(state) }
    }

    /// What it goes by.
    pub fn settings(&self) -> &AdaptiveSettings {
        &self.settings
    }

    /// The limit as it is now.
    pub fn limit(&self) -> u32 {
        whole(self.state.lock().limit)
    }

    /// Takes note of an attempt that has ended; the limit that there is now.
    pub fn record(&self, sample: Sample, now: Tick) -> u32 {
        let mut state = self.state.lock();
        if sample.lost {
            // What had begun before was lost by the limit of before.
            let began_since = state.shrank.is_none_or(|shrank| shrank.after(sample.rtt) <= now);
            if began_since {
                state.limit *= BACKOFF;
                state.shrank = Some(now);
                state.window = Window::default();
            }
        } else if let Some(window) = state.window.with(sample, now) {
            state.window = Window::default();
            let rtt = window.sum / f64::from(window.samples);
            let usual = state.learn(rtt, now.since(window.began.unwrap_or(now)).as_secs_f64());
            if f64::from(window.most_in_flight) * 2.0 >= state.limit {
                state.limit = match self.settings.algorithm {
                    Algorithm::Aimd => state.limit + 1.0,
                    Algorithm::Gradient => gradient(state.limit, self.settings.tolerance * usual / rtt),
                };
            }
        }
        state.bound(&self.settings);
        whole(state.limit)
    }
}

/// Where a limit goes whose calls take `1 / ratio` of what is tolerated.
fn gradient(limit: f64, ratio: f64) -> f64 {
    let target = limit * ratio.clamp(0.5, 1.0) + limit.sqrt() / 2.0;
    if target > limit { limit + (target - limit) * SMOOTHING } else { target }
}

/// A limit in calls: 19.6 lets 19 be in flight.
fn whole(limit: f64) -> u32 {
    // It is within the settings' bounds, which are of the same type.
    limit as u32
}

impl State {
    fn bound(&mut self, settings: &AdaptiveSettings) {
        self.limit = self.limit.clamp(f64::from(settings.min.max(1)), f64::from(settings.max.max(1)));
    }

    /// Takes in how long calls took in a window of this length; how long they usually take. In seconds.
    fn learn(&mut self, rtt: f64, length: f64) -> f64 {
        if self.windows < WARM_UP {
            self.windows += 1;
            self.usual += (rtt - self.usual) / f64::from(self.windows);
        } else {
            let memory = if rtt < self.usual { MEMORY_DOWN } else { MEMORY };
            self.usual += (rtt - self.usual) * (1.0 - (-length / memory).exp());
        }
        self.usual
    }
}

impl Window {
    /// Adds a sample; the whole window, if it can be judged.
    fn with(&mut self, sample: Sample, now: Tick) -> Option<Self> {
        let began = *self.began.get_or_insert(now);
        self.samples += 1;
        // Nothing takes no time, and it is divided by.
        self.sum += sample.rtt.as_secs_f64().max(1e-9);
        self.most_in_flight = self.most_in_flight.max(sample.in_flight);
        (self.samples >= FEWEST && now.since(began) >= WINDOW).then_some(*self)
    }
}

#[cfg(test)]
mod tests;
