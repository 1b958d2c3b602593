//! Keeps every log line that the code under test writes, to count them and to look for what must not stand in them.

use std::fmt::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::settings::canary;

/// Lines kept to be shown. All are counted and searched.
const KEPT: usize = 1_000;

/// The log of this process, as far as seawall writes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Arc<Mutex<Lines>>);

/// What was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    /// How many lines there were.
    pub(crate) count: usize,
    /// How many of them, or of the fields of spans, showed a secret.
    pub(crate) secrets: usize,
    /// The first of them.
    pub(crate) kept: Vec<String>,
}

impl Logs {
    /// The log from now on, over the whole process.
    pub(crate) fn capture() -> Self {
        let logs = Self::default();
        // Fails only where somebody was first, and then nothing is captured, which the count of lines shows.
        let _ = tracing::subscriber::set_global_default(Capture { logs: logs.clone(), secret: canary() });
        logs
    }

    /// Counts no line that was written until now: those of the start, whose events nobody hears yet.
    pub(crate) fn begin(&self) {
        self.0.lock().count = 0;
    }

    pub(crate) fn lines(&self) -> Lines {
        self.0.lock().clone()
    }
}

struct Capture {
    logs: Logs,
    secret: String,
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("seawall")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        // A span is no line, but what stands in it can be exported all the same: it is searched for secrets.
        let mut text = String::new();
        span.record(&mut Text(&mut text));
        self.secret_in_span(text);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut text = String::new();
        values.record(&mut Text(&mut text));
        self.secret_in_span(text);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        let mut lines = self.logs.0.lock();
        lines.count += 1;
        lines.secrets += usize::from(text.contains(&self.secret));
        if lines.kept.len() < KEPT {
            lines.kept.push(format!("{} {text}", event.metadata().level()));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Capture {
    fn secret_in_span(&self, text: String) {
        self.logs.0.lock().secrets += usize::from(text.contains(&self.secret));
    }
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
