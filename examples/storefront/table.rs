//! What is shown: in a terminal a table that is drawn over itself with the events above it, elsewhere plain lines.

use std::{
    cell::RefCell,
    error::Error,
    fmt,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use seawall::runtime::{ServiceSnapshot, Snapshot};
use tokio::time::Instant;

use crate::load::Tally;

/// Between plain tables.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The terminal, or whatever the output goes to.
pub(crate) struct Screen {
    started: Instant,
    live: bool,
    state: RefCell<State>,
}

struct State {
    /// Lines of the table that is shown.
    drawn: usize,
    table: Vec<String>,
    shown: Instant,
    before: Vec<(u64, Instant)>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let state = State { drawn: 0, table: Vec::new(), shown: now, before: Vec::new() };
        Self { started: now, live: io::stdout().is_terminal(), state: RefCell::new(state) }
    }

    /// Something happened.
    pub(crate) fn event(&self, who: &str, text: &str) {
        let line = format!("{:6.1}s  {who:<10} {text}", self.started.elapsed().as_secs_f64());
        let mut state = self.state.borrow_mut();
        if self.live {
            state.draw(&[line]);
        } else {
            say(format_args!("{line}"));
        }
    }

    /// How things stand.
    pub(crate) fn table(&self, snapshot: &Snapshot, tally: &Tally) {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        if !self.live && now - state.shown < PLAIN_EVERY {
            return;
        }
        let mut lines = vec![String::new(), HEAD.to_owned()];
        state.before.resize(snapshot.services.len(), (0, self.started));
        for (service, before) in snapshot.services.iter().zip(&mut state.before) {
            lines.push(row(service, before, now));
        }
        lines.push(format!("users saw: {}", outcomes(tally)));
        state.shown = now;
        if self.live {
            state.table = lines;
            state.draw(&[]);
        } else {
            lines.iter().for_each(|line| say(format_args!("{line}")));
        }
    }

    /// The last line.
    pub(crate) fn summary(&self, tally: &Tally) {
        say(format_args!("summary: calls={} {}", tally.calls(), outcomes(tally)));
    }
}

impl State {
    /// Writes events where the table was, and the table below them.
    fn draw(&mut self, events: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        events.iter().for_each(|line| text.extend([line, "\n"]));
        // A line of the table that is wider than the terminal must not become two, or it could not be drawn over.
        self.table.iter().for_each(|line| text.extend(["\x1b[?7l", line, "\x1b[?7h\n"]));
        self.drawn = self.table.len();
        write(format_args!("{text}"));
    }
}

const HEAD: &str =
    "service    calls/s      p50      p99  in flight  breaker      fresh   cached    stale fallback   failed";

fn row(service: &ServiceSnapshot, before: &mut (u64, Instant), now: Instant) -> String {
    let sum =
        |count: fn(&seawall::runtime::CallSnapshot) -> u64| service.calls.iter().map(count).sum::<u64>();
    let total = sum(|call| call.total());
    let rate = (total - before.0) as f64 / (now - before.1).as_secs_f64().max(0.001);
    *before = (total, now);
    let latency = service.calls.iter().max_by_key(|call| call.total()).map(|call| call.latency);
    let millis = |micros: u64| format!("{:.1}ms", micros as f64 / 1000.0);
    let latency = latency.unwrap_or_default();
    format!(
        "{:<9} {rate:>8.0} {:>8} {:>8} {:>10}  {:<9} {:>8} {:>8} {:>8} {:>8} {:>8}",
        service.name,
        millis(latency.p50_us),
        millis(latency.p99_us),
        service.bulkhead.map_or(0, |bulkhead| bulkhead.in_flight),
        service.breaker.map_or("-", |breaker| breaker.state.word()),
        sum(|call| call.fresh),
        sum(|call| call.cached),
        sum(|call| call.stale),
        sum(|call| call.fallback),
        sum(|call| call.failed()),
    )
}

fn outcomes(tally: &Tally) -> String {
    tally.outcomes().map(|(name, count)| format!("{name}={count}")).join(" ")
}

/// Writes a line. That nobody reads it is no reason to stop.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    write(format_args!("{line}\n"));
}

fn write(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    let _ = output.write_fmt(text).and_then(|()| output.flush());
}

/// Says why the program ends.
pub(crate) fn complain(error: &dyn Error) {
    let _ = writeln!(io::stderr().lock(), "storefront: {error}");
}
