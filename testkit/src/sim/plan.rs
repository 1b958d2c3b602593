use std::{fmt, time::Duration};

use super::{extras::Extras, latency::Latency, random::Random, settings::Settings};

/// All that will happen in a run, derived from its seed alone. Its text is the whole of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it was derived from, and what the run draws its chances from.
    pub seed: u64,
    /// Every service, the healthy neighbour last.
    pub services: Vec<ServicePlan>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// When settings are reloaded, and how they have changed by then.
    pub reloads: Vec<Reload>,
    /// What code sets at run time, one after the other.
    pub overrides: Vec<Override>,
    /// Whether the runtime drains while calls are under way, and not when all have ended.
    pub drains_busy: bool,
    /// What the memory tier may hold, in KiB.
    pub cache_kib: u64,
    /// All faults but a permanent one have ended by then.
    pub faults_end: Duration,
    /// When the load ends.
    pub load_ends: Duration,
}

/// One service: its downstream, its settings, and its callers.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePlan {
    /// Its name.
    pub name: &'static str,
    /// Whether nothing befalls it: then it must not notice what befalls the others.
    pub neighbour: bool,
    /// How long its downstream works on a request.
    pub latency: Latency,
    /// On how many requests it works at once, others waiting in its own queue, in order; any number where `None`.
    pub workers: Option<u64>,
    /// What the runtime is told of it.
    pub settings: Settings,
    /// Its callers.
    pub callers: Callers,
}

/// Those who call a service: by the clock and not one after the other, for a caller who waited for answers would spare
/// a service that gives none. Shares are from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Callers {
    /// Calls a second.
    pub per_second: f64,
    /// Writes among them.
    pub writes: f64,
    /// Reads that may be kept.
    pub lookups: f64,
    /// Of so many things.
    pub keys: u64,
    /// Those whose caller goes away before the end.
    pub cancels: f64,
    /// Those whose own code panics.
    pub traps: f64,
    /// Those with a fallback.
    pub fallbacks: f64,
    /// Those with a deadline shorter than the service's, or one that has passed.
    pub hurried: f64,
    /// How many are critical, normal, low and background, to each other.
    pub priorities: [u64; 4],
    /// Those whose answer nobody waits for.
    pub tells: f64,
    /// How often callers try again by themselves what failed.
    pub again: u64,
    /// Of so many tenants; of none where it is 0.
    pub tenants: u64,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// In which service, by its place.
    pub service: usize,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What goes wrong. Shares are from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// Answers say that the downstream failed.
    Errors(f64),
    /// Answers ask for less.
    Overloaded(f64),
    /// No connection is made.
    Refused,
    /// No answer comes.
    Hangs(f64),
    /// Every answer takes this many times as long, and 20 ms more.
    Slow(u64),
    /// The attempt's code panics.
    Panics(f64),
    /// The pool is reopened, and that goes like this.
    Pool(Opening),
    /// Health checks fail.
    Sick,
    /// The shard's actor panics, again and again after this many milliseconds.
    Kills(u64),
    /// All fail and all succeed in turn, each for this many milliseconds.
    Flaps(u64),
    /// Only one request is worked on at once.
    Narrow,
    /// This many times as many calls.
    Flood(u64),
    /// The first of several endpoints fails.
    Lame,
}

/// How opening a pool goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It fails.
    Fails,
    /// It never ends.
    Hangs,
    /// Its code panics.
    Panics,
}

/// A reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Reload {
    /// When.
    pub at: Duration,
    /// What has changed by then.
    pub change: Change,
}

/// A setting that code sets for a while: how many calls of a service may be in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// When.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// Of which service, by its place.
    pub service: usize,
    /// So many.
    pub in_flight: u64,
}

/// How settings change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Not at all.
    Nothing,
    /// A service's bulkhead.
    Limits(usize, (u64, u64)),
    /// A service's breaker: its threshold in percent.
    Threshold(usize, u64),
    /// A service's address, which replaces its pool.
    Address(usize, u64),
    /// They are wrong: this stands behind them.
    Mistake(&'static str),
}

/// Mistakes that somebody makes in a file, as they stand behind what is right.
const MISTAKES: [&str; 5] = [
    "[services.users",
    "[services.orders.brekaer]\nmode = \"off\"\n",
    "[services.new]\nkind = \"http3\"\n",
    "[defaults]\nrate = { limit = \"many\" }\n",
    "[defaults]\nmax_timeout = \"1ms\"\n",
];

/// How long after the faults' end those that are well again have to be so: FAULTS' S2.
pub(super) const SETTLING: Duration = Duration::from_secs(10);

impl Plan {
    /// What happens in the run of this seed: some 36 s of virtual time.
    pub fn of(seed: u64) -> Self {
        Self::lasting(seed, Duration::from_secs(20))
    }

    /// The same with faults for so long.
    pub fn lasting(seed: u64, faults_end: Duration) -> Self {
        let mut random = Random::of(seed, 1);
        let services = vec![
            ServicePlan::victim("users", &mut random),
            ServicePlan::victim("orders", &mut random),
            ServicePlan::neighbour(&mut random),
        ];
        let load_ends = faults_end + SETTLING + Duration::from_secs(5);
        let mut faults = Vec::new();
        let permanent = random.happens(0.7).then(|| random.below(2) as usize);
        for service in 0..2 {
            for _ in 0..random.between(1, 2) {
                let mut at = random.millis(1500, 6000);
                while at < faults_end {
                    let until = (at + random.millis(100, 5000)).min(faults_end);
                    faults.push(Fault { service, from: at, until, kind: FaultKind::of(&mut random) });
                    at = until + random.millis(0, 8000);
                }
            }
        }
        if let Some(service) = permanent {
            let end = faults_end.as_millis() as u64;
            let from = random.millis(end / 4, end);
            let kind = FaultKind::permanent(&mut random);
            faults.push(Fault { service, from, until: Duration::MAX, kind });
        }
        let mut reloads = Vec::new();
        let mut at = random.millis(1000, 20_000);
        while at < faults_end {
            reloads.push(Reload { at, change: Change::of(&mut random) });
            at += random.millis(500, 15_000);
        }
        let cache_kib = random.pick(&[4, 16, 1024]);
        let drains_busy = false;
        let overrides = Vec::new();
        let plan = Self {
            seed,
            services,
            faults,
            reloads,
            overrides,
            drains_busy,
            cache_kib,
            faults_end,
            load_ends,
        };
        plan.with_extras(&mut Random::of(seed, 2))
    }

    /// The same with what is off by default, for some. What was drawn before stays as it is.
    fn with_extras(mut self, random: &mut Random) -> Self {
        for place in 0..2 {
            let ServicePlan { settings, callers, .. } = &mut self.services[place];
            settings.extras = Extras::of(random, callers.per_second);
            callers.tells = random.pick(&[0.0, 0.1]);
            callers.again = random.pick(&[0, 0, 3]);
            callers.tenants = random.pick(&[0, 3]);
            if settings.extras.endpoints > 1 {
                let from = random.millis(1000, 10_000);
                let until = (from + random.millis(1000, 8000)).min(self.faults_end);
                if from < until {
                    self.faults.push(Fault { service: place, from, until, kind: FaultKind::Lame });
                }
            }
        }
        let mut at = random.millis(1000, 20_000);
        while at < self.faults_end {
            let (lasts, service) = (random.millis(200, 3000), random.below(2) as usize);
            self.overrides.push(Override { at, lasts, service, in_flight: random.between(16, 64) });
            // One ends before the next begins.
            at += lasts + random.millis(500, 8000);
        }
        self.drains_busy = random.happens(0.5);
        self
    }

    /// Whether something goes wrong in a service for good.
    pub(super) fn is_lost(&self, service: usize) -> bool {
        self.faults.iter().any(|fault| fault.service == service && fault.until == Duration::MAX)
    }

    /// All settings as they are in the end if these changes are applied in order.
    pub(super) fn toml(&self, changes: &[Change]) -> String {
        let mut services = self.services.clone();
        let mut mistake = "";
        for change in changes {
            match change {
                Change::Nothing => {}
                Change::Limits(service, limits) => services[*service].settings.bulkhead = Some(*limits),
                Change::Threshold(service, threshold) => {
                    if let Some(breaker) = &mut services[*service].settings.breaker {
                        breaker.threshold = *threshold;
                    }
                }
                Change::Address(service, address) => services[*service].settings.address = *address,
                Change::Mistake(text) => mistake = text,
            }
        }
        let mut text = format!("[runtime]\ncache_max_bytes = \"{}KiB\"\n", self.cache_kib);
        for service in &services {
            text.push_str(&service.settings.toml(service.name));
        }
        text + mistake
    }
}

impl ServicePlan {
    pub(super) fn victim(name: &'static str, random: &mut Random) -> Self {
        let latency = Latency::of(random);
        let per_second = random.between(20, 60) as f64;
        // Never more than half busy when all is well, so that what is seen is the fault's doing.
        let workers = random.happens(0.5).then(|| 4 + (2.0 * per_second * 0.06) as u64 + random.below(8));
        Self {
            name,
            neighbour: false,
            latency,
            workers,
            settings: Settings::of(random),
            callers: Callers {
                per_second,
                writes: 0.3 * random.unit(),
                lookups: 0.5 * random.unit(),
                keys: random.pick(&[1, 8, 200]),
                cancels: random.pick(&[0.0, 0.05, 0.3]),
                traps: random.pick(&[0.0, 0.002, 0.02]),
                fallbacks: 0.3 * random.unit(),
                hurried: random.pick(&[0.0, 0.1]),
                priorities: [1; 4],
                ..Callers::default()
            },
        }
    }

    pub(super) fn neighbour(random: &mut Random) -> Self {
        let callers = Callers {
            per_second: 30.0,
            writes: 0.2,
            lookups: 0.2,
            keys: 50,
            cancels: 0.0,
            traps: 0.0,
            fallbacks: 0.0,
            hurried: 0.0,
            priorities: [1; 4],
            ..Callers::default()
        };
        let latency = Latency::Uniform(random.millis(0, 5), random.millis(10, 40));
        let settings = Settings::of(random);
        Self { name: "neighbour", neighbour: true, latency, workers: None, settings, callers }
    }
}

impl FaultKind {
    fn of(random: &mut Random) -> Self {
        let share = random.pick(&[0.1, 0.5, 1.0]);
        match random.below(15) {
            0 | 1 => Self::Errors(share),
            2 => Self::Overloaded(share),
            3 => Self::Refused,
            4 | 5 => Self::Hangs(share),
            6 => Self::Slow(random.between(3, 30)),
            7 => Self::Panics(share),
            8 | 9 => Self::Pool(random.pick(&[Opening::Fails, Opening::Hangs, Opening::Panics])),
            10 => Self::Sick,
            11 => Self::Kills(random.between(20, 1500)),
            12 => Self::Flaps(random.between(50, 500)),
            13 => Self::Narrow,
            _ => Self::Flood(random.between(4, 12)),
        }
    }

    fn permanent(random: &mut Random) -> Self {
        match random.below(7) {
            0 => Self::Errors(1.0),
            1 => Self::Refused,
            2 => Self::Hangs(1.0),
            3 => Self::Panics(1.0),
            4 => Self::Pool(Opening::Fails),
            5 => Self::Pool(Opening::Hangs),
            _ => Self::Kills(100),
        }
    }
}

impl Change {
    fn of(random: &mut Random) -> Self {
        let victim = random.below(2) as usize;
        match random.below(8) {
            0 => Self::Nothing,
            1 | 2 => Self::Limits(victim, (random.between(16, 64), random.between(16, 128))),
            3 => Self::Threshold(victim, random.between(30, 60)),
            4 | 5 => Self::Address(victim, random.next() % 1000),
            _ => Self::Mistake(random.pick(&MISTAKES)),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: faults until {:?}, load until {:?}, {} KiB of cache",
            self.seed, self.faults_end, self.load_ends, self.cache_kib
        )?;
        for (place, service) in self.services.iter().enumerate() {
            let ServicePlan { name, latency, workers, settings, callers, .. } = service;
            writeln!(f, "  {name}: {latency}, workers {workers:?}\n    {callers:?}")?;
            write!(f, "{settings}")?;
            for fault in self.faults.iter().filter(|fault| fault.service == place) {
                match fault.until {
                    Duration::MAX => writeln!(f, "    from {:?} on {:?}", fault.from, fault.kind)?,
                    until => writeln!(f, "    {:?} to {until:?} {:?}", fault.from, fault.kind)?,
                }
            }
        }
        for Override { at, lasts, service, in_flight } in &self.overrides {
            let name = self.services[*service].name;
            writeln!(f, "  override of {name} at {at:?} for {lasts:?}: {in_flight} in flight")?;
        }
        if self.drains_busy {
            writeln!(f, "  drained at {:?}, with calls under way", self.load_ends)?;
        }
        for reload in &self.reloads {
            writeln!(f, "  reload at {:?}: {:?}", reload.at, reload.change)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_its_plan_and_another_gives_another() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_eq!(Plan::of(7).to_string(), Plan::of(7).to_string());
        assert_ne!(Plan::of(7).services, Plan::of(8).services);
    }

    #[test]
    fn the_neighbour_is_left_alone_and_every_kind_of_fault_comes_up() {
        let plans: Vec<_> = (0..100).map(Plan::of).collect();
        let faults: Vec<_> = plans.iter().flat_map(|plan| &plan.faults).collect();
        assert!(faults.iter().all(|fault| !plans[0].services[fault.service].neighbour));
        let kinds: std::collections::HashSet<_> =
            faults.iter().map(|fault| std::mem::discriminant(&fault.kind)).collect();
        assert_eq!(kinds.len(), 13);
    }

    #[test]
    fn a_change_shows_in_the_settings() {
        let plan = Plan::of(1);
        let text = plan.toml(&[Change::Limits(0, (17, 19)), Change::Mistake("[oops")]);
        assert!(text.contains("max_in_flight = 17, max_queue = 19") && text.ends_with("[oops"));
    }
}
