//! A connection that a call has, and what becomes of it after the call.
//!
//! deadpool puts back what is dropped, whatever state it is in. Between the call and the pool stands this: a connection
//! that a request is still under way on has it cancelled at the server and is heard of before anybody else gets it; one
//! whose session was changed is reset; and one that neither can be done for in time is closed.

use std::{
    error::Error as _,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool::managed::Object;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use tokio_postgres::{Client, Statement, types::WrongType};

use super::{Prepared, Shared, connection::Connection, manager::Manager, statements::leaves};
use crate::wire::{Facts, Left};

/// How long a connection may take to come to rest after its call, before it is closed instead.
const HEALING: Duration = Duration::from_secs(1);

pub(crate) struct Lease {
    /// `None` once it is given back.
    object: Option<Object<Manager>>,
    shared: Arc<Shared>,
    /// Requests that were begun and have not ended.
    under_way: AtomicU32,
    /// Whether it must be looked at, though no request is under way.
    pub(crate) doubtful: AtomicBool,
    always_reset: bool,
    /// When its call is given up.
    deadline: Instant,
}

impl Lease {
    pub(super) fn new(
        mut object: Object<Manager>,
        shared: &Arc<Shared>,
        always_reset: bool,
        deadline: Instant,
    ) -> Self {
        shared.counts.in_use.fetch_add(1, Relaxed);
        object.lent += 1;
        if object.lent > 1 {
            shared.counts.reused.increment();
        }
        Self {
            object: Some(object),
            shared: Arc::clone(shared),
            under_way: AtomicU32::new(0),
            doubtful: false.into(),
            always_reset,
            deadline,
        }
    }

    /// Says that a request is under way until the mark is dropped as done.
    pub(crate) fn begin(&self) -> Request<'_> {
        self.under_way.fetch_add(1, Relaxed);
        Request { lease: self, done: false }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// A statement that this connection has prepared.
    pub(crate) fn known(&self, sql: &str) -> Option<Prepared> {
        self.statements.lock().get(sql)
    }

    /// Keeps one that was prepared now.
    pub(crate) fn keep(&self, sql: &str, statement: Statement) -> Prepared {
        let prepared = Prepared { statement, leaves: leaves(sql) };
        self.statements.lock().keep(sql, &prepared);
        prepared
    }

    /// A prepared statement cannot be used any more.
    pub(crate) fn outdated(&self, sql: &str, error: &tokio_postgres::Error) {
        let mut statements = self.statements.lock();
        match error.code() {
            // Whoever dropped one has dropped all.
            Some(code) if code.code() == "26000" => statements.clear(),
            _ => statements.forget(sql),
        }
    }

    /// The `statement_timeout` to set for a statement that has so long, if the one in force is shorter, or more than so many
    /// times as long.
    pub(crate) fn limit(&self, left: Duration, stale: u32) -> Option<Duration> {
        let mut timeout = self.timeout.lock();
        if timeout.is_some_and(|now| now >= left && now <= left * stale) {
            return None;
        }
        // Half as long again, so that the next call, which has a little more time, need not set it anew.
        let limit = left + left / 2;
        *timeout = Some(limit);
        Some(limit)
    }

    /// Whether the server has the `statement_timeout` that it was told, nobody knows.
    pub(crate) fn forget_limit(&self) {
        *self.timeout.lock() = None;
    }

    /// Closes all connections to this server once they are idle: it goes away, or takes no writes any more.
    pub(crate) fn condemn(&self, read_only: bool) {
        let Some(pool) = self.object.as_ref().and_then(Object::pool) else { return };
        match read_only {
            true => pool.manager().outdate(self),
            false => pool.manager().condemn(),
        }
    }

    fn give_back(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        let busy = self.under_way.load(Relaxed) > 0;
        let traced = object.facts.in_transaction() || object.facts.left() != Left::Nothing;
        let unclear = busy || traced || self.always_reset || self.doubtful.load(Relaxed);
        if !unclear && !object.client.is_closed() {
            object.used = Instant::now();
            let server = Object::pool(&object).map(|pool| pool.manager().server);
            // Somebody on another thread has waited for the right to one.
            if server.is_some_and(|server| self.shared.is_wanted(server)) {
                drop(Object::take(object));
            }
            self.shared.counts.in_use.fetch_sub(1, Relaxed);
            return;
        }
        if busy
            && Instant::now() >= self.deadline
            && let Some(pool) = Object::pool(&object)
        {
            pool.manager().suspect();
        }
        object.quiet = false;
        let shared = Arc::clone(&self.shared);
        let always_reset = self.always_reset;
        let healing = async move {
            let healed = timeout(HEALING, heal(&object, busy, always_reset)).await;
            shared.counts.in_use.fetch_sub(1, Relaxed);
            if healed == Ok(true) {
                object.quiet = true;
                object.used = Instant::now();
            } else {
                drop(Object::take(object));
            }
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(healing)),
            // The thread ends, and the connection with it.
            Err(_) => {
                self.shared.counts.in_use.fetch_sub(1, Relaxed);
            }
        }
    }
}

/// Brings a connection to rest. `false` if it is to be closed.
async fn heal(connection: &Connection, busy: bool, always_reset: bool) -> bool {
    if connection.client.is_closed() {
        return false;
    }
    let shared = &connection.shared;
    if busy {
        // It may be what was given up.
        *connection.timeout.lock() = None;
        let Ok(_turn) = shared.cancels.acquire().await else { return false };
        let token = connection.client.cancel_token();
        if !shared.dialler.cancel(token, &connection.dialled, HEALING).await {
            return false;
        }
    }
    // Answers come in order: once this one is there, so are all before it, and what the server says of the session is up
    // to date.
    if connection.client.check_connection().await.is_err() {
        return false;
    }
    let traced = connection.facts.in_transaction() || connection.facts.left() != Left::Nothing;
    !(traced || always_reset) || connection.reset(HEALING).await
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.object.as_ref().expect("it is given back by its drop alone")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A request under way. Dropped before it is [`done`](Self::done), it was given up.
pub(crate) struct Request<'a> {
    lease: &'a Lease,
    done: bool,
}

impl Request<'_> {
    /// Its answer came, good or bad.
    pub(crate) fn done(mut self) {
        self.done = true;
    }

    /// It failed. The server's own error is an answer, and a parameter that does not fit was not sent. After anything else
    /// more may come, or be waited for, as the rows of a `COPY` are: the request is under way still.
    pub(crate) fn failed(self, error: &tokio_postgres::Error) {
        let unsent = || error.source().is_some_and(|source| source.is::<WrongType>());
        if error.as_db_error().is_some() || unsent() {
            self.done();
        }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if self.done {
            self.lease.under_way.fetch_sub(1, Relaxed);
        }
    }
}
