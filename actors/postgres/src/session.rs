//! A connection for the time of one attempt, as calls see it.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::TryStreamExt;
use seawall::{
    call::Attempt,
    downstream::{Blame, Failure, Reached},
    units::ByteSize,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_postgres::{Row, types::ToSql};

use crate::{
    failure,
    params::Bound,
    pool::{Lease, Prepared, commits},
    row,
    settings::{PostgresSettings, StatementTimeout},
};

/// What a call does to the data, and so where it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It changes nothing: a replica will do.
    ReadOnly,
    /// It may change something.
    ReadWrite,
}

/// A connection of the pool, for one attempt: statements are prepared once a connection, their parameters go beside them,
/// and rows come back as any type that serde can read.
///
/// However the attempt ends, the next one finds a connection as new: what is still under way is cancelled at the server, an
/// open transaction is rolled back, parameters, roles, locks and temporary tables are taken back.
pub struct Session {
    pub(crate) lease: Lease,
    deadline: Instant,
    access: Access,
    limit: ByteSize,
    timeouts: bool,
    /// Whether a statement outside of a transaction has succeeded, or may have been committed in part.
    kept: AtomicBool,
    /// Whether the transaction is over that the session was for.
    ended: AtomicBool,
    /// How often the connection had committed when the session began.
    commits: u64,
}

/// Time on top of what a call has left, after which the server ends its statement by itself: our own end comes first.
const SLACK: Duration = Duration::from_millis(250);

/// What a `statement_timeout` that is in force may be of what is left, before it is set anew: a round trip's worth of work
/// for the server is saved where calls have about the same time.
const STALE: u32 = 4;

/// Why a statement that was prepared cannot be used any more: its tables have changed, or somebody dropped it.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|said| match said.code().code() {
        "0A000" => said.routine() == Some("RevalidateCachedQuery"),
        "26000" => true,
        _ => false,
    })
}

impl Session {
    pub(crate) fn new(lease: Lease, attempt: &Attempt, access: Access, settings: &PostgresSettings) -> Self {
        Self {
            kept: false.into(),
            ended: false.into(),
            commits: lease.facts().commits(),
            lease,
            deadline: attempt.deadline(),
            access,
            limit: settings.table.max_result,
            timeouts: settings.table.statement_timeout == StatementTimeout::Deadline,
        }
    }

    /// All rows that a statement gives.
    ///
    /// # Errors
    /// As the table of this crate's documentation says; and if a row is no `T`.
    pub async fn query<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>, Failure> {
        let (rows, _) = self.rows(sql, params).await?;
        rows.iter().map(row::read).collect()
    }

    /// The one row that a statement gives.
    ///
    /// # Errors
    /// As [`query`](Self::query); and if there is none, or another.
    pub async fn query_one<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T, Failure> {
        self.query_opt(sql, params)
            .await?
            .ok_or_else(|| failure::row("there is no row, and one is asked for".into()))
    }

    /// The row that a statement gives, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query); and if there are several.
    pub async fn query_opt<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>, Failure> {
        let (rows, _) = self.rows(sql, params).await?;
        match rows.as_slice() {
            [] => Ok(None),
            [one] => row::read(one).map(Some),
            several => Err(failure::row(format!("there are {} rows, and one is asked for", several.len()))),
        }
    }

    /// The number of rows that a statement changed.
    ///
    /// # Errors
    /// As the table of this crate's documentation says.
    pub async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Failure> {
        self.rows(sql, params).await.map(|(_, changed)| changed)
    }

    /// Runs statements without parameters, one after the other, in one message. The session is reset after the attempt.
    ///
    /// # Errors
    /// As the table of this crate's documentation says, of the first that fails; those after it are not run.
    pub async fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.lease.doubtful.store(true, Ordering::Relaxed);
        if crate::pool::leaves(sql) {
            self.lease.facts().leave(crate::wire::Left::Session);
        }
        self.limit_time().await?;
        let request = self.lease.begin();
        match self.lease.client().batch_execute(sql).await {
            Ok(()) => {
                request.done();
                self.note(sql, false);
                Ok(())
            }
            Err(error) => {
                request.failed(&error);
                self.note(sql, true);
                Err(self.failed(error))
            }
        }
    }

    /// The rows, and how many were changed.
    async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(Vec<Row>, u64), Failure> {
        let mut again = true;
        loop {
            let prepared = self.prepare(sql).await?;
            self.open()?;
            match self.run(&prepared, params).await? {
                Ok(ended) => {
                    self.note(sql, false);
                    return Ok(ended);
                }
                // Nothing of it was run. Within a transaction, which has failed by it, there is no second time.
                Err(error) if again && is_outdated(&error) => {
                    again = false;
                    self.lease.outdated(sql, &error);
                    if self.lease.facts().in_transaction() {
                        return Err(self.failed(error));
                    }
                }
                Err(error) => {
                    self.note(sql, true);
                    return Err(self.failed(error));
                }
            }
        }
    }

    async fn prepare(&self, sql: &str) -> Result<Prepared, Failure> {
        if let Some(known) = self.lease.known(sql) {
            return Ok(known);
        }
        let request = self.lease.begin();
        match self.lease.client().prepare(sql).await {
            Ok(statement) => {
                request.done();
                Ok(self.lease.keep(sql, statement))
            }
            Err(error) => {
                request.failed(&error);
                Err(self.failed(error))
            }
        }
    }

    async fn run(
        &self,
        prepared: &Prepared,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Result<(Vec<Row>, u64), tokio_postgres::Error>, Failure> {
        if prepared.leaves {
            self.lease.facts().leave(crate::wire::Left::Session);
        }
        // Both go out in one write, and come back in one round trip.
        let limited = self.limit_time();
        let request = self.lease.begin();
        let asked = async {
            let rows = self
                .lease
                .client()
                .query_raw(&prepared.statement, params.iter().map(|value| Bound(*value)))
                .await?;
            let mut rows = std::pin::pin!(rows);
            let (mut read, mut bytes) = (Vec::new(), 0_u64);
            while let Some(row) = rows.try_next().await? {
                bytes += row.raw_size_bytes() as u64;
                if bytes > self.limit.get() {
                    return Ok(None);
                }
                read.push(row);
            }
            Ok(Some((read, rows.rows_affected().unwrap_or_default())))
        };
        let (limited, ended) = futures_util::future::join(limited, asked).await;
        match ended {
            Ok(Some(ended)) => {
                request.done();
                limited?;
                Ok(Ok(ended))
            }
            // The rest of it is on its way: the request goes on, and is cancelled when the session ends.
            Ok(None) => Err(failure::too_large(self.limit)),
            Err(error) => {
                request.failed(&error);
                Ok(Err(error))
            }
        }
    }

    /// Notes what a statement of the call's has committed: with what failed after it, it is not undone.
    fn note(&self, sql: &str, failed: bool) {
        if !self.lease.facts().in_transaction() && (!failed || commits(sql)) {
            self.kept.store(true, Ordering::Relaxed);
        }
    }

    /// Whether something of this session may have been committed, by a statement of the call's own.
    pub(crate) fn has_committed(&self) -> bool {
        self.kept.load(Ordering::Relaxed) || self.lease.facts().commits() != self.commits
    }

    /// Nothing more is run by handles of its transaction.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn open(&self) -> Result<(), Failure> {
        if self.ended.load(Ordering::Acquire) { Err(failure::ended()) } else { Ok(()) }
    }

    /// Runs one command of ours, that leaves nothing.
    pub(crate) async fn command(&self, sql: &str) -> Result<(), Failure> {
        let request = self.lease.begin();
        match self.lease.client().batch_execute(sql).await {
            Ok(()) => {
                request.done();
                Ok(())
            }
            Err(error) => {
                request.failed(&error);
                Err(self.failed(error))
            }
        }
    }

    /// Commits. What the server then says is so; where it says nothing, nobody knows.
    pub(crate) async fn commit(&self) -> Result<(), Failure> {
        match self.command("COMMIT").await {
            // So the server answers to the commit of a transaction that has failed.
            Ok(()) if self.lease.facts().was_rolled_back() => Err(failure::request(
                "the transaction had failed by one of its statements, and was rolled back; give that one's error".into(),
            )),
            Ok(()) => Ok(()),
            Err(failure) if failure.has_reached() == Reached::Maybe => Err(failure::commit_unknown(failure)),
            Err(failure) => Err(failure),
        }
    }

    /// Tells the server how long it may take, unless what it was told last is near enough.
    pub(crate) async fn limit_time(&self) -> Result<(), Failure> {
        // Within a transaction it would end with that, or be undone by it.
        if !self.timeouts || self.lease.facts().in_transaction() {
            return Ok(());
        }
        let left = self.deadline.saturating_duration_since(Instant::now()) + SLACK;
        let Some(limit) = self.lease.limit(left, STALE) else { return Ok(()) };
        let request = self.lease.begin();
        // No `SET`: the server would name that as what the call has done.
        let set = format!("SELECT set_config('statement_timeout', '{}', false)", limit.as_millis());
        let said = self.lease.client().batch_execute(&set).await;
        request.done();
        said.map_err(|error| {
            self.lease.forget_limit();
            self.failed(error)
        })
    }

    pub(crate) fn failed(&self, error: tokio_postgres::Error) -> Failure {
        let failure = failure::of_request(error, self.access == Access::ReadWrite);
        // It moved, or is going away: what is idle is no better.
        if failure.blame() == Blame::Topology {
            self.lease.condemn(failure.get_code() == Some("25006"));
        }
        if failure.has_reached() == Reached::No && self.has_committed() {
            return failure.reached(Reached::Maybe);
        }
        failure
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("access", &self.access).finish_non_exhaustive()
    }
}
