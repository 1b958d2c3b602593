//! Outlier ejection: an endpoint that fails while others do not is left alone for a while.
//!
//! As in Finagle's failure accrual and Envoy's outlier detection. An endpoint is ejected by failures in a row, or by its
//! share of successes within the window. It is left alone for a time that doubles with each ejection and is spread by equal
//! jitter, so that a fleet does not come back in step. When its time is up one attempt is its probe: success brings it back, failure
//! ejects it for longer, and one that says nothing is made again after a first ejection's time; until then it gets no other, so that a sick endpoint costs one call for each ejection and not five.
//! Who stayed in for a whole window is as good as new.
//!
//! Never more than a share of the endpoints is ejected: when most fail, it is not they who are the outliers, and that is for
//! the breaker to say. One who should be ejected and may not is so by its next failure, once another has come back.
//!
//! Outcomes of one that is ejected do not count: they are of attempts that began before. The share that may be ejected is counted
//! over all, so this is one state machine for a service's endpoints and not one for each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    EndpointSet, Mode,
    blame::Verdict,
    window::{Window, WindowSize},
};
use crate::units::{Ratio, Tick, duration};

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutlierSettings {
    /// Whether it decides. Default `enforce`.
    pub mode: Mode,
    /// Failures in a row that eject; 0 for never. Default 5.
    pub consecutive_failures: u32,
    /// The share of successes below which an endpoint is ejected. Default 80 %.
    pub success_rate: Ratio,
    /// How far that looks back. Default 30 s.
    #[serde(with = "duration")]
    pub window: Duration,
    /// Outcomes in the window before the share of successes counts. Default 5.
    pub minimum_calls: u32,
    /// How long the first ejection is at most, before the jitter. Default 5 s.
    #[serde(with = "duration")]
    pub eject: Duration,
    /// How long it becomes at most. Default 300 s.
    #[serde(with = "duration")]
    pub eject_max: Duration,
    /// The share of endpoints that may be ejected at once. Default 50 %.
    pub max_ejected: Ratio,
}

impl Default for OutlierSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            consecutive_failures: 5,
            success_rate: Ratio::percent(80),
            window: Duration::from_secs(30),
            minimum_calls: 5,
            eject: Duration::from_secs(5),
            eject_max: Duration::from_secs(300),
            max_ejected: Ratio::percent(50),
        }
    }
}

/// Buckets of the window.
const BUCKETS: u32 = 10;

/// A service's endpoints, as far as they fail.
#[derive(Debug)]
pub struct Outliers {
    settings: OutlierSettings,
    places: Vec<Place>,
    random: u64,
}

/// One endpoint.
#[derive(Debug)]
struct Place {
    window: Window,
    consecutive: u32,
    standing: Standing,
    /// Ejections in a row, each within a window of the one before.
    row: u32,
    /// Ejections in all.
    ejections: u64,
    returned: Tick,
}

/// Whether attempts go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    In,
    /// Ejected, and due for a probe at the second moment.
    Out {
        since: Tick,
        until: Tick,
    },
    /// One attempt is finding out.
    Probed {
        since: Tick,
    },
}

/// An endpoint was ejected, or came back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It is left alone.
    Ejected(Ejection),
    /// Its probe succeeded.
    Returned {
        /// How long it was out.
        after: Duration,
    },
}

/// Why an endpoint was ejected, and the figures it went by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ejection {
    /// Why.
    pub cause: Cause,
    /// Until its next probe.
    pub lasts: Duration,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Outcomes in the window.
    pub calls: u64,
    /// Failures among them.
    pub failures: u64,
    /// Ejections in a row, this one included.
    pub row: u32,
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Failures in a row.
    ConsecutiveFailures,
    /// Too few successes within the window.
    SuccessRate,
    /// It was out, and its probe failed.
    ProbeFailed,
}

impl Cause {
    /// The word for it in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::SuccessRate => "success_rate",
            Self::ProbeFailed => "probe_failed",
        }
    }
}

impl Outliers {
    /// So many endpoints, all of them in. `seed` is where the jitter comes from.
    pub fn new(settings: OutlierSettings, count: usize, seed: u64) -> Self {
        let places = (0..count).map(|_| Place::new(&settings)).collect();
        Self { settings, places, random: seed }
    }

    /// Takes over what another knows of an endpoint, `theirs` there and `ours` here. A probe under way is not taken over: it is due
    /// again.
    pub fn adopt(&mut self, ours: usize, other: &Self, theirs: usize, now: Tick) {
        let (Some(place), Some(known)) = (self.places.get_mut(ours), other.places.get(theirs)) else {
            return;
        };
        place.consecutive = known.consecutive;
        (place.row, place.ejections, place.returned) = (known.row, known.ejections, known.returned);
        place.standing = match known.standing {
            Standing::Probed { since } => Standing::Out { since, until: now },
            standing => standing,
        };
    }

    /// Those that are out, whether or not they are due for a probe. None in shadow.
    pub fn ejected(&self) -> EndpointSet {
        match self.settings.mode {
            Mode::Enforce => EndpointSet::first(self.places.len())
                .only_if(|place| self.places[place].standing != Standing::In),
            Mode::Shadow | Mode::Off => EndpointSet::EMPTY,
        }
    }

    /// When the next probe is due; `None` with nobody out, and in shadow.
    pub fn next_probe(&self) -> Option<Tick> {
        if self.settings.mode != Mode::Enforce {
            return None;
        }
        let due = |place: &Place| match place.standing {
            Standing::Out { until, .. } => Some(until),
            Standing::In | Standing::Probed { .. } => None,
        };
        self.places.iter().filter_map(due).min()
    }

    /// One that is due for its probe, which begins. It must end by [`record`](Self::record), as one.
    pub fn probe(&mut self, now: Tick) -> Option<usize> {
        if self.settings.mode != Mode::Enforce {
            return None;
        }
        self.places.iter_mut().enumerate().find_map(|(index, place)| match place.standing {
            // Out => Probed
            Standing::Out { since, until } if now >= until => {
                place.standing = Standing::Probed { since };
                Some(index)
            }
            _ => None,
        })
    }

    /// Records an outcome of the endpoint at this place; `probe` where the attempt was its probe.
    pub fn record(&mut self, index: usize, verdict: Verdict, probe: bool, now: Tick) -> Option<Change> {
        let place = self.places.get_mut(index)?;
        match place.standing {
            Standing::In => self.record_in(index, verdict, now),
            Standing::Probed { since } if probe => self.probed(index, since, verdict, now),
            // In shadow calls go on: the first that comes once it is due is what the probe would have been.
            Standing::Out { since, until } if self.settings.mode == Mode::Shadow && now >= until => {
                self.probed(index, since, verdict, now)
            }
            Standing::Out { .. } | Standing::Probed { .. } => None,
        }
    }

    fn record_in(&mut self, index: usize, verdict: Verdict, now: Tick) -> Option<Change> {
        let may_be_ejected = self.may_eject();
        let Self { settings, places, .. } = self;
        let place = &mut places[index];
        match verdict {
            Verdict::Neutral | Verdict::Moved => return None,
            Verdict::Success => place.consecutive = 0,
            Verdict::Failure => place.consecutive = place.consecutive.saturating_add(1),
        }
        place.window.record(verdict == Verdict::Failure, false, now);
        if verdict == Verdict::Success || !may_be_ejected {
            return None;
        }
        let totals = place.window.totals(now);
        let row = settings.consecutive_failures;
        let enough = totals.calls >= u64::from(settings.minimum_calls.max(1));
        let cause = if row > 0 && place.consecutive >= row {
            Cause::ConsecutiveFailures
        } else if enough && 1.0 - totals.error_ratio() < settings.success_rate.get() {
            Cause::SuccessRate
        } else {
            return None;
        };
        if now.since(place.returned) >= settings.window {
            place.row = 0;
        }
        // In => Out
        Some(self.eject(index, cause, now, now))
    }

    fn probed(&mut self, index: usize, since: Tick, verdict: Verdict, now: Tick) -> Option<Change> {
        let pause = self.lasts(0);
        let place = &mut self.places[index];
        match verdict {
            // Probed => Out: it said nothing. Not due at once, or every call of impatient callers would be one.
            Verdict::Neutral | Verdict::Moved => {
                place.standing = Standing::Out { since, until: now.after(pause) };
                None
            }
            // Probed => Out
            Verdict::Failure => {
                place.consecutive = place.consecutive.saturating_add(1);
                place.window.record(true, false, now);
                Some(self.eject(index, Cause::ProbeFailed, since, now))
            }
            // Probed => In
            Verdict::Success => {
                place.standing = Standing::In;
                place.consecutive = 0;
                place.window.clear();
                place.returned = now;
                Some(Change::Returned { after: now.since(since) })
            }
        }
    }

    fn eject(&mut self, index: usize, cause: Cause, since: Tick, now: Tick) -> Change {
        let lasts = self.lasts(self.places[index].row);
        let place = &mut self.places[index];
        place.row = place.row.saturating_add(1);
        place.ejections += 1;
        place.standing = Standing::Out { since, until: now.after(lasts) };
        let totals = place.window.totals(now);
        Change::Ejected(Ejection {
            cause,
            lasts,
            consecutive_failures: place.consecutive,
            calls: totals.calls,
            failures: totals.failures,
            row: place.row,
        })
    }

    /// How long an ejection is after so many in a row: from half of what the doubling says to the whole.
    fn lasts(&mut self, row: u32) -> Duration {
        let doubled = self.settings.eject.saturating_mul(1_u32.checked_shl(row).unwrap_or(u32::MAX));
        let longest = doubled.min(self.settings.eject_max.max(self.settings.eject));
        // splitmix64, from 0 to 1.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (z ^ (z >> 31)) as f64 / u64::MAX as f64;
        longest.mul_f64(0.5 + 0.5 * share)
    }

    /// Whether one more may be out.
    fn may_eject(&self) -> bool {
        let out = self.places.iter().filter(|place| place.standing != Standing::In).count();
        (out + 1) as f64 <= self.settings.max_ejected.get() * self.places.len() as f64
    }

    /// For how long the endpoint at this place is ejected yet, if it is: zero once it is due for its probe.
    pub fn ejected_for(&self, index: usize, now: Tick) -> Option<Duration> {
        if !self.ejected().has(index) {
            return None;
        }
        match self.places.get(index)?.standing {
            Standing::In => None,
            Standing::Out { until, .. } => Some(until.since(now)),
            Standing::Probed { .. } => Some(Duration::ZERO),
        }
    }

    /// How often the endpoint at this place was ejected, or in shadow would have been.
    pub fn ejections(&self, index: usize) -> u64 {
        self.places.get(index).map_or(0, |place| place.ejections)
    }
}

impl Place {
    fn new(settings: &OutlierSettings) -> Self {
        Self {
            window: Window::new(WindowSize::Time(settings.window), BUCKETS),
            consecutive: 0,
            standing: Standing::In,
            row: 0,
            ejections: 0,
            returned: Tick::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    fn outliers(count: usize) -> Outliers {
        Outliers::new(OutlierSettings::default(), count, 7)
    }

    fn fail(outliers: &mut Outliers, index: usize, times: u32, now: u64) -> Option<Change> {
        (0..times).filter_map(|_| outliers.record(index, Verdict::Failure, false, at(now))).last()
    }

    #[test]
    fn the_defaults_are_those_of_the_docs() {
        let outlier = OutlierSettings::default();
        assert_eq!(
            (outlier.mode, outlier.consecutive_failures, outlier.minimum_calls),
            (Mode::Enforce, 5, 5)
        );
        assert_eq!((outlier.success_rate, outlier.max_ejected), (Ratio::percent(80), Ratio::percent(50)));
        assert_eq!(
            [outlier.window, outlier.eject, outlier.eject_max].map(|time| time.as_secs()),
            [30, 5, 300]
        );
    }

    #[test]
    fn five_failures_in_a_row_eject_and_a_success_between_them_does_not_count_as_one() {
        let mut outliers = outliers(3);
        assert_eq!(fail(&mut outliers, 1, 4, 0), None);
        let Some(Change::Ejected(ejection)) = fail(&mut outliers, 1, 1, 0) else { panic!("it is the fifth") };
        assert_eq!((ejection.cause, ejection.failures, ejection.row), (Cause::ConsecutiveFailures, 5, 1));
        assert!((2_500..=5_000).contains(&ejection.lasts.as_millis()), "{:?}", ejection.lasts);
        assert_eq!(outliers.ejected(), EndpointSet::only(1));
    }

    #[test]
    fn too_few_successes_eject_though_no_five_fail_in_a_row() {
        let mut outliers = outliers(3);
        let mut changes = (0..100).filter_map(|n| {
            let verdict = if n % 4 == 3 { Verdict::Failure } else { Verdict::Success };
            outliers.record(0, verdict, false, at(n * 100))
        });
        let Some(Change::Ejected(ejection)) = changes.next() else { panic!("three of four are too few") };
        assert_eq!((ejection.cause, ejection.calls, ejection.failures), (Cause::SuccessRate, 8, 2));
    }

    #[test]
    fn one_probe_decides_and_a_failed_one_ejects_for_longer() {
        let mut outliers = outliers(3);
        fail(&mut outliers, 0, 5, 0);
        assert_eq!(outliers.probe(at(2_000)), None, "its time is not up");
        let mut now = 0;
        for row in 2..=9 {
            now = outliers.next_probe().expect("it is out").as_nanos() / 1_000_000 + 1;
            assert_eq!(outliers.probe(at(now)), Some(0));
            assert_eq!(outliers.probe(at(now)), None, "one is enough");
            assert_eq!(fail(&mut outliers, 0, 9, now), None, "what began before says nothing");
            let change = outliers.record(0, Verdict::Failure, true, at(now));
            let Some(Change::Ejected(ejection)) = change else { panic!("the probe failed") };
            let longest = Duration::from_secs(5 << (row - 1)).min(Duration::from_secs(300));
            assert_eq!((ejection.cause, ejection.row), (Cause::ProbeFailed, row));
            assert!(ejection.lasts <= longest && ejection.lasts >= longest / 2, "{ejection:?}");
        }
        now += 300_001;
        assert_eq!(outliers.probe(at(now)), Some(0));
        assert_eq!(outliers.record(0, Verdict::Neutral, true, at(now)), None);
        assert_eq!(outliers.probe(at(now + 2_000)), None, "it said nothing");
        now += 5_000;
        assert_eq!(outliers.probe(at(now)), Some(0), "another one may");
        let change = outliers.record(0, Verdict::Success, true, at(now));
        assert_eq!(change, Some(Change::Returned { after: Duration::from_millis(now) }));
        assert_eq!((outliers.ejected(), outliers.next_probe()), (EndpointSet::EMPTY, None));

        let Some(Change::Ejected(again)) = fail(&mut outliers, 0, 5, now + 1_000) else { panic!("it fails") };
        assert_eq!(again.row, 10, "it came back only a moment ago");
        let probe = now + 400_000;
        assert_eq!(outliers.probe(at(probe)), Some(0));
        outliers.record(0, Verdict::Success, true, at(probe));
        let Some(Change::Ejected(later)) = fail(&mut outliers, 0, 5, probe + 31_000) else {
            panic!("it fails")
        };
        assert_eq!(later.row, 1, "it was well for a whole window");
    }

    #[test]
    fn who_may_not_be_ejected_is_when_another_is_back() {
        let mut outliers = outliers(3);
        fail(&mut outliers, 0, 5, 0);
        assert_eq!(fail(&mut outliers, 1, 50, 0), None);
        assert_eq!(outliers.probe(at(5_000)), Some(0));
        outliers.record(0, Verdict::Success, true, at(5_000));
        assert!(matches!(fail(&mut outliers, 1, 1, 5_000), Some(Change::Ejected(_))));
    }

    #[test]
    fn a_shadow_decides_and_ejects_nobody() {
        let settings = OutlierSettings { mode: Mode::Shadow, ..OutlierSettings::default() };
        let mut outliers = Outliers::new(settings, 2, 7);
        assert!(matches!(fail(&mut outliers, 0, 5, 0), Some(Change::Ejected(_))));
        assert_eq!((outliers.ejected(), outliers.ejections(0)), (EndpointSet::EMPTY, 1));
        assert_eq!((outliers.ejected_for(0, at(0)), outliers.probe(at(9_000))), (None, None));
        assert_eq!(
            outliers.record(0, Verdict::Success, false, at(1_000)),
            None,
            "it would not have been asked"
        );
        let change = outliers.record(0, Verdict::Success, false, at(6_000));
        assert_eq!(change, Some(Change::Returned { after: Duration::from_secs(6) }));
    }

    #[test]
    fn what_is_known_of_an_endpoint_is_taken_over() {
        let (mut before, mut after) = (outliers(2), outliers(3));
        fail(&mut before, 1, 5, 0);
        fail(&mut before, 0, 4, 0);
        before.probe(at(5_000));
        after.adopt(2, &before, 1, at(6_000));
        after.adopt(1, &before, 0, at(6_000));
        assert_eq!(after.ejected(), EndpointSet::only(2));
        assert_eq!(after.probe(at(6_000)), Some(2), "whoever made the last probe tells another of it");
        after.record(2, Verdict::Success, true, at(6_000));
        assert!(fail(&mut after, 1, 1, 6_000).is_some(), "the fifth in a row");
    }

    /// What happens to one endpoint.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Outcome(usize, Verdict),
        Probe(Verdict),
        Later(u64),
    }

    fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
        let verdict = || prop_oneof![Just(Verdict::Success), Just(Verdict::Failure), Just(Verdict::Neutral)];
        let outcome = (0..count, verdict()).prop_map(|(index, verdict)| Step::Outcome(index, verdict));
        let probe = verdict().prop_map(Step::Probe);
        let later = (1_u64..10_000).prop_map(Step::Later);
        prop::collection::vec(prop_oneof![8 => outcome, 2 => probe, 1 => later], 0..300)
    }

    /// The same, written so that it is plainly right: one list of outcomes for each endpoint, counted anew each time.
    #[derive(Clone, Default)]
    struct Model {
        /// Since it came in: when, and whether it failed.
        outcomes: Vec<(u64, bool)>,
        out: bool,
    }

    impl Model {
        fn is_due_out(&self, now: u64) -> bool {
            let row = self.outcomes.iter().rev().take_while(|(_, failed)| *failed).count();
            // The window's buckets are of three seconds.
            let lately = self.outcomes.iter().filter(|(then, _)| then / 3_000 + 10 > now / 3_000);
            let (calls, failures) = lately
                .fold((0, 0), |(calls, failures), (_, failed)| (calls + 1, failures + i32::from(*failed)));
            row >= 5 || (calls >= 5 && failures * 5 > calls)
        }
    }

    proptest! {
        #[test]
        fn it_does_as_the_model_does(steps in steps(4)) {
            let mut outliers = outliers(4);
            let mut model = vec![Model::default(); 4];
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Later(millis) => now += millis,
                    Step::Outcome(index, verdict) => {
                        let change = outliers.record(index, verdict, false, at(now));
                        let out = model.iter().filter(|one| one.out).count();
                        let one = &mut model[index];
                        if !one.out && verdict != Verdict::Neutral {
                            one.outcomes.push((now, verdict == Verdict::Failure));
                            one.out = verdict == Verdict::Failure && out < 2 && one.is_due_out(now);
                            prop_assert_eq!(matches!(change, Some(Change::Ejected(_))), one.out);
                        } else {
                            prop_assert_eq!(change, None);
                        }
                    }
                    Step::Probe(verdict) => {
                        let Some(index) = outliers.probe(at(now)) else { continue };
                        prop_assert!(model[index].out);
                        let change = outliers.record(index, verdict, true, at(now));
                        if verdict == Verdict::Success {
                            let returned = matches!(change, Some(Change::Returned { .. }));
                            prop_assert!(returned);
                            model[index] = Model::default();
                        }
                    }
                }
                let out = EndpointSet::first(4).only_if(|index| model[index].out);
                prop_assert_eq!(outliers.ejected(), out);
                prop_assert!(out.len() <= 2, "at most half");
            }
        }
    }
}
