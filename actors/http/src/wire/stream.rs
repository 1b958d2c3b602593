use std::{
    cell::{Cell, RefCell},
    fmt, io,
    mem::MaybeUninit,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use actix_rt::net::{ActixStream, Ready};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;

use super::{exchange::Record, guard::Guard, permits::Permit, shard::Shard};

/// A connection as awc sees it. The socket itself lies in a slot that the thread's reaper can empty: awc, which looks
/// at a pooled connection before it uses it, then finds it at its end and lets go of it.
pub(crate) struct WireStream(Rc<Slot>);

/// The socket of one connection, and what is known of its use.
pub(super) struct Slot {
    open: RefCell<Option<Open>>,
    phase: RefCell<Phase>,
    guard: RefCell<Guard>,
    opened: Instant,
    /// The service's epoch when the last answer came.
    epoch: Cell<u64>,
    /// Whether the reaper hears of it when an idle connection ends.
    watched: Cell<bool>,
    /// The shard knows the slot while it is idle, and so while awc has the stream: the circle ends with the stream.
    shard: Rc<Shard>,
}

/// What a connection is doing, as far as can be known without reading HTTP:
///
/// - `Lent => Idle` when the exchange that used it ends, its request has had an answer, and awc has it in its pool;
/// - `Idle => Lent` when awc touches it again, at the latest by looking whether it is still alive;
/// - `Lent, Idle => Gone` when awc drops it, or the reaper takes the socket (only from `Idle`).
enum Phase {
    Lent(Lent),
    Idle(Instant),
    Gone,
}

struct Lent {
    /// Whose; `None` where awc was polled outside any exchange, and the connection therefore is never idle.
    to: Option<Weak<Record>>,
    /// Whether the last byte that passed was the server's: if not, a request waits for its answer.
    answered: bool,
}

/// An open socket and its permit: they go together, and wherever they end they are counted.
pub(super) struct Open {
    socket: Socket,
    opened: Instant,
    shard: Rc<Shard>,
    /// Goes back after the socket is closed.
    _permit: Permit,
}

pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl WireStream {
    /// A new connection, lent to the exchange inside which this is called.
    pub(super) fn new(socket: Socket, permit: Permit, shard: &Rc<Shard>) -> Self {
        Self::lent(Open::new(socket, permit, shard), false)
    }

    /// A connection that another request of this thread has done with, or that was made before any asked for it.
    pub(super) fn passed_on(open: Open) -> Self {
        Self::lent(open, true)
    }

    fn lent(open: Open, reused: bool) -> Self {
        let slot = Rc::new(Slot {
            opened: open.opened,
            shard: open.shard.clone(),
            open: RefCell::new(Some(open)),
            // As if the last answer had just been read.
            phase: RefCell::new(Phase::Lent(Lent { to: None, answered: reused })),
            guard: RefCell::default(),
            epoch: Cell::new(0),
            watched: Cell::new(false),
        });
        slot.lend(Record::current());
        Self(slot)
    }
}

impl Slot {
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Since when the connection has been idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match *self.phase.borrow() {
            Phase::Idle(since) => Some(since),
            Phase::Lent(_) | Phase::Gone => None,
        }
    }

    /// `Lent => Idle`: the exchange has ended. If awc did not drop the connection with it, it is in awc's pool.
    pub(super) fn settle(self: &Rc<Self>, record: &Rc<Record>) {
        let settled = self.phase.borrow().is_answered_to(record);
        if settled {
            self.phase.replace(Phase::Idle(Instant::now()));
            self.epoch.set(self.shard.wires().epoch());
            self.shard.keep(self.clone());
        }
    }

    /// `Idle => Lent`, or from one exchange to the next that awc serves before the first has been dropped.
    fn lend(self: &Rc<Self>, record: Option<Rc<Record>>) {
        let to = record.as_ref().map(Rc::downgrade);
        let before = self.phase.replace(Phase::Lent(Lent { to, answered: false }));
        self.watched.set(false);
        self.guard.replace(Guard::Fresh);
        let reused = match before {
            Phase::Idle(_) => {
                self.shard.forget(self);
                true
            }
            Phase::Lent(lent) => lent.answered,
            Phase::Gone => {
                self.phase.replace(Phase::Gone);
                return;
            }
        };
        if reused {
            self.shard.stats().reused.increment();
        }
        if let Some(record) = record {
            record.bind(self, reused);
        }
    }

    /// Takes the socket away, from awc too, and gives its permit back.
    pub(super) fn close(&self) {
        drop(self.take());
    }

    /// Takes the socket away, from awc too, for another request.
    pub(super) fn take(&self) -> Option<Open> {
        self.phase.replace(Phase::Gone);
        self.open.take()
    }

    /// Whether the reaper hears of it when this idle connection ends.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.get()
    }

    /// Whether an idle connection has ended, or received what nobody asked for; if not, the caller is woken when it
    /// does. Reads through TLS, whose own messages (a session ticket, say) are neither.
    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.watched.set(true);
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        self.poll((), |socket| socket.poll_read(cx, &mut byte)).map(|_| ())
    }

    /// awc is about to read; from an idle connection, that is its look whether the connection is still alive.
    fn reading(self: &Rc<Self>) {
        if self.idle_since().is_none() {
            return;
        }
        self.lend(Record::current());
        let spent = self.open.borrow().as_ref().is_some_and(|open| open.socket.is_spent());
        if spent {
            self.shard.stats().closed_by_server.increment();
            self.close();
        } else if self.shard.distrusts(self) {
            self.shard.stats().closed_distrusted.increment();
            self.close();
        }
    }

    /// awc is about to write: after an answer, that is the next request, whose exchange need not be the last one's.
    fn writing(self: &Rc<Self>) {
        let current = match &*self.phase.borrow() {
            Phase::Idle(_) => Record::current(),
            Phase::Lent(lent) if lent.answered || lent.to.is_none() => match Record::current() {
                Some(current) if !lent.is_to(&current) => Some(current),
                _ => return,
            },
            Phase::Lent(_) | Phase::Gone => return,
        };
        self.lend(current);
    }

    fn note(&self, answered: bool) {
        if let Phase::Lent(lent) = &mut *self.phase.borrow_mut() {
            lent.answered = answered;
            if let Some(record) = lent.to.as_ref().and_then(Weak::upgrade) {
                if answered { record.note_answered() } else { record.note_sent() }
            }
        }
    }

    /// awc has read to the end, or met an error.
    fn note_ended(&self) {
        if let Phase::Lent(lent) = &*self.phase.borrow()
            && let Some(record) = lent.to.as_ref().and_then(Weak::upgrade)
        {
            record.note_ended();
        }
    }

    fn poll<T>(
        &self,
        gone: T,
        poll: impl FnOnce(Pin<&mut Socket>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.open.borrow_mut() {
            Some(open) => poll(Pin::new(&mut open.socket)),
            None => Poll::Ready(Ok(gone)),
        }
    }
}

impl Phase {
    fn is_answered_to(&self, record: &Rc<Record>) -> bool {
        matches!(self, Self::Lent(lent) if lent.answered && lent.is_to(record))
    }
}

impl Lent {
    fn is_to(&self, record: &Rc<Record>) -> bool {
        self.to.as_ref().is_some_and(|to| std::ptr::eq(to.as_ptr(), Rc::as_ptr(record)))
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        if self.0.idle_since().is_some() {
            self.0.shard.forget(&self.0);
        }
        self.0.close();
    }
}

impl fmt::Debug for WireStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0.phase.borrow() {
            Phase::Lent(_) => "WireStream (in use)",
            Phase::Idle(_) => "WireStream (idle)",
            Phase::Gone => "WireStream (closed)",
        })
    }
}

impl AsyncRead for WireStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.reading();
        let limit = self.0.shard.wires().settings().max_header;
        self.0.guard.borrow_mut().poll_read(buf, limit, |buf| {
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
        let polled = self.0.poll(0, |socket| match socket.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Socket::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        });
        if matches!(polled, Poll::Ready(Ok(written)) if written > 0) {
            self.0.note(false);
            self.0.guard.borrow_mut().expect();
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll((), |socket| match socket.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_flush(cx),
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll((), |socket| match socket.get_mut() {
            Socket::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        })
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

impl Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }

    /// Asks the system whether the server has closed the connection, or sent what nobody asked for. tokio knows only
    /// what the last turn of its reactor saw, which on a busy thread is old enough to send a request into a closed
    /// connection, or to take an answer that nobody asked for as one's own. One system call for each reuse. What waits
    /// to be decrypted may be of TLS itself, and is not judged.
    fn is_spent(&self) -> bool {
        match SockRef::from(self.tcp()).peek(&mut [MaybeUninit::uninit()]) {
            Ok(waiting) => waiting == 0 || matches!(self, Self::Plain(_)),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl Open {
    pub(super) fn new(socket: Socket, permit: Permit, shard: &Rc<Shard>) -> Self {
        shard.opened();
        Self { socket, opened: Instant::now(), shard: shard.clone(), _permit: permit }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether it has ended while nobody used it, or received what nobody asked for; if not, the caller is woken when it
    /// does.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        Pin::new(&mut self.socket).poll_read(cx, &mut byte).map(|_| ())
    }

    /// Whether a connection that is passed on can take no request: what awc asks of those in its pool.
    pub(super) fn is_spent(&mut self) -> bool {
        self.socket.is_spent() || self.poll_ended(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

impl Drop for Open {
    /// Tells a TLS server that this is the end and no truncation, if the socket takes it at once; nobody waits for it.
    fn drop(&mut self) {
        if let Socket::Tls(tls) = &mut self.socket {
            let _ = Pin::new(tls).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
        self.shard.closed();
    }
}
