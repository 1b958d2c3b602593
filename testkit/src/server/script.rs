use std::time::Duration;

use bytes::Bytes;

use super::{Reply, Request};
use crate::Gate;

/// What the server does on a connection, step by step.
///
/// A script that ends without [`close`](Self::close), [`hang_up`](Self::hang_up), [`reset`](Self::reset) or
/// [`hang`](Self::hang) leaves the connection open for the next request. A step that fails because the client has gone
/// away ends the connection.
///
/// ```
/// use seawall_testkit::Script;
///
/// // Ten bytes promised, two sent: the client must not take them for the whole.
/// let short = Script::new().write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab").close();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script(pub(super) Vec<Step>);

#[derive(Clone, Debug)]
pub(super) enum Step {
    ReadHead,
    ReadBody,
    ReadRequest,
    Write { bytes: Bytes, times: u64, slice: usize, pause: Duration },
    Wait(Duration),
    WaitFor(Gate),
    ShutdownWrite,
    Swallow,
    Hang,
    Close,
    HangUp,
    Reset,
}

impl Script {
    /// Does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the head of a request and records it, without its body.
    pub fn read_head(self) -> Self {
        self.then(Step::ReadHead)
    }

    /// Reads the body of the last head that this script read, and drops it.
    pub fn read_body(self) -> Self {
        self.then(Step::ReadBody)
    }

    /// Reads a whole request and records it.
    pub fn read_request(self) -> Self {
        self.then(Step::ReadRequest)
    }

    /// Writes bytes at once.
    pub fn write(self, bytes: impl AsRef<[u8]>) -> Self {
        self.write_repeated(bytes, 1)
    }

    /// Writes the same bytes so many times over, without holding them all: for floods and endless bodies.
    pub fn write_repeated(self, bytes: impl AsRef<[u8]>, times: u64) -> Self {
        let bytes = Bytes::copy_from_slice(bytes.as_ref());
        self.then(Step::Write { bytes, times, slice: usize::MAX, pause: Duration::ZERO })
    }

    /// Writes bytes in pieces of `slice` bytes, `pause` after each; with none, each is still a segment of its own.
    ///
    /// # Panics
    /// If `slice` is 0.
    pub fn write_sliced(self, bytes: impl AsRef<[u8]>, slice: usize, pause: Duration) -> Self {
        assert!(slice > 0, "a slice holds at least one byte");
        self.then(Step::Write { bytes: Bytes::copy_from_slice(bytes.as_ref()), times: 1, slice, pause })
    }

    /// Waits so long, in real time.
    pub fn wait(self, time: Duration) -> Self {
        self.then(Step::Wait(time))
    }

    /// Waits until the test opens the gate.
    pub fn wait_for(self, gate: &Gate) -> Self {
        self.then(Step::WaitFor(gate.clone()))
    }

    /// Ends the writing side (FIN, after TLS's own goodbye) and goes on: a half-closed connection.
    pub fn shutdown_write(self) -> Self {
        self.then(Step::ShutdownWrite)
    }

    /// Reads and drops whatever comes until the client goes away, so that the test sees it go.
    pub fn swallow(self) -> Self {
        self.then(Step::Swallow)
    }

    /// Keeps the connection open until the server is dropped and reads nothing: a frozen process.
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    /// Closes politely: TLS's goodbye, then FIN.
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Closes the socket as a killed process would: over TLS, without the goodbye.
    pub fn hang_up(self) -> Self {
        self.then(Step::HangUp)
    }

    /// Closes with a reset (RST).
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Goes on with another script.
    ///
    /// ```
    /// use seawall_testkit::{Gate, IntoScript, Reply, Script, TestServer};
    ///
    /// let gate = Gate::shut();
    /// let held = gate.clone();
    /// let server = TestServer::start(move |request| {
    ///     Script::new().wait_for(&held).and(Reply::text("late").into_script(request))
    /// });
    /// ```
    pub fn and(mut self, next: Script) -> Self {
        self.0.extend(next.0);
        self
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

/// What a handler may answer with.
pub trait IntoScript {
    /// The steps that answer this request.
    fn into_script(self, request: &Request) -> Script;
}

impl IntoScript for Script {
    fn into_script(self, _: &Request) -> Script {
        self
    }
}

impl IntoScript for Reply {
    fn into_script(self, request: &Request) -> Script {
        self.script_for(request)
    }
}
