use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::stream::Slot;

tokio::task_local! {
    static CURRENT: Rc<Record>;
}

/// One request and its answer, as seen from the connection.
///
/// awc does not say which connection a request went over, nor whether a byte of it left. But it polls the connection in
/// the caller's own task: so the request is polled inside [`Exchange::run`], and the streams that it touches note here
/// what they see.
///
/// An exchange also says for how long the connection is in use, which awc does not tell either: **keep it until the
/// answer's body has been read, or the answer dropped**. From then on, if awc still holds the connection, it holds it
/// in its pool, and the connection may be reaped. A connection without an exchange, or one whose request has had no
/// byte of an answer, never is.
pub(crate) struct Exchange(Rc<Record>);

#[derive(Default)]
pub(super) struct Record {
    sent: Cell<bool>,
    answered: Cell<bool>,
    reused: Cell<bool>,
    slot: RefCell<Option<Rc<Slot>>>,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    /// Polls a request as this exchange's.
    pub(crate) fn run<F: Future>(&self, request: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.0.clone(), request)
    }

    /// Whether any byte of the request was handed to the system: if not, the server cannot have seen it.
    pub(crate) fn sent(&self) -> bool {
        self.0.sent.get()
    }

    /// Whether any byte of an answer came.
    pub(crate) fn answered(&self) -> bool {
        self.0.answered.get()
    }

    /// Whether the connection had served a request before.
    pub(crate) fn reused(&self) -> bool {
        self.0.reused.get()
    }

    /// Whether a request that failed did so as those do that meet a server closing an idle connection: over a
    /// connection used before, with no byte of an answer. The server has most likely not acted upon it, but only a
    /// request that was not [`sent`](Self::sent) is certain not to have reached it.
    pub(crate) fn looks_stale(&self) -> bool {
        self.reused() && !self.answered()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(slot) = self.0.slot.take() {
            slot.settle(&self.0);
        }
    }
}

impl Record {
    /// The exchange inside which this is polled.
    pub(super) fn current() -> Option<Rc<Self>> {
        CURRENT.try_with(Rc::clone).ok()
    }

    /// Notes that the exchange goes over this connection from here on. A request that awc sends again counts as new.
    pub(super) fn bind(&self, slot: &Rc<Slot>, reused: bool) {
        self.reused.set(reused);
        self.answered.set(false);
        self.slot.replace(Some(slot.clone()));
    }

    pub(super) fn note_sent(&self) {
        self.sent.set(true);
    }

    pub(super) fn note_answered(&self) {
        self.answered.set(true);
    }
}
