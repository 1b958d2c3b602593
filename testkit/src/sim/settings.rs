use std::{fmt, time::Duration};

use super::{extras::Extras, random::Random};

/// What a simulated service is told by the settings: those of FAULTS' reference, or near to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Changing it replaces the pool.
    pub address: u64,
    /// Calls in flight, and calls that wait.
    pub bulkhead: Option<(u64, u64)>,
    /// Whether waiting is kept short under overload.
    pub codel: bool,
    /// Whether how many may be in flight is measured, in place of the number given.
    pub adaptive: bool,
    /// The breaker.
    pub breaker: Option<Breaker>,
    /// Attempts in all.
    pub attempts: u64,
    /// Retries over calls in percent, and retries a second that are always allowed.
    pub budget: Option<(u64, u64)>,
    /// How long replies are fresh, may be stale while a newer one is loaded, and in place of an error.
    pub cache: (Duration, Duration, Duration),
    /// Time from one health check to the next; zero for none.
    pub health: Duration,
    /// Several endpoints, hedges and a rate.
    pub extras: Extras,
    /// Further lines, as they are.
    pub more: &'static str,
}

/// When a simulated service's breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// The last 100 calls; else the last 5 s.
    pub counts_calls: bool,
    /// The share of failures that opens it, in percent.
    pub threshold: u64,
    /// Failures in a row that do; 0 for never.
    pub consecutive: u64,
    /// How long it stays open the first time.
    pub reset: Duration,
    /// And at most.
    pub reset_max: Duration,
    /// Probes.
    pub probes: u64,
    /// How long it lets a growing share pass after that.
    pub ramp: Duration,
}

/// How long a call has, unless its caller says less.
pub(super) const DEADLINE: Duration = Duration::from_millis(500);
/// How long opening a pool may take.
pub(super) const CONNECT: Duration = Duration::from_millis(300);
/// How many calls a measured limit may let through.
pub(super) const MEASURED_MOST: u64 = 200;
/// The longest pause between two tries to open one.
pub(super) const RESTART: Duration = Duration::from_secs(1);
/// How long probes may hold the gate: longer than any takes, so that a slot that nobody gives back shows.
const PROBES: Duration = Duration::from_secs(20);

impl Settings {
    /// No policy but the deadline and `attempts`: what a client is without protection.
    pub fn bare(attempts: u64) -> Self {
        Self {
            address: 0,
            bulkhead: None,
            codel: false,
            adaptive: false,
            breaker: None,
            attempts,
            budget: None,
            cache: (Duration::from_secs(5), Duration::ZERO, Duration::ZERO),
            health: Duration::ZERO,
            extras: Extras::default(),
            more: "",
        }
    }

    /// Those that every scenario of the project goes by unless it says otherwise.
    pub fn reference() -> Self {
        Self {
            bulkhead: Some((64, 128)),
            codel: true,
            breaker: Some(Breaker {
                counts_calls: true,
                threshold: 50,
                consecutive: 0,
                reset: Duration::from_secs(2),
                reset_max: Duration::from_secs(2),
                probes: 5,
                ramp: Duration::from_secs(1),
            }),
            attempts: 3,
            budget: Some((20, 10)),
            cache: (Duration::from_secs(5), Duration::ZERO, Duration::from_secs(60)),
            ..Self::bare(3)
        }
    }

    pub(super) fn of(random: &mut Random) -> Self {
        let reset = random.millis(500, 2000);
        Self {
            address: 0,
            bulkhead: Some((random.between(16, 64), random.between(16, 128))),
            codel: random.happens(0.5),
            adaptive: random.happens(0.3),
            breaker: Some(Breaker {
                counts_calls: random.happens(0.5),
                threshold: random.between(30, 60),
                consecutive: random.pick(&[0, 5]),
                reset,
                reset_max: reset + random.millis(0, 1500),
                probes: random.pick(&[1, 2, 5]),
                ramp: random.pick(&[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)]),
            }),
            attempts: random.between(1, 3),
            budget: Some((random.between(10, 20), random.between(2, 10))),
            cache: (
                random.millis(200, 5000),
                random.pick(&[Duration::ZERO, Duration::from_secs(1)]),
                random.pick(&[Duration::ZERO, Duration::from_secs(60)]),
            ),
            health: random.pick(&[Duration::ZERO, Duration::from_millis(400)]),
            extras: Extras::default(),
            more: "",
        }
    }

    /// How long after the end of what it suffered the service has for a first success: the longest pause of breaker or
    /// restarts, one attempt of each that began just before, and the second that FAULTS' I7 adds.
    pub(super) fn recovery(&self) -> Duration {
        let breaker =
            self.breaker.map_or(Duration::ZERO, |breaker| breaker.reset_max.mul_f64(1.05) + DEADLINE);
        breaker.max(RESTART + CONNECT) + DEADLINE + Duration::from_secs(1)
    }

    /// The service's tables.
    pub(super) fn toml(&self, name: &str) -> String {
        let millis = |time: Duration| format!("\"{}ms\"", time.as_millis());
        let (ttl, revalidate, stale) = self.cache;
        let breaker = self.breaker.map_or_else(
            || "false".to_owned(),
            |breaker| {
                let window = if breaker.counts_calls { "{ calls = 100 }" } else { "\"5s\"" };
                format!(
                    "{{ window = {window}, minimum_calls = 20, error_threshold = \"{}%\", consecutive_failures = {}, \
                     reset_timeout = {}, reset_max = {}, half_open_calls = {}, half_open_timeout = {}, ramp = {} }}",
                    breaker.threshold,
                    breaker.consecutive,
                    millis(breaker.reset),
                    millis(breaker.reset_max),
                    breaker.probes,
                    millis(PROBES),
                    millis(breaker.ramp),
                )
            },
        );
        let bulkhead = self.bulkhead.map_or_else(
            || "false".to_owned(),
            |(in_flight, queue)| {
                format!(
                    "{{ max_in_flight = {in_flight}, max_queue = {queue}, queue_timeout = \"250ms\", codel = {}, \
                     adaptive = {}, per_tenant = {} }}",
                    if self.codel { "{}" } else { "false" },
                    if self.adaptive { "{}" } else { "false" },
                    self.extras.per_tenant,
                )
            },
        );
        let budget = self.budget.map_or_else(
            || "false".to_owned(),
            |(ratio, floor)| format!("{{ ratio = \"{ratio}%\", minimum_per_second = {floor} }}"),
        );
        format!(
            "[services.{name}]\nkind = \"simulated\"\n{}timeout = {}\nconnect_timeout = {}\n\
             breaker = {breaker}\nbulkhead = {bulkhead}\nretry_budget = {budget}\n\
             retry = {{ attempts = {}, backoff = \"20ms\", backoff_max = \"200ms\" }}\n\
             cache = {{ ttl = {}, stale_while_revalidate = {}, stale_if_error = {} }}\n\
             health = {{ interval = {}, timeout = \"200ms\", failures = 2 }}\n\
             restart = {{ backoff = \"50ms\", backoff_max = {}, intensity = 5, window = \"10s\" }}\n{}\n",
            self.extras.toml(self.address),
            millis(DEADLINE),
            millis(CONNECT),
            self.attempts,
            millis(ttl),
            millis(revalidate),
            millis(stale),
            millis(self.health),
            millis(RESTART),
            self.more,
        )
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.toml("x").lines().skip(2).filter(|line| !line.is_empty()) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}
