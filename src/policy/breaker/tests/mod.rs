mod opening;
mod oracle;
mod probes;
mod threads;
mod told;

use super::*;
use crate::{policy::Mode, units::Ratio};

const SECOND: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Tick {
    Tick::ZERO.after(Duration::from_millis(ms))
}

fn breaker(change: impl FnOnce(&mut BreakerSettings)) -> Breaker {
    let mut settings = BreakerSettings { reset_jitter: Ratio::NONE, ..BreakerSettings::default() };
    change(&mut settings);
    Breaker::new(settings, 7, Tick::ZERO)
}

fn call(breaker: &Breaker, verdict: Verdict, now: Tick) -> Option<Transition> {
    let (permit, change) = breaker.admit(now).expect("it is not open");
    breaker.record(permit, verdict, Duration::ZERO, now).or(change)
}

fn open(breaker: &Breaker, now: Tick) {
    while breaker.snapshot(now).state == State::Closed {
        call(breaker, Verdict::Failure, now);
    }
}

#[test]
fn the_defaults_are_the_references() {
    let settings = BreakerSettings::default();
    assert_eq!(settings.window, WindowSize::Time(10 * SECOND));
    assert_eq!((settings.buckets, settings.minimum_calls, settings.consecutive_failures), (10, 10, 5));
    assert_eq!(settings.error_threshold.get(), 0.5);
    assert_eq!((settings.reset_timeout, settings.reset_max), (30 * SECOND, 60 * SECOND));
    assert_eq!((settings.reset_growth, settings.reset_jitter.get()), (2.0, 0.1));
    assert_eq!(
        (settings.half_open_calls, settings.half_open_timeout, settings.ramp),
        (1, 10 * SECOND, 10 * SECOND)
    );
    assert_eq!((settings.mode, settings.scope), (Mode::Enforce, BreakerScope::Service));
    assert_eq!((settings.slow_call, settings.warm_up), (None, Duration::ZERO));
    assert_eq!(SlowCall::default(), SlowCall { duration: SECOND, threshold: Ratio::percent(50) });
}
