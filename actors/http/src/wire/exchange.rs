use std::{
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_http::{Payload, ResponseHead, header::HeaderMap};
use awc::{
    error::{PayloadError, SendRequestError},
    http::StatusCode,
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{Sending, record::Record};

/// One request and its answer, as seen from the connection.
///
/// awc does not say which connection a request went over, nor whether a byte of it left. But it polls the connection in
/// the caller's own task: so the request is polled inside [`Exchange::send`], and the stream that it touches notes here
/// what it sees. An exchange is also for who gives up waiting: it still tells afterwards what was sent.
pub(crate) struct Exchange(Rc<Record>);

/// An answer whose body is still to come.
///
/// awc does not tell either when it has done with a connection. It holds it for as long as the response lives that it
/// gave out, and from then on in its pool or not at all. So the response stays in here, and with it the connection is
/// in use: only when both are dropped may it be passed on or reaped. Were that left to the caller, a response kept a
/// moment too long could be read by somebody else.
pub(crate) struct Answer {
    head: ResponseHead,
    // Dropped in this order.
    body: Payload,
    held: Option<Use>,
}

/// A request that is being sent, and waits for its answer to begin.
///
/// # Errors
/// awc's own. [`ConnectFailure::find`](super::ConnectFailure::find) tells why there was no connection.
pub(crate) struct Asking {
    // Dropped in this order.
    request: Sending,
    held: Option<Use>,
}

/// Dropped when awc holds nothing of the exchange any more, except a connection in its pool.
struct Use(Rc<Record>);

impl Exchange {
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    /// Sends a request of [`Client::send`](super::Client::send)'s; once.
    pub(crate) fn send(&self, request: Sending) -> Asking {
        Asking { request, held: Some(Use(self.0.clone())) }
    }

    /// Whether a connection is being made for the request: before, it waits for the right to one.
    pub(crate) fn connecting(&self) -> bool {
        self.0.connecting.get()
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

impl Future for Asking {
    type Output = Result<Answer, SendRequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { request, held } = &mut *self;
        let Some(record) = held.as_ref().map(|held| held.0.clone()) else { return Poll::Pending };
        record.during(|| request.as_mut().poll(cx)).map_ok(|(head, body)| Answer {
            head,
            body,
            held: held.take(),
        })
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Whether the connection has ended. A body in chunks says itself where it ends, so one that is over by this was cut
    /// short, which awc does not tell.
    pub(crate) fn connection_ended(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.0.ended.get())
    }

    /// Gives the answer up for its headers, and its connection back: to awc's pool, if its body was read to the end.
    pub(crate) fn give_up(&mut self) -> HeaderMap {
        self.body = Payload::None;
        self.held = None;
        mem::take(&mut self.head.headers)
    }

    /// The next piece of the body; `None` at its end. Has no limit of size or time of its own.
    ///
    /// # Errors
    /// awc's own.
    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes, PayloadError>> {
        self.body.next().await
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.end();
    }
}
