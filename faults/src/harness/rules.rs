//! The rules of FAULTS.md, section 0, held against what a run left behind.
//!
//! A scenario leaves out a rule only where its own fault takes away what the rule goes by, and says why beside it.

use std::collections::HashMap;
use std::time::Duration;

use seawall::downstream::Reached;
use seawall::telemetry::What;

use super::bed::{Marks, Outcome};
use super::load::{self, End, Record, is_write, tally};
use super::panics;
use super::report::Report;
use super::settings::{DEADLINE, MAX_IN_FLIGHT, MAX_QUEUE, canary};
use super::times::{ms, quantile};

const MIB: u64 = 1 << 20;

/// How late a call may end after its deadline: the timer, and the way back to its caller.
pub(crate) const TIMER: Duration = Duration::from_millis(20);

/// What a plain thread's question may take, 99 times of 100, on a machine that is quiet: ten times what it takes there.
const QUIET: Duration = Duration::from_millis(5);

/// Which rules hold, and with which figures.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// I1: what a call may take. `None` where the whole process stood still.
    pub(crate) deadline: Option<Duration>,
    /// I3: whether the server's own stamps tell when a request came.
    pub(crate) arrivals_are_stamped: bool,
    /// I4.
    pub(crate) amplification: bool,
    /// I5.
    pub(crate) isolation: bool,
    /// I6: what the process may have grown by.
    pub(crate) growth: u64,
    /// I7.
    pub(crate) recovery: bool,
    /// I8: whether every attempt reaches the server, so that the two counts are equal.
    pub(crate) attempts_arrive: bool,
    /// I8: whether calls were made that are not in the records.
    pub(crate) books: bool,
    /// I10: whether the bed's server is the one that saw the writes.
    pub(crate) writes: bool,
    /// I11: panics that the scenario injected.
    pub(crate) panics: u64,
    /// I1, I6: what the service's queue may hold.
    pub(crate) max_in_flight: usize,
    pub(crate) max_queue: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            deadline: Some(DEADLINE),
            arrivals_are_stamped: true,
            amplification: true,
            isolation: true,
            growth: 16 * MIB,
            recovery: true,
            attempts_arrive: true,
            books: true,
            writes: true,
            panics: 0,
            max_in_flight: MAX_IN_FLIGHT,
            max_queue: MAX_QUEUE,
        }
    }
}

impl Rules {
    /// For runs whose calls are not in the records.
    pub(crate) fn unloaded() -> Self {
        Self { amplification: false, recovery: false, books: false, ..Self::default() }
    }

    /// Holds all of them against a run.
    pub(crate) fn judge(&self, outcome: &Outcome, report: &mut Report) {
        report.general();
        self.every_call_ends(outcome, report);
        self.no_wrong_answer(outcome, report);
        if self.arrivals_are_stamped {
            self.no_work_past_the_deadline(outcome, report);
        }
        if self.amplification {
            self.no_amplification(outcome, report);
        }
        if self.isolation {
            self.isolation(outcome, report);
        }
        self.bounded(outcome, report);
        if self.recovery {
            self.recovery(outcome, report);
        }
        self.honest(outcome, report);
        self.no_secret(outcome, report);
        if self.writes {
            self.writes(outcome, report);
        }
        judge_panics(self.panics, report);
        report.specific();
    }

    fn every_call_ends(&self, outcome: &Outcome, report: &mut Report) {
        let fault = outcome.marks.fault;
        let outstanding = outcome.records.iter().filter(|record| record.ended.is_none());
        let when: Vec<_> = outstanding
            .map(|record| format!("{:+.3} s", record.started.duration_since(fault).as_secs_f64()))
            .collect();
        report.holds(
            "I1 calls without an end",
            when.is_empty(),
            when.len(),
            format!("= 0 (started, from the fault on: {})", when.join(", ")),
        );
        report.exactly("I1 calls cut off by the drain", outcome.cut_off, 0);
        let Some(deadline) = self.deadline else { return };
        let Marks { start, end, .. } = outcome.marks;
        let noise = outcome.noise.longest(start, end + Duration::from_secs(1));
        let slowest = outcome.records.iter().filter_map(Record::elapsed).max().unwrap_or_default();
        report.within("I1 slowest call", slowest, deadline + Duration::from_millis(100) + noise);
    }

    fn no_wrong_answer(&self, outcome: &Outcome, report: &mut Report) {
        let wrong = |records: &[Record]| {
            let wrong = |record: &&Record| matches!(record.end(), Some(End::Answer { right: false, .. }));
            records.iter().filter(wrong).count()
        };
        report.exactly("I2 wrong answers", wrong(&outcome.records) + wrong(&outcome.neighbour), 0);
    }

    fn no_work_past_the_deadline(&self, outcome: &Outcome, report: &mut Report) {
        let deadline = self.deadline.unwrap_or(DEADLINE);
        let started: HashMap<u64, _> =
            outcome.records.iter().map(|record| (record.nonce, record.started)).collect();
        let late = outcome.arrivals.iter().filter(|arrival| {
            // What was written in time is read by the server when the machine lets it.
            let slack = outcome
                .noise
                .longest(arrival.at - Duration::from_millis(200), arrival.at + Duration::from_millis(50));
            started.get(&arrival.nonce).is_some_and(|started| arrival.at > *started + deadline + slack)
        });
        report.exactly("I3 attempts past the deadline", late.count(), 0);
    }

    fn no_amplification(&self, outcome: &Outcome, report: &mut Report) {
        let Marks { fault, healed, end, .. } = outcome.marks;
        let end = end.min(healed + Duration::from_secs(10));
        let calls = outcome.records.iter().filter(|record| (fault..end).contains(&record.started)).count();
        // Those of the load; what a scenario does beside it is its own to judge.
        let ours =
            outcome.arrivals.iter().filter(|arrival| arrival.nonce >> load::NONCE_SHIFT == load::SUBJECT);
        let arrivals = ours.filter(|arrival| (fault..end).contains(&arrival.at)).count();
        let seconds = end.saturating_duration_since(fault).as_secs_f64();
        // The budget's floor counts over its window of ten seconds, and may be spent at once.
        let bound = (1.2 * calls as f64 + 10.0 * seconds.max(10.0)).ceil() as usize;
        report.holds(
            "I4 attempts at the server",
            arrivals <= bound,
            format!("{arrivals} of {calls} calls"),
            format!("<= {bound}"),
        );
    }

    fn isolation(&self, outcome: &Outcome, report: &mut Report) {
        let failed = outcome.neighbour.iter().filter(|record| !record.is_answer());
        report.holds(
            "I5 neighbour's errors",
            failed.clone().count() == 0,
            failed.clone().count(),
            format!("= 0 ({})", tally(failed)),
        );
        let neighbours = outcome.neighbour_requests as i64 - outcome.neighbour.len() as i64;
        report.exactly("I8 neighbour's requests, less its calls", neighbours, 0);
        let Marks { start, fault, end, .. } = outcome.marks;
        let latency = |from, to| {
            let within = outcome.neighbour.iter().filter(|record| (from..to).contains(&record.scheduled));
            quantile(within.filter_map(Record::latency).collect(), 0.99)
        };
        // The first calls make the connections.
        let (quiet, busy) = (latency(start + Duration::from_millis(300), fault), latency(fault, end));
        // A call wakes three threads, its caller's, its server's and its caller's again; each may have to wait for a core
        // as the plain thread has. On a machine that is not quiet the worst wait, too, falls upon more than one in a
        // hundred.
        let noise = outcome.noise.p99(fault, end);
        let worst = if noise > QUIET { outcome.noise.longest(fault, end) } else { Duration::ZERO };
        let bound = quiet * 2 + Duration::from_millis(5) + noise * 3 + worst;
        report.within("I5 neighbour's p99", busy, bound);
    }

    fn bounded(&self, outcome: &Outcome, report: &mut Report) {
        let growth = outcome.later.rss.saturating_sub(outcome.before.rss);
        report.holds(
            "I6 memory",
            growth <= self.growth,
            format!("+{:.1} MiB", growth as f64 / MIB as f64),
            format!("<= {} MiB", self.growth / MIB),
        );
        report.at_most("I6 descriptors", outcome.later.descriptors, outcome.before.descriptors);
        report.at_most("I6 threads", outcome.later.threads, outcome.before.threads);
        report.at_most("I6 calls in flight", outcome.peaks.in_flight, self.max_in_flight);
        report.at_most("I6 calls in the queue", outcome.peaks.waiting, self.max_queue);
        let bulkhead = outcome.subject().bulkhead;
        let held = bulkhead.map_or(0, |bulkhead| bulkhead.in_flight + bulkhead.waiting);
        report.exactly("I6 places still held", held, 0);
    }

    fn recovery(&self, outcome: &Outcome, report: &mut Report) {
        let Marks { healed, end, .. } = outcome.marks;
        let mut after: Vec<&Record> = outcome.recovered().collect();
        after.sort_by_key(|record| record.scheduled);
        let fresh = |record: &&&Record| matches!(record.end(), Some(End::Answer { origin, .. }) if *origin == seawall::Origin::Fresh);
        let first = after.iter().find(fresh).and_then(|record| record.ended.as_ref()).map(|(at, _)| *at);
        let open = outcome.settings.open_time.mul_f64(1.05);
        let Some(first) = first else {
            report.holds(
                "I7 first success",
                false,
                "none",
                format!("<= {}", ms(open + Duration::from_secs(1))),
            );
            return;
        };
        let noise = outcome.noise.longest(healed, end);
        report.within(
            "I7 first success",
            first.saturating_duration_since(healed),
            open + Duration::from_secs(1) + noise,
        );
        // From when on, to the end of the run, at least 99 of 100 succeed.
        let (mut good, mut all, mut steady) = (0, 0, end);
        for record in after.iter().rev() {
            all += 1;
            good += usize::from(record.is_answer());
            if good * 100 >= all * 99 {
                steady = record.scheduled;
            }
        }
        let bound = Duration::from_secs(5).min(end.saturating_duration_since(first).mul_f64(0.8));
        report.within("I7 until 99 % succeed", steady.saturating_duration_since(first), bound);
    }

    fn honest(&self, outcome: &Outcome, report: &mut Report) {
        let service = outcome.subject();
        let total =
            |count: fn(&seawall::runtime::CallSnapshot) -> u64| service.calls.iter().map(count).sum::<u64>();
        if self.books {
            let ended = |wanted: fn(&End) -> bool| {
                outcome.records.iter().filter_map(Record::end).filter(|end| wanted(end)).count() as u64
            };
            let mut differ = Vec::new();
            let mut compare = |name: &str, told: u64, seen: u64| {
                if told != seen {
                    differ.push(format!("{name}: told {told}, seen {seen}"));
                }
            };
            use seawall::Origin;
            let of = |wanted: Origin| {
                let is = |end: &&End| matches!(end, End::Answer { origin, .. } if *origin == wanted);
                outcome.records.iter().filter_map(Record::end).filter(is).count() as u64
            };
            compare("fresh", total(|call| call.fresh), of(Origin::Fresh));
            compare("cached", total(|call| call.cached), of(Origin::Cached));
            compare("stale", total(|call| call.stale), of(Origin::Stale));
            compare("fallback", total(|call| call.fallback), of(Origin::Fallback));
            compare("failed", total(seawall::runtime::CallSnapshot::failed), ended(|end| !end.is_answer()));
            report.holds(
                "I8 its books and the callers'",
                differ.is_empty(),
                if differ.is_empty() { "equal".to_owned() } else { differ.join("; ") },
                "equal",
            );
        }
        let (attempts, arrivals) = (total(|call| call.attempts), outcome.arrivals.len() as u64);
        if self.attempts_arrive {
            report.exactly(
                "I8 attempts told, less those at the server",
                attempts as i64 - arrivals as i64,
                0,
            );
        }
        let told = outcome.events.iter().filter(|seen| !matches!(seen.event.what, What::Lagged(_))).count();
        report.at_most("I8 log lines beyond one an event", outcome.lines.count.saturating_sub(told), 0);
    }

    fn no_secret(&self, outcome: &Outcome, report: &mut Report) {
        let canary = canary();
        let mut found = Vec::new();
        let mut look = |place: &str, text: &str| {
            if text.contains(&canary) {
                found.push(place.to_owned());
            }
        };
        look("metrics", &outcome.metrics);
        look("snapshot", &format!("{:?}", outcome.snapshot));
        outcome.events.iter().for_each(|seen| look("events", &format!("{:?}", seen.event)));
        for record in outcome.records.iter().chain(&outcome.neighbour) {
            if let Some(End::Error(class)) = record.end() {
                look("errors", &class.text);
            }
        }
        found.dedup();
        found.extend((outcome.lines.secrets > 0).then(|| "log".to_owned()));
        report.holds(
            "I9 secrets shown",
            found.is_empty(),
            found.len(),
            format!("= 0 ({})", found.join(", ")),
        );
    }

    fn writes(&self, outcome: &Outcome, report: &mut Report) {
        let mut times = HashMap::<u64, usize>::new();
        for arrival in outcome.arrivals.iter().filter(|arrival| arrival.write) {
            *times.entry(arrival.nonce).or_default() += 1;
        }
        report.exactly("I10 writes that came twice", times.values().filter(|times| **times > 1).count(), 0);
        let denied = outcome.records.iter().filter(|record| {
            let came = is_write(record.nonce) && times.contains_key(&record.nonce);
            came && matches!(record.end(), Some(End::Error(class)) if class.reached == Reached::No)
        });
        report.exactly("I10 writes made and denied", denied.count(), 0);
    }
}

/// I11: no panic but those that were injected.
pub(crate) fn judge_panics(injected: u64, report: &mut Report) {
    report.general();
    report.exactly("I11 panics", panics::others(), 0);
    report.exactly("I11 panics injected and seen", panics::injected(), injected);
    report.specific();
}
