use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use awc::error::SendRequestError;
use seawall::{call::Attempt, downstream::Stage};
use tokio::time::Instant;

use crate::{
    place::Place,
    wire::{Answer, Asking, Exchange, Sending},
};

/// A request, watched until its answer begins: tells the attempt how far it is, and learns from one that hangs.
///
/// A host that vanishes leaves its idle connections looking alive, and each would cost a call its time. So a request
/// that ran out of time over a connection used before, with no byte of an answer, makes all that are idle untrusted;
/// unless the endpoint has begun to answer this thread since, for then it is only slow.
pub(crate) struct Watch<'a> {
    place: &'a Place,
    exchange: &'a Exchange,
    attempt: &'a Attempt,
    /// How far `answers` was when it began. A count and not a time: with times, each request read the clock three times or more.
    answers: u64,
    asking: Asking,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        place: &'a Place,
        exchange: &'a Exchange,
        attempt: &'a Attempt,
        request: Sending,
    ) -> Self {
        Self { place, exchange, attempt, answers: place.answers.get(), asking: exchange.send(request) }
    }

    fn note(&self) {
        if self.exchange.sent() {
            self.attempt.mark_sent();
            self.attempt.enter(Stage::Attempt);
        } else if self.exchange.connecting() {
            self.attempt.enter(Stage::Connect);
        } else {
            self.attempt.enter(Stage::Pool);
        }
        if self.exchange.answered() {
            self.place.answers.set(self.place.answers.get().wrapping_add(1));
        }
    }

    fn has_hung(&self) -> bool {
        self.exchange.looks_stale()
            && self.exchange.sent()
            && self.place.answers.get() == self.answers
            && Instant::now() >= self.attempt.deadline()
    }
}

impl Future for Watch<'_> {
    type Output = Result<Answer, SendRequestError>;

    /// A byte leaves within a poll, and is noted before the poll returns: on its own thread nobody can give the attempt
    /// up in between.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.asking).poll(cx);
        self.note();
        polled
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.has_hung() {
            self.place.wires().distrust_idle();
        }
    }
}
