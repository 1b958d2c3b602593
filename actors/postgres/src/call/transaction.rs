use std::{
    fmt,
    future::Future,
    sync::{Arc, Weak},
};

use seawall::{
    Priority,
    call::{Attempt, Call, CallTraits, TagWriter},
    downstream::{Blame, Failure, Reached},
};
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use crate::{Access, Postgres, Session, failure};

/// How far a transaction is kept apart from those beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// The server's default.
    #[default]
    ReadCommitted,
    /// All of it sees the state at its first statement.
    RepeatableRead,
    /// As if transactions ran one after the other. Be ready to run again: `40001` is usual there.
    Serializable,
}

impl Isolation {
    fn begin(self, access: Access) -> &'static str {
        match (self, access) {
            (Self::ReadCommitted, Access::ReadWrite) => "BEGIN",
            (Self::RepeatableRead, Access::ReadWrite) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            (Self::Serializable, Access::ReadWrite) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            (Self::ReadCommitted, Access::ReadOnly) => "BEGIN READ ONLY",
            (Self::RepeatableRead, Access::ReadOnly) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Self::Serializable, Access::ReadOnly) => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
        }
    }
}

/// A transaction as one message: a closure that runs beside the connection.
///
/// It is committed when the closure gives `Ok`, and rolled back otherwise. A transaction that could not be serialized or was in
/// a deadlock (`40001`, `40P01`) is run again, closure and all, as the settings of `retry` have it; as is one whose
/// connection broke before it was committed, of which the server keeps nothing. Never run again is one whose commit was sent and not
/// answered: its failure is `commit_unknown`, and [`Reached::Maybe`].
///
/// The closure runs on the shard's thread: what blocks in it blocks other calls.
///
/// ```
/// use seawall_postgres::{Isolation, Transaction};
///
/// let (from, to, amount) = (1_i64, 2_i64, 50_i64);
/// let transfer = Transaction::new(Isolation::Serializable, move |tx| async move {
///     tx.execute("update accounts set balance = balance - $1 where id = $2", &[&amount, &from]).await?;
///     tx.execute("update accounts set balance = balance + $1 where id = $2", &[&amount, &to]).await
/// });
/// ```
pub struct Transaction<F> {
    isolation: Isolation,
    access: Access,
    priority: Option<Priority>,
    invalidates: Vec<String>,
    run: F,
}

impl<F> Transaction<F> {
    /// A transaction of this closure. It may be run several times.
    pub fn new<R, T>(isolation: Isolation, run: F) -> Self
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T, Failure>>,
    {
        Self { isolation, access: Access::ReadWrite, priority: None, invalidates: Vec::new(), run }
    }

    /// Says that the transaction changes nothing, which the server then sees to: a replica may answer it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }

    /// The call's own priority, in place of the settings'.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Names what the transaction changes: kept replies with this tag are not served again.
    #[must_use]
    pub fn invalidates(mut self, tag: impl fmt::Display) -> Self {
        self.invalidates.push(tag.to_string());
        self
    }
}

impl<F, R, T> Call<Postgres> for Transaction<F>
where
    F: Fn(Tx) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, Failure>> + 'static,
    T: Send + 'static,
{
    type Reply = T;
    const NAME: &'static str = "Transaction";

    /// Contention passes, and what it undid is worth another try or two.
    const SETTINGS: &'static str = "retry = { attempts = 4 }";

    fn traits(&self) -> CallTraits {
        CallTraits { idempotent: self.access == Access::ReadOnly, priority: self.priority }
    }

    fn invalidates(&self, tags: &mut TagWriter) {
        for tag in &self.invalidates {
            tags.tag(tag);
        }
    }

    // One name in settings and metrics, whatever the closure.
    fn identity() -> std::any::TypeId {
        std::any::TypeId::of::<Transaction<()>>()
    }

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<T, Failure> {
        let session = Arc::new(postgres.checkout(attempt, self.access).await?);
        // Until the commit is sent, nothing that can happen changes anything: a timeout, a caller who goes away, a
        // connection that breaks. So the attempt has not been sent until then.
        session.limit_time().await.map_err(undone)?;
        session.command(self.isolation.begin(self.access)).await.map_err(undone)?;
        // However the closure ends, and if it is given up as well.
        let open = Open(&session);
        let ended = (self.run)(Tx { session: Arc::downgrade(&session) }).await;
        drop(open);
        if !session.lease.facts().in_transaction() {
            let ended_itself = "the closure ended its transaction by a statement of its own; the call commits it, or takes it back";
            let failure = failure::request(ended_itself.into()).reached(Reached::Maybe);
            return Err(match ended {
                Ok(_) => failure,
                Err(cause) => failure.caused_by(cause),
            });
        }
        match ended {
            Ok(reply) => {
                attempt.mark_sent();
                session.commit().await.map(|()| reply)
            }
            Err(failure) => {
                // What was not said within the time that the session has is said when it is given back.
                let _ = session.command("ROLLBACK").await;
                // It may have committed, and begun another.
                Err(if session.has_committed() { failure.reached(Reached::Maybe) } else { undone(failure) })
            }
        }
    }
}

impl<F> fmt::Debug for Transaction<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("isolation", &self.isolation)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// Nothing was committed: whatever reached the server has been undone.
fn undone(failure: Failure) -> Failure {
    if failure.blame() == Blame::Caller { failure } else { failure.reached(Reached::No) }
}

/// While it is there, the closure's handles are good.
struct Open<'a>(&'a Session);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A transaction that is open, for its closure. Kept for longer it is good for nothing, and keeps no connection.
#[derive(Clone, Debug)]
pub struct Tx {
    session: Weak<Session>,
}

impl Tx {
    fn session(&self) -> Result<Arc<Session>, Failure> {
        let session = self.session.upgrade().ok_or_else(failure::ended)?;
        session.open()?;
        Ok(session)
    }

    /// All rows that a statement gives.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn query<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>, Failure> {
        self.session()?.query(sql, params).await
    }

    /// The one row that a statement gives.
    ///
    /// # Errors
    /// As [`Session::query_one`].
    pub async fn query_one<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T, Failure> {
        self.session()?.query_one(sql, params).await
    }

    /// The row that a statement gives, if there is one.
    ///
    /// # Errors
    /// As [`Session::query_opt`].
    pub async fn query_opt<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>, Failure> {
        self.session()?.query_opt(sql, params).await
    }

    /// The number of rows that a statement changed.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
        self.session()?.execute(sql, params).await
    }
}
