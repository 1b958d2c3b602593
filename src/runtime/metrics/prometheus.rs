use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use super::{Labels, Sink, walk};
use crate::{policy::latency::Histogram, runtime::Inner, service::HistogramSettings};

/// The upper bounds of the exported histograms' buckets.
const BOUNDS: [Duration; 14] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// All metrics in Prometheus' text format.
pub(in crate::runtime) fn write(inner: &Inner) -> String {
    let HistogramSettings { lowest, highest } = inner.telemetry.histogram;
    let bounds = BOUNDS.into_iter().filter(|bound| (lowest..=highest).contains(bound)).collect();
    let mut page = Page { families: BTreeMap::new(), bounds, common: &inner.telemetry.labels };
    walk(inner, &mut page);
    page.finish()
}

/// Samples by the name of their metric: the format wants those of one name together.
struct Page<'a> {
    families: BTreeMap<&'static str, Family>,
    bounds: Vec<Duration>,
    /// Labels of all.
    common: &'a BTreeMap<String, String>,
}

struct Family {
    kind: Kind,
    samples: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// What follows a metric's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge => "",
            Self::Histogram => "_seconds",
        }
    }
}

impl Page<'_> {
    fn sample(
        &mut self,
        name: &'static str,
        kind: Kind,
        part: &str,
        labels: Labels<'_>,
        bound: Option<&str>,
        value: impl fmt::Display,
    ) {
        let samples =
            &mut self.families.entry(name).or_insert(Family { kind, samples: String::new() }).samples;
        let labels = Braced(labels, self.common, bound);
        // Writing to a string cannot fail.
        let _ = writeln!(samples, "{}{}{part}{labels} {value}", Name(name), kind.suffix());
    }

    fn finish(self) -> String {
        let mut text = String::new();
        for (name, Family { kind, samples }) in self.families {
            let _ = writeln!(text, "# TYPE {}{} {}", Name(name), kind.suffix(), kind.word());
            text.push_str(&samples);
        }
        text
    }
}

impl Sink for Page<'_> {
    fn counter(&mut self, name: &'static str, labels: Labels<'_>, value: u64) {
        self.sample(name, Kind::Counter, "", labels, None, value);
    }

    fn gauge(&mut self, name: &'static str, labels: Labels<'_>, value: f64) {
        self.sample(name, Kind::Gauge, "", labels, None, value);
    }

    fn histogram(&mut self, name: &'static str, labels: Labels<'_>, durations: &Histogram) {
        let count = durations.count();
        for bound in self.bounds.clone() {
            let up_to = durations.count_up_to(bound).min(count);
            let bound = bound.as_secs_f64().to_string();
            self.sample(name, Kind::Histogram, "_bucket", labels, Some(&bound), up_to);
        }
        self.sample(name, Kind::Histogram, "_bucket", labels, Some("+Inf"), count);
        self.sample(name, Kind::Histogram, "_sum", labels, None, durations.sum().as_secs_f64());
        self.sample(name, Kind::Histogram, "_count", labels, None, count);
    }
}

/// Labels, those of all metrics, and a bucket's bound, as they follow a name.
struct Braced<'a>(Labels<'a>, &'a BTreeMap<String, String>, Option<&'a str>);

impl fmt::Display for Braced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(own, common, bound) = self;
        let common = common.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        let all = own.iter().copied().chain(common).chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (label, value) in all {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{before}{label}=\"{value}\"")?;
            before = ',';
        }
        if before == ',' { f.write_char('}') } else { Ok(()) }
    }
}

/// A name as Prometheus writes it.
struct Name(&'static str);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c == '.' { '_' } else { c }))
    }
}
