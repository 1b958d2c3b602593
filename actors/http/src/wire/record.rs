//! What is known of an exchange: written by the connection that it goes over, read by whoever sent it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

tokio::task_local! {
    static CURRENT: Rc<Record>;
}

/// What the connection notes of an exchange.
#[derive(Default)]
pub(super) struct Record {
    pub(super) connecting: Cell<bool>,
    pub(super) sent: Cell<bool>,
    pub(super) answered: Cell<bool>,
    pub(super) reused: Cell<bool>,
    pub(super) ended: Cell<bool>,
    lender: RefCell<Option<Rc<dyn Lender>>>,
}

/// A connection that is lent to an exchange.
pub(super) trait Lender {
    /// The exchange has ended.
    fn settle(self: Rc<Self>, record: &Rc<Record>);
}

impl Record {
    /// Polls a part of the exchange.
    pub(super) fn during<T>(self: Rc<Self>, poll: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, poll)
    }

    /// The exchange has ended: the connection, if there is one, is lent no more.
    pub(super) fn end(self: &Rc<Self>) {
        if let Some(lender) = self.lender.take() {
            lender.settle(self);
        }
    }

    /// The exchange inside which this is polled.
    pub(super) fn current() -> Option<Rc<Self>> {
        CURRENT.try_with(Rc::clone).ok()
    }

    /// Notes that the exchange goes over this connection from here on.
    pub(super) fn bind(&self, lender: Rc<dyn Lender>, reused: bool) {
        self.reused.set(reused);
        self.answered.set(false);
        self.lender.replace(Some(lender));
    }

    pub(super) fn note_connecting(&self) {
        self.connecting.set(true);
    }

    pub(super) fn note_ended(&self) {
        self.ended.set(true);
    }

    pub(super) fn note_sent(&self) {
        self.sent.set(true);
    }

    pub(super) fn note_answered(&self) {
        self.answered.set(true);
    }
}
