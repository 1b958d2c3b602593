//! Plans that are thought out and not left to chance: for what has to be shown, and not only survived.

use std::time::Duration;

use super::{
    latency::Latency,
    plan::{Callers, Fault, FaultKind, Plan, ServicePlan},
    random::Random,
    settings::Settings,
};

/// Calls a second that the downstream of [`Plan::overload`] and [`Plan::metastable`] can answer.
pub const CAPACITY: u64 = 200;

/// Workers of that downstream, and how long each works on a request.
const WORKERS: u64 = 10;
const WORK: Duration = Duration::from_millis(50);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Plan {
    /// Ten times as many calls as can be answered, from 10 s to 30 s, with half of what can before and after.
    pub fn overload(settings: Settings) -> Self {
        flooded(settings, callers(CAPACITY as f64 / 2.0), 20, seconds(10), seconds(30))
    }

    /// The same with five times as many, of which one in ten is critical: of ten times as many these alone would be all
    /// that can be answered, and whoever is asked for all he can do cannot keep a queue short.
    pub fn priorities(settings: Settings) -> Self {
        let callers = Callers { priorities: [1, 9, 0, 0], ..callers(CAPACITY as f64 / 2.0) };
        flooded(settings, callers, 10, seconds(10), seconds(30))
    }

    /// What keeps a service down after the reason has gone: 30 s of three times as many calls as can be answered, with a
    /// cold cache, and then eight tenths of what can, which callers who try again make more than it can for good.
    pub fn metastable(settings: Settings) -> Self {
        let callers = Callers { lookups: 0.3, keys: 2_000, ..callers(CAPACITY as f64 * 0.8) };
        flooded(settings, callers, 4, seconds(1), seconds(31))
    }

    /// Four services go down in one order and come back in another, one a second.
    pub fn swizzle(down: [usize; 4], up: [usize; 4]) -> Self {
        let number = |order: [usize; 4]| order.iter().fold(0, |number, place| number * 4 + *place as u64);
        let seed = number(down) << 8 | number(up);
        let mut random = Random::of(seed, 1);
        let mut services: Vec<_> = ["first", "second", "third", "fourth"]
            .map(|name| ServicePlan {
                callers: Callers { keys: 50, lookups: 0.2, writes: 0.2, ..callers(20.0) },
                ..ServicePlan::victim(name, &mut random)
            })
            .into();
        services.push(ServicePlan::neighbour(&mut random));
        let faults = (0..4).map(|service| {
            let turn =
                |order: [usize; 4]| order.iter().position(|place| *place == service).unwrap_or(0) as u64;
            let (from, until) = (seconds(2 + turn(down)), seconds(8 + turn(up)));
            Fault { service, from, until, kind: FaultKind::Refused }
        });
        Self {
            seed,
            services,
            faults: faults.collect(),
            reloads: Vec::new(),
            overrides: Vec::new(),
            drains_busy: false,
            cache_kib: 1024,
            faults_end: seconds(11),
            load_ends: seconds(25),
        }
    }
}

/// Callers who only read, and wait for their answers.
fn callers(per_second: f64) -> Callers {
    Callers {
        per_second,
        writes: 0.0,
        lookups: 0.0,
        keys: 1,
        cancels: 0.0,
        traps: 0.0,
        fallbacks: 0.0,
        hurried: 0.0,
        priorities: [0, 1, 0, 0],
        ..Callers::default()
    }
}

fn flooded(settings: Settings, callers: Callers, times: u64, from: Duration, until: Duration) -> Plan {
    let service = ServicePlan {
        name: "users",
        neighbour: false,
        latency: Latency::Constant(WORK),
        workers: Some(WORKERS),
        settings,
        callers,
    };
    Plan {
        seed: 1,
        services: vec![service],
        faults: vec![Fault { service: 0, from, until, kind: FaultKind::Flood(times) }],
        reloads: Vec::new(),
        overrides: Vec::new(),
        drains_busy: false,
        cache_kib: 1024,
        faults_end: until,
        load_ends: until + seconds(20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swizzle_takes_each_down_and_brings_it_back_in_its_turn() {
        let plan = Plan::swizzle([3, 2, 1, 0], [0, 1, 2, 3]);
        let times: Vec<_> =
            plan.faults.iter().map(|fault| (fault.from.as_secs(), fault.until.as_secs())).collect();
        assert_eq!(times, [(5, 8), (4, 9), (3, 10), (2, 11)]);
    }

    #[test]
    fn the_workers_are_as_many_as_the_capacity_takes() {
        assert_eq!(WORKERS * 1_000 / WORK.as_millis() as u64, CAPACITY);
    }
}
