use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use metrics::{Key, Label, Level, Metadata, with_recorder};

use super::{Labels, Sink, walk};
use crate::{policy::latency::Histogram, runtime::Inner};

/// What was given to the `metrics` crate's recorder so far: its histograms want each duration once.
#[derive(Default)]
pub(in crate::runtime) struct Published {
    /// Durations by histogram and bucket.
    counts: HashMap<Key, Vec<u64>>,
}

const METADATA: Metadata<'static> = Metadata::new("seawall", Level::INFO, Some(module_path!()));

impl Published {
    /// Gives the recorder what has changed since the last time.
    pub(in crate::runtime) fn publish(&mut self, inner: &Inner) {
        walk(inner, &mut Publishing { published: self, common: &inner.telemetry.labels });
    }
}

/// What is given to the recorder, with the labels of all metrics.
struct Publishing<'a> {
    published: &'a mut Published,
    common: &'a BTreeMap<String, String>,
}

impl Publishing<'_> {
    fn key(&self, name: &'static str, labels: Labels<'_>) -> Key {
        let own = labels.iter().map(|(label, value)| Label::new(*label, (*value).to_owned()));
        let common = self.common.iter().map(|(label, value)| Label::new(label.clone(), value.clone()));
        Key::from_parts(name, own.chain(common).collect::<Vec<_>>())
    }
}

impl Sink for Publishing<'_> {
    fn counter(&mut self, name: &'static str, labels: Labels<'_>, value: u64) {
        with_recorder(|recorder| {
            recorder.register_counter(&self.key(name, labels), &METADATA).absolute(value)
        });
    }

    fn gauge(&mut self, name: &'static str, labels: Labels<'_>, value: f64) {
        with_recorder(|recorder| recorder.register_gauge(&self.key(name, labels), &METADATA).set(value));
    }

    fn histogram(&mut self, name: &'static str, labels: Labels<'_>, durations: &Histogram) {
        let key = self.key(name, labels);
        let handle = with_recorder(|recorder| recorder.register_histogram(&key, &METADATA));
        let given = self.published.counts.entry(key).or_default();
        for (index, (longest, count)) in durations.buckets().enumerate() {
            if given.len() <= index {
                given.resize(index + 1, 0);
            }
            let new = count.saturating_sub(given[index]);
            if new > 0 {
                handle.record_many(longest.as_secs_f64(), usize::try_from(new).unwrap_or(usize::MAX));
                given[index] = count;
            }
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("histograms", &self.counts.len()).finish()
    }
}
