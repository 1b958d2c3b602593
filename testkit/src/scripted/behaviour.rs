use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use seawall::Failure;

/// What a [`Scripted`](super::Scripted) downstream does. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Behaviour(Arc<Inner>);

struct Inner {
    react: RwLock<Box<React>>,
    open: RwLock<Box<Open>>,
    check: RwLock<Box<Check>>,
    opened: AtomicU64,
    closed: AtomicU64,
    close_hangs: AtomicBool,
    attempts: AtomicU64,
    finished: AtomicU64,
}

type React = dyn Fn(&Asked) -> Reaction + Send + Sync;
type Open = dyn Fn(u64) -> Opening + Send + Sync;
type Check = dyn Fn() -> Result<(), Failure> + Send + Sync;

/// What the downstream was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The call's name.
    pub call: &'static str,
    /// Its argument.
    pub id: u64,
    /// 1 for the first try of a call, 2 for its first retry.
    pub number: u32,
    /// Attempts so far, over all calls, this one included.
    pub serial: u64,
    /// Which of its endpoints, by its place in the settings; 0 where it has one.
    pub endpoint: usize,
}

/// How the downstream reacts to an attempt.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// It replies.
    Reply,
    /// It fails.
    Fail(Failure),
    /// The attempt's code panics.
    Panic,
    /// It never answers.
    Hang,
    /// The code blocks its thread for this long, by the real clock.
    Block(Duration),
    /// The attempt's code panics as it ends, when what it holds is dropped.
    PanicOnDrop,
    /// It reacts, but not at once.
    After(Duration, Box<Reaction>),
}

impl Reaction {
    /// The same reaction, `delay` later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// How opening a pool goes.
#[derive(Clone, Debug)]
pub enum Opening {
    /// Well.
    Succeeds,
    /// It fails.
    Fails,
    /// The code panics.
    Panics,
    /// It never ends.
    Hangs,
}

impl Behaviour {
    /// A script whose downstream opens well, and reacts to attempts by `react`.
    pub fn new(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            react: RwLock::new(Box::new(react)),
            open: RwLock::new(Box::new(|_| Opening::Succeeds)),
            check: RwLock::new(Box::new(|| Ok(()))),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            close_hangs: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }))
    }

    /// Reacts by `react` from now on.
    pub fn react(&self, react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) {
        *self.0.react.write() = Box::new(react);
    }

    /// Opens by `open` from now on; it is told how often pools were opened before.
    pub fn open(&self, open: impl Fn(u64) -> Opening + Send + Sync + 'static) {
        *self.0.open.write() = Box::new(open);
    }

    /// Answers health checks by `check` from now on.
    pub fn check(&self, check: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) {
        *self.0.check.write() = Box::new(check);
    }

    /// How often a pool was opened, or tried to be.
    pub fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::SeqCst)
    }

    /// Whether closing a pool never ends, from now on.
    pub fn hang_on_close(&self, hangs: bool) {
        self.0.close_hangs.store(hangs, Ordering::SeqCst);
    }

    /// How often a pool was closed.
    pub fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Attempts that reached the downstream.
    pub fn attempts(&self) -> u64 {
        self.0.attempts.load(Ordering::SeqCst)
    }

    /// Attempts that were worked on to their end.
    pub fn finished(&self) -> u64 {
        self.0.finished.load(Ordering::SeqCst)
    }

    pub(super) fn opening(&self) -> Opening {
        let before = self.0.opened.fetch_add(1, Ordering::SeqCst);
        (self.0.open.read())(before)
    }

    pub(super) async fn closing(&self) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
        if self.0.close_hangs.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }

    pub(super) fn checking(&self) -> Result<(), Failure> {
        (self.0.check.read())()
    }

    pub(super) fn reaction(
        &self,
        call: &'static str,
        id: u64,
        number: u32,
        endpoint: usize,
    ) -> (Asked, Reaction) {
        let serial = self.0.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        let asked = Asked { call, id, number, serial, endpoint };
        (asked, (self.0.react.read())(&asked))
    }

    pub(super) fn finish(&self) {
        self.0.finished.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("attempts", &self.attempts())
            .field("opened", &self.opened())
            .finish()
    }
}
