use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use crate::policy::blame::{Blame, Reached};

/// A failed attempt, as its kind classifies it: the one place where a kind speaks to the policies.
///
/// It says whose fault it was ([`Blame`]), whether the request may have [`Reached`] the other side, and how long that
/// side asked to be left alone. The error itself is the source. Cloning is cheap.
#[derive(Clone)]
pub struct Failure(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    blame: Blame,
    reached: Reached,
    symptom: Symptom,
    code: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    message: Cow<'static, str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a failure looked like from here: the words of `retry.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Symptom {
    /// No connection could be made.
    Connect,
    /// A connection broke.
    Reset,
    /// Time ran out at this stage.
    Timeout(Stage),
    /// The downstream asked for less.
    Overload,
    /// An answer came and says that it failed, or cannot be understood.
    Response,
    /// The attempt's code panicked.
    Panic,
    /// Anything else.
    Other,
}

impl Symptom {
    /// The word for it in settings, metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout(_) => "timeout",
            Self::Overload => "overload",
            Self::Response => "response",
            Self::Panic => "panic",
            Self::Other => "other",
        }
    }
}

/// Where a call was when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waiting for the service's pool to be opened.
    Open,
    /// Waiting in the bulkhead's queue.
    Queue,
    /// Waiting for a connection of the pool.
    Pool,
    /// Making a connection.
    Connect,
    /// Waiting for the answer.
    Attempt,
    /// Reading the answer's body.
    Body,
    /// Waiting before a retry.
    Backoff,
    /// Waiting for another caller's load of the same key.
    Coalesce,
    /// In the caller's fallback.
    Fallback,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "waiting for the pool to open",
            Self::Queue => "waiting in the queue",
            Self::Pool => "waiting for a connection of the pool",
            Self::Connect => "connecting",
            Self::Attempt => "waiting for the answer",
            Self::Body => "reading the answer's body",
            Self::Backoff => "waiting to retry",
            Self::Coalesce => "waiting for another caller's load of the same key",
            Self::Fallback => "in the fallback",
        })
    }
}

impl Failure {
    /// A failure of this blame; nothing is known of whether the request got there.
    pub fn new(blame: Blame, message: impl Into<Cow<'static, str>>) -> Self {
        let symptom = if blame == Blame::Overload { Symptom::Overload } else { Symptom::Other };
        Self(Arc::new(Inner {
            blame,
            reached: Reached::Maybe,
            symptom,
            code: None,
            retry_after: None,
            message: message.into(),
            source: None,
        }))
    }

    /// Time ran out at `stage`. Before a request is sent it cannot have got there.
    pub fn timeout(stage: Stage) -> Self {
        let (blame, reached) = match stage {
            Stage::Attempt | Stage::Body => (Blame::Downstream, Reached::Maybe),
            Stage::Connect => (Blame::Downstream, Reached::No),
            _ => (Blame::Local, Reached::No),
        };
        Self::new(blame, format!("timed out {stage}")).symptom(Symptom::Timeout(stage)).reached(reached)
    }

    /// Code that the call runs (`what`: its attempt, its key) panicked, which says nothing about the downstream.
    pub fn panicked(what: &str, message: &str) -> Self {
        Self::new(Blame::Local, format!("{what} panicked: {message}")).symptom(Symptom::Panic)
    }

    /// Whether the request may have reached the other side.
    #[must_use]
    pub fn reached(self, reached: Reached) -> Self {
        self.with(|inner| inner.reached = reached)
    }

    /// What it looked like.
    #[must_use]
    pub fn symptom(self, symptom: Symptom) -> Self {
        self.with(|inner| inner.symptom = symptom)
    }

    /// The kind's own word for it, from a closed set: a status (`503`), an SQLSTATE (`53300`).
    #[must_use]
    pub fn code(self, code: impl Into<Cow<'static, str>>) -> Self {
        self.with(|inner| inner.code = Some(code.into()))
    }

    /// How long the downstream asked to be left alone.
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        self.with(|inner| inner.retry_after = Some(retry_after))
    }

    /// The error behind it.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.with(|inner| inner.source = Some(Arc::from(source.into())))
    }

    /// Lays the blame anew: a call's judgement or the settings' `classify` know better than the kind.
    #[must_use]
    pub fn blamed_on(self, blame: Blame) -> Self {
        self.with(|inner| {
            inner.blame = blame;
            if blame == Blame::Overload {
                inner.symptom = Symptom::Overload;
            }
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Whose fault it was.
    pub fn blame(&self) -> Blame {
        self.0.blame
    }

    /// Whether the request may have reached the other side.
    pub fn has_reached(&self) -> Reached {
        self.0.reached
    }

    /// What it looked like.
    pub fn looked_like(&self) -> Symptom {
        self.0.symptom
    }

    /// The kind's own word for it.
    pub fn get_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// How long the downstream asked to be left alone.
    pub fn asked_retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { blame, reached, symptom, code, retry_after, message, source } = &*self.0;
        f.debug_struct("Failure")
            .field("message", message)
            .field("blame", blame)
            .field("reached", reached)
            .field("symptom", symptom)
            .field("code", code)
            .field("retry_after", retry_after)
            .field("source", source)
            .finish()
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
