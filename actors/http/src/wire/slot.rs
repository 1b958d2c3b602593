use std::{
    cell::{Cell, RefCell, RefMut},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use tokio::{io::ReadBuf, time::Instant};

use super::{
    guard::Guard,
    permits::Permit,
    record::{Lender, Record},
    socket::Socket,
    wires::Wires,
};

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
    /// It knows the slot while it is idle, and so while awc has the stream: the circle ends with the stream.
    home: Rc<dyn Home>,
}

/// The thread that a connection belongs to.
pub(super) trait Home {
    /// What it shares with the service's other threads.
    fn wires(&self) -> &Wires;

    /// A connection was made.
    fn opened(self: Rc<Self>);

    /// A connection was closed.
    fn closed(&self);

    /// A connection became idle.
    fn keep(&self, slot: Rc<Slot>);

    /// A connection is no longer idle.
    fn forget(&self, slot: &Rc<Slot>);
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
    home: Rc<dyn Home>,
    /// Goes back after the socket is closed.
    _permit: Permit,
}

impl Slot {
    /// A connection that is lent to the exchange inside which this is called; `reused` if it may have ended unseen, as
    /// one that has served before.
    pub(super) fn lent(open: Open, reused: bool) -> Rc<Self> {
        let slot = Rc::new(Self {
            opened: open.opened,
            home: open.home.clone(),
            open: RefCell::new(Some(open)),
            // As if the last answer had just been read.
            phase: RefCell::new(Phase::Lent(Lent { to: None, answered: reused })),
            guard: RefCell::default(),
            epoch: Cell::new(0),
            watched: Cell::new(false),
        });
        slot.lend(Record::current());
        slot
    }

    /// The thread whose connection it is.
    pub(super) fn home(&self) -> &dyn Home {
        &*self.home
    }

    pub(super) fn guard(&self) -> RefMut<'_, Guard> {
        self.guard.borrow_mut()
    }

    /// What it is doing, in words.
    pub(super) fn doing(&self) -> &'static str {
        match *self.phase.borrow() {
            Phase::Lent(_) => "in use",
            Phase::Idle(_) => "idle",
            Phase::Gone => "closed",
        }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Since when the connection has been idle, if it is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match *self.phase.borrow() {
            Phase::Idle(since) => Some(since),
            Phase::Lent(_) | Phase::Gone => None,
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
                self.home.forget(self);
                true
            }
            Phase::Lent(lent) => lent.answered,
            Phase::Gone => {
                self.phase.replace(Phase::Gone);
                return;
            }
        };
        if reused {
            self.home.wires().stats().reused.increment();
        }
        if let Some(record) = record {
            record.bind(self.clone(), reused);
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

    /// Whether it is from before the last time that idle ones were declared dead.
    fn is_distrusted(&self) -> bool {
        self.epoch.get() != self.home.wires().epoch()
    }

    /// awc is about to read; from an idle connection, that is its look whether the connection is still alive.
    pub(super) fn reading(self: &Rc<Self>) {
        if self.idle_since().is_none() {
            return;
        }
        self.lend(Record::current());
        let spent = self.open.borrow().as_ref().is_some_and(|open| open.socket.is_spent());
        if spent {
            self.home.wires().stats().closed_by_server.increment();
            self.close();
        } else if self.is_distrusted() {
            self.home.wires().stats().closed_distrusted.increment();
            self.close();
        }
    }

    /// awc is about to write: after an answer, that is the next request, whose exchange need not be the last one's.
    pub(super) fn writing(self: &Rc<Self>) {
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

    pub(super) fn note(&self, answered: bool) {
        if let Phase::Lent(lent) = &mut *self.phase.borrow_mut() {
            lent.answered = answered;
            if let Some(record) = lent.to.as_ref().and_then(Weak::upgrade) {
                if answered { record.note_answered() } else { record.note_sent() }
            }
        }
    }

    /// awc has read to the end, or met an error.
    pub(super) fn note_ended(&self) {
        if let Phase::Lent(lent) = &*self.phase.borrow()
            && let Some(record) = lent.to.as_ref().and_then(Weak::upgrade)
        {
            record.note_ended();
        }
    }

    pub(super) fn poll<T>(
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

impl Lender for Slot {
    /// `Lent => Idle`: the exchange has ended. If awc did not drop the connection with it, it is in awc's pool.
    fn settle(self: Rc<Self>, record: &Rc<Record>) {
        let settled = self.phase.borrow().is_answered_to(record);
        if settled {
            self.phase.replace(Phase::Idle(Instant::now()));
            self.epoch.set(self.home.wires().epoch());
            self.home.keep(Rc::clone(&self));
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

impl Open {
    pub(super) fn new(socket: Socket, permit: Permit, home: Rc<dyn Home>) -> Self {
        home.clone().opened();
        Self { socket, opened: Instant::now(), home, _permit: permit }
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
        if let Socket::Tls(_) = &self.socket {
            let _ = Pin::new(&mut self.socket).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
        self.home.closed();
    }
}
