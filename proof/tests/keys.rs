//! Ten million keys, each with a breaker, in the room of a thousand.

use std::{fs, time::Duration};

use seawall_proof::{
    policy::{
        blame::Verdict,
        breaker::{Breaker, BreakerSettings},
        keys::{Hold, Keep, Keys},
    },
    units::Tick,
};

const KEYS: u64 = 10_000_000;

struct Of(Breaker);

impl Keep for Of {
    fn hold(&self, now: Tick) -> Hold {
        self.0.refuses_until().filter(|until| *until > now).map_or(Hold::Free, Hold::Until)
    }
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has one");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn ten_million_keys_need_the_memory_of_a_thousand() {
    let keys: Keys<Of> = Keys::new(1024, Duration::from_secs(600));
    let settings = BreakerSettings { consecutive_failures: 1, ..BreakerSettings::default() };
    let attempt = |key: u64, now: Tick, verdict| {
        let of = keys.get(key, now, || Of(Breaker::new(settings.clone(), key, now)));
        if let Ok((permit, _)) = of.0.admit(now) {
            of.0.record(permit, verdict, Duration::ZERO, now);
        }
    };
    let mut before = 0;
    for number in 0..KEYS {
        let now = Tick::ZERO.after(Duration::from_micros(100 * number));
        let verdict = if number % 100 == 0 { Verdict::Failure } else { Verdict::Success };
        attempt(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), now, verdict);
        if number == 10_000 {
            before = resident();
        }
    }
    let snapshot = keys.snapshot();
    assert_eq!(snapshot.keys, 1024);
    assert_eq!(snapshot.forgotten, KEYS - 1024);
    let grown = resident().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes more than with ten thousand keys");
}
