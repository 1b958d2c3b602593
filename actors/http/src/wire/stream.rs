use std::{
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_rt::net::{ActixStream, Ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::slot::{Open, Slot};

/// A connection as awc sees it. The socket itself lies in a slot that the thread's reaper can empty: awc, which looks
/// at a pooled connection before it uses it, then finds it at its end and lets go of it.
pub(crate) struct WireStream(Rc<Slot>);

impl WireStream {
    /// A new connection, lent to the exchange inside which this is called.
    pub(super) fn new(open: Open) -> Self {
        Self(Slot::lent(open, false))
    }

    /// A connection that another request of this thread has done with, or that was made before any asked for it.
    pub(super) fn passed_on(open: Open) -> Self {
        Self(Slot::lent(open, true))
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        if self.0.idle_since().is_some() {
            self.0.home().forget(&self.0);
        }
        self.0.close();
    }
}

impl fmt::Debug for WireStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireStream ({})", self.0.doing())
    }
}

impl AsyncRead for WireStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.reading();
        let limit = self.0.home().wires().settings().max_header;
        self.0.guard().poll_read(buf, limit, |buf| {
            let before = buf.filled().len();
            let polled = self.0.poll((), |socket| socket.poll_read(cx, buf));
            if buf.filled().len() > before {
                self.0.note(true);
            } else if polled.is_ready() && buf.remaining() > 0 {
                self.0.note_ended();
            }
            polled
        })
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.writing();
        // A socket that was taken away writes nothing, which awc reports as an error.
        let polled = self.0.poll(0, |socket| socket.poll_write(cx, buf));
        if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
            self.0.note(false);
            self.0.guard().expect();
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll((), |socket| socket.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll((), |socket| socket.poll_shutdown(cx))
    }
}

impl ActixStream for WireStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.0.poll(Ready::EMPTY, |socket| socket.tcp().poll_read_ready(cx).map_ok(|()| Ready::READABLE))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.0.poll(Ready::EMPTY, |socket| socket.tcp().poll_write_ready(cx).map_ok(|()| Ready::WRITABLE))
    }
}
