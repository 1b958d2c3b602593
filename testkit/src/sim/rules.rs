//! The rules that hold in every run, whatever goes wrong in it.
//!
//! They are those of a harness that looks from outside: callers' books, the downstream's, and the figures that the
//! runtime shows to everybody. What a rule is called is what it is called wherever the project speaks of it (I1 to I12,
//! S2), so that a failing run names what is broken.

use std::{collections::BTreeMap, fmt, time::Duration};

use parking_lot::Mutex;
use seawall::runtime::{ServiceSnapshot, Snapshot};

use super::{
    books::{Books, Tally},
    log::Ending,
    plan::{Fault, Plan, SETTLING},
    world::{Kind, Seen, SeenOfKind},
};

/// A rule that did not hold, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What was seen instead.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// All that did not hold in a run; of what keeps on failing, the first few.
#[derive(Default)]
pub(super) struct Violations(Mutex<Vec<Violation>>);

const KEPT: usize = 20;

impl Violations {
    pub(super) fn add(&self, rule: &'static str, text: fmt::Arguments<'_>) {
        let mut violations = self.0.lock();
        if violations.len() < KEPT {
            violations.push(Violation { rule, text: text.to_string() });
        }
    }

    fn hold(&self, rule: &'static str, holds: bool, text: fmt::Arguments<'_>) {
        if !holds {
            self.add(rule, text);
        }
    }

    pub(super) fn take(&self) -> Vec<Violation> {
        std::mem::take(&mut self.0.lock())
    }
}

/// I6, at any moment: what is bounded is within its bounds. `limits` are the widest that were in force lately.
pub(super) fn bounded(
    service: &ServiceSnapshot,
    limits: Option<(u64, u64)>,
    at: Duration,
    violations: &Violations,
) {
    let name = &service.name;
    if let (Some(bulkhead), Some((in_flight, queue))) = (&service.bulkhead, limits) {
        violations.hold(
            "I6",
            u64::from(bulkhead.in_flight) <= in_flight && u64::from(bulkhead.waiting) <= queue,
            format_args!(
                "{name} at {at:?}: {} in flight of {in_flight}, {} waiting of {queue}",
                bulkhead.in_flight, bulkhead.waiting
            ),
        );
    }
    if let Some(left) = service.retry_budget {
        violations.hold(
            "I6",
            (0.0..=1.0).contains(&left),
            format_args!("{name} at {at:?}: {left} of its retry budget is left"),
        );
    }
}

/// What is judged when a run is over and nothing is under way any more.
pub(super) struct Verdicts<'a> {
    pub(super) plan: &'a Plan,
    pub(super) books: &'a Books,
    pub(super) violations: &'a Violations,
}

impl Verdicts<'_> {
    /// I6 at the end: nothing is held, nothing waits, nothing is counted as under way.
    pub(super) fn nothing_is_left(&self, snapshot: &Snapshot) {
        let hold = |holds, text: fmt::Arguments<'_>| self.violations.hold("I6", holds, text);
        hold(snapshot.active == 0, format_args!("{} calls are still counted as under way", snapshot.active));
        let bytes = (snapshot.cache.bytes, snapshot.cache.max_bytes);
        hold(bytes.0 <= bytes.1, format_args!("the cache holds {} of {} bytes", bytes.0, bytes.1));
        for service in &snapshot.services {
            let name = &service.name;
            let own = service.calls.iter().filter_map(|call| call.bulkhead.as_ref());
            for gate in service.bulkhead.iter().chain(own) {
                hold(
                    gate.in_flight == 0 && gate.waiting == 0,
                    format_args!(
                        "{name}: {} in flight and {} waiting are left",
                        gate.in_flight, gate.waiting
                    ),
                );
            }
            hold(service.loads == 0, format_args!("{name}: {} loads are left", service.loads));
            hold(service.unanswered == 0, format_args!("{name}: {} are unanswered", service.unanswered));
        }
    }

    /// I8 and I1: each call's ends as the runtime counts them are those that its callers saw, and its attempts those that
    /// the downstream did. What a caller gave up in the moment of its end, either may have counted.
    pub(super) fn figures_are_true(
        &self,
        place: usize,
        snapshot: &ServiceSnapshot,
        seen: &Seen,
        metrics: &str,
    ) {
        for kind in Kind::SEEN.into_iter().chain([Kind::Tell]) {
            let own = self.books.tally(place, kind);
            let call = format!("{} {}", snapshot.name, kind.name());
            let Some(shown) = snapshot.call(kind.name()) else {
                self.violations.hold(
                    "I8",
                    own == Tally::default(),
                    format_args!("{call} was called and is not shown"),
                );
                continue;
            };
            let told = Tally::new([
                shown.fresh,
                shown.cached,
                shown.stale,
                shown.fallback,
                shown.error,
                shown.timeout,
                shown.rejected,
                shown.cancelled,
            ]);
            if kind == Kind::Tell {
                let sent = self.books.told(place);
                self.violations.hold(
                    "I1",
                    told.all() == sent,
                    format_args!("{call}: {sent} were sent, and ended as {told:?}"),
                );
            } else {
                self.violations.hold(
                    "I8",
                    own == told,
                    format_args!("{call}: callers saw {own:?}, the runtime counted {told:?}"),
                );
            }
            let attempts = Attempts::read(metrics, &snapshot.name, kind.name());
            let SeenOfKind { begun, replied, failed, overloaded, panicked, dropped } =
                seen.by_kind[kind as usize];
            let hold = |holds, text: &str| {
                self.violations.hold(
                    "I8",
                    holds,
                    format_args!("{call}: {text}; {:?}, {attempts:?}", seen.by_kind[kind as usize]),
                );
            };
            hold(begun == replied + failed + overloaded + panicked + dropped, "an attempt has no end");
            hold(attempts.all() == shown.attempts, "snapshot and metrics differ in attempts");
            hold(attempts.success == replied, "successes are not the downstream's");
            hold(attempts.overload == overloaded, "refusals for overload are not the downstream's");
            hold(begun <= attempts.all(), "more attempts were begun than are counted");
            let bad = attempts.failure + attempts.ignored;
            // What was dropped ran out of time, or was given up; so was what never began.
            let never_begun = attempts.all().saturating_sub(begun);
            hold(
                (failed + panicked..=failed + panicked + dropped + never_begun).contains(&bad),
                "failures are not the downstream's",
            );
        }
    }

    /// I4: retries are within their budget at any time: its share of the calls of ten seconds, and its floor.
    ///
    /// A retry was paid for less than a second before it begins. So the last one of nine seconds found enough for all of
    /// them in the ten seconds that ended when it was paid for, which was in its own second or in the one before.
    pub(super) fn nothing_is_amplified(&self, place: usize, seen: &Seen) {
        let service = &self.plan.services[place];
        let Some((ratio, floor)) = service.settings.budget else { return };
        let calls = self.books.started(place);
        let sum = |counts: &[u64], from: usize, last: usize| -> u64 {
            counts.iter().take(last + 1).skip(from).sum()
        };
        for last in (0..seen.retries.len()).filter(|second| seen.retries[*second] > 0) {
            let retries = sum(&seen.retries, last.saturating_sub(8), last);
            let calls = sum(&calls, last.saturating_sub(10), last);
            let allowed = calls * ratio / 100 + floor * 10;
            self.violations.hold(
                "I4",
                retries <= allowed,
                format_args!(
                    "{}: {retries} retries within 9 s, up to {last} s, where {allowed} are allowed",
                    service.name
                ),
            );
        }
    }

    /// I5: the neighbour has noticed nothing.
    pub(super) fn neighbour_is_well(&self, place: usize) {
        let service = &self.plan.services[place];
        for kind in Kind::SEEN {
            let tally = self.books.tally(place, kind);
            self.violations.hold(
                "I5",
                tally.unanswered() == 0,
                format_args!("{} {}: {tally:?}", service.name, kind.name()),
            );
        }
        let (longest, allowed) = (self.books.longest(place), service.latency.longest() + NOISE);
        self.violations.hold(
            "I5",
            longest <= allowed,
            format_args!("{}: a call took {longest:?}, where {allowed:?} is the most", service.name),
        );
    }

    /// I7: after each time of trouble the first success comes soon, and soon after that hardly anything fails.
    pub(super) fn recovers(&self, place: usize) {
        let service = &self.plan.services[place];
        let limit = service.settings.recovery();
        let mut faults: Vec<&Fault> =
            self.plan.faults.iter().filter(|fault| fault.service == place).collect();
        faults.sort_by_key(|fault| fault.from);
        let mut ended = Duration::ZERO;
        for (number, fault) in faults.iter().enumerate() {
            ended = ended.max(fault.until);
            let quiet_until = faults.get(number + 1).map_or(self.plan.load_ends, |next| next.from);
            if ended.saturating_add(limit) > quiet_until {
                continue;
            }
            let between = |from, until| self.books.ends(place, from, until);
            self.violations.hold(
                "I7",
                between(ended, ended + limit).any(Ending::is_answered),
                format_args!(
                    "{}: no success within {limit:?} of {ended:?}, when {:?} ended",
                    service.name, fault.kind
                ),
            );
            let well = ended + limit + Duration::from_secs(5);
            let late: Vec<_> = between(well, quiet_until).collect();
            let failed = late.iter().filter(|ending| !ending.is_answered()).count();
            self.violations.hold(
                "I7",
                failed * 100 <= late.len(),
                format_args!("{}: {failed} of {} fail from {well:?} on", service.name, late.len()),
            );
        }
    }

    /// S2: whatever is not lost for good is well 10 s after all faults have ended, in every single call.
    pub(super) fn the_rest_is_well(&self, place: usize) {
        let service = &self.plan.services[place];
        if self.plan.is_lost(place) {
            return;
        }
        let from = self.plan.faults_end + SETTLING;
        let mut ends: BTreeMap<Ending, u64> = BTreeMap::new();
        for ending in self.books.ends(place, from, Duration::MAX) {
            *ends.entry(ending).or_default() += 1;
        }
        let answered = ends.keys().all(|ending| ending.is_answered());
        self.violations.hold(
            "S2",
            answered && !ends.is_empty(),
            format_args!("{}: from {from:?} on its calls end as {ends:?}", service.name),
        );
    }

    /// I11: what panicked is what was made to.
    pub(super) fn panics_are_ours(&self, others: &[String]) {
        for text in others {
            self.violations.add("I11", format_args!("it panicked: {text}"));
        }
    }

    /// Pools that were opened were closed.
    pub(super) fn pools_are_closed(&self, place: usize, seen: &Seen) {
        self.violations.hold(
            "I6",
            seen.opened == seen.closed,
            format_args!(
                "{}: {} pools were opened and {} closed",
                self.plan.services[place].name, seen.opened, seen.closed
            ),
        );
    }

    /// Reloads did what they were told, and no more.
    pub(super) fn reloads_count(&self, snapshot: &Snapshot, good: u64, bad: u64, overrides: u64) {
        // An override puts settings in force when it begins, and when it ends.
        let expected = (1 + good + 2 * overrides, bad);
        self.violations.hold(
            "I8",
            (snapshot.config_generation, snapshot.reloads_refused) == expected,
            format_args!(
                "{good} reloads were good and {bad} were not, with {overrides} overrides; generation {}, {} refused",
                snapshot.config_generation, snapshot.reloads_refused
            ),
        );
    }
}

/// What timers may be late by, over a whole call.
const NOISE: Duration = Duration::from_millis(8);

/// Attempts by their result, as the metrics have them.
#[derive(Debug, Default)]
struct Attempts {
    success: u64,
    failure: u64,
    overload: u64,
    ignored: u64,
    cancelled: u64,
}

impl Attempts {
    /// Reads them out of the page that is in Prometheus' format.
    fn read(metrics: &str, service: &str, call: &str) -> Self {
        let mut attempts = Self::default();
        let (service, call) = (format!("service=\"{service}\""), format!("call=\"{call}\""));
        for line in metrics.lines().filter(|line| line.starts_with("seawall_attempt_duration_seconds_count"))
        {
            if !(line.contains(&service) && line.contains(&call)) {
                continue;
            }
            let count = line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0_u64);
            let results = [
                ("success", &mut attempts.success),
                ("failure", &mut attempts.failure),
                ("overload", &mut attempts.overload),
                ("ignored", &mut attempts.ignored),
                ("cancelled", &mut attempts.cancelled),
            ];
            for (result, sum) in results {
                if line.contains(&format!("result=\"{result}\"")) {
                    *sum += count;
                }
            }
        }
        attempts
    }

    fn all(&self) -> u64 {
        self.success + self.failure + self.overload + self.ignored + self.cancelled
    }
}
