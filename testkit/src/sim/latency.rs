use std::{fmt, time::Duration};

use super::random::Random;

/// How long a simulated downstream works on a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Anything from one to the other, equally often.
    Uniform(Duration, Duration),
    /// A long tail: half take less than `median`, and with a `sigma` of 0.5 one in a hundred 3.2 times as long.
    LogNormal {
        /// Half take less.
        median: Duration,
        /// How long the tail is.
        sigma: f64,
    },
    /// Mostly fast, and now and then slow: a collection of garbage, a missed page.
    Bimodal {
        /// The most take this long.
        fast: Duration,
        /// The others.
        slow: Duration,
        /// How many are slow, from 0 to 1.
        share: f64,
    },
}

/// No tail is longer: what a service that is well takes must fit into a call's time, or its failures mean nothing.
const LONGEST: Duration = Duration::from_millis(150);

impl Latency {
    pub(super) fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Constant(time) => time,
            Self::Uniform(from, to) => from + (to - from).mul_f64(random.unit()),
            Self::LogNormal { median, sigma } => {
                let factor = (sigma * random.normal()).exp();
                Duration::from_secs_f64(median.as_secs_f64() * factor).min(LONGEST)
            }
            Self::Bimodal { fast, slow, share } => {
                if random.happens(share) {
                    slow
                } else {
                    fast
                }
            }
        }
    }

    /// Nothing that is drawn is longer.
    pub(super) fn longest(self) -> Duration {
        match self {
            Self::Constant(time) | Self::Uniform(_, time) | Self::Bimodal { slow: time, .. } => time,
            Self::LogNormal { .. } => LONGEST,
        }
    }

    pub(super) fn of(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Constant(random.millis(0, 30)),
            1 => Self::Uniform(random.millis(0, 5), random.millis(10, 60)),
            2 => Self::LogNormal { median: random.millis(3, 15), sigma: 0.3 + 0.4 * random.unit() },
            _ => Self::Bimodal {
                fast: random.millis(1, 8),
                slow: random.millis(60, 120),
                share: 0.01 + 0.09 * random.unit(),
            },
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(time) => write!(f, "{time:?}"),
            Self::Uniform(from, to) => write!(f, "{from:?} to {to:?}"),
            Self::LogNormal { median, sigma } => write!(f, "lognormal around {median:?}, sigma {sigma:.2}"),
            Self::Bimodal { fast, slow, share } => {
                write!(f, "{fast:?}, {:.1} % of them {slow:?}", share * 100.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_draw_is_longer_than_the_longest() {
        for seed in 0..200 {
            let mut random = Random::of(seed, 0);
            let latency = Latency::of(&mut random);
            for _ in 0..200 {
                let drawn = latency.draw(&mut random);
                assert!(drawn <= latency.longest(), "{latency} gave {drawn:?}");
            }
        }
    }
}
