use std::{borrow::Cow, error::Error, fmt, pin::pin};

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use seawall::{
    call::{Attempt, Call, CallTraits, TagWriter},
    downstream::{Blame, Failure, Reached},
    units::ByteSize,
};
use tokio::sync::mpsc::Sender;

use crate::{Access, Postgres, failure};

/// `COPY .. FROM STDIN`, from a stream that is made anew for each attempt. The reply is the number of rows.
///
/// No more of the stream is read than the server takes. It is a transaction of its own, committed after its end: so what fails
/// before is undone, and is made again as the settings of `retry` have it; and no row is told as in that the commit refuses.
///
/// ```
/// use bytes::Bytes;
/// use futures_util::stream;
/// use seawall_postgres::CopyIn;
///
/// let rows = || stream::iter(["1\tann\n", "2\tbob\n"].map(|row| Ok::<_, std::io::Error>(Bytes::from(row))));
/// let call = CopyIn::new("copy users (id, name) from stdin", rows);
/// ```
pub struct CopyIn<F> {
    sql: Cow<'static, str>,
    source: F,
    most: Option<ByteSize>,
    invalidates: Vec<String>,
}

impl<F> CopyIn<F> {
    /// A call of this statement, fed by the stream that `source` makes.
    pub fn new<S, E>(sql: impl Into<Cow<'static, str>>, source: F) -> Self
    where
        F: Fn() -> S,
        S: Stream<Item = Result<Bytes, E>>,
    {
        Self { sql: sql.into(), source, most: None, invalidates: Vec::new() }
    }

    /// How much may be sent; a longer stream fails its call, and nothing of it is kept.
    #[must_use]
    pub fn at_most(mut self, size: ByteSize) -> Self {
        self.most = Some(size);
        self
    }

    /// Names what the rows change: kept replies with this tag are not served again.
    #[must_use]
    pub fn invalidates(mut self, tag: impl fmt::Display) -> Self {
        self.invalidates.push(tag.to_string());
        self
    }
}

impl<F, S, E> Call<Postgres> for CopyIn<F>
where
    F: Fn() -> S + Send + Sync + 'static,
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Reply = u64;
    const NAME: &'static str = "CopyIn";

    fn invalidates(&self, tags: &mut TagWriter) {
        for tag in &self.invalidates {
            tags.tag(tag);
        }
    }

    fn identity() -> std::any::TypeId {
        std::any::TypeId::of::<CopyIn<()>>()
    }

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<u64, Failure> {
        let session = postgres.checkout(attempt, Access::ReadWrite).await?;
        let undone = |failure: Failure| match failure.blame() {
            Blame::Caller => failure,
            _ => failure.reached(Reached::No),
        };
        let failed = |error| undone(session.failed(error));
        session.limit_time().await.map_err(undone)?;
        // By itself it would be committed after it is answered, and what the server then says would be heard by nobody.
        session.command("BEGIN").await.map_err(undone)?;
        // Given up before it is done, it is broken off, and its connection brought to rest.
        let request = session.lease.begin();
        let sink = match session.lease.client().copy_in::<_, Bytes>(&*self.sql).await {
            Ok(sink) => sink,
            Err(error) => {
                request.failed(&error);
                return Err(failed(error));
            }
        };
        let (mut sink, mut source, mut sent) = (pin!(sink), pin!((self.source)()), 0_u64);
        while let Some(chunk) = source.next().await {
            let chunk = chunk.map_err(|error| {
                failure::request("the stream of rows failed, and nothing of it is kept".into())
                    .caused_by(error)
            })?;
            sent += chunk.len() as u64;
            if let Some(most) = self.most.filter(|most| sent > most.get()) {
                return Err(failure::request(format!("the stream of rows is longer than {most}")));
            }
            if sink.send(chunk).await.is_err() {
                // The server has ended it; why, its answer says.
                break;
            }
        }
        let rows = match sink.finish().await {
            Ok(rows) => rows,
            Err(error) => {
                request.failed(&error);
                return Err(failed(error));
            }
        };
        request.done();
        attempt.mark_sent();
        session.commit().await.map(|()| rows)
    }
}

impl<F> fmt::Debug for CopyIn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyIn").field("sql", &self.sql).finish_non_exhaustive()
    }
}

/// `COPY .. TO STDOUT`, into a channel. The reply is the number of bytes.
///
/// The channel's capacity is how far the server may be ahead of its reader. Once a chunk is in it the call is not made again:
/// the reader would see the rows twice.
#[derive(Debug)]
pub struct CopyOut {
    sql: Cow<'static, str>,
    into: Sender<Bytes>,
    access: Access,
}

impl CopyOut {
    /// A call of this statement, whose rows go into a channel.
    pub fn new(sql: impl Into<Cow<'static, str>>, into: Sender<Bytes>) -> Self {
        Self { sql: sql.into(), into, access: Access::ReadWrite }
    }

    /// Says that the statement changes nothing: a replica may answer it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }
}

impl Call<Postgres> for CopyOut {
    type Reply = u64;
    const NAME: &'static str = "CopyOut";

    fn traits(&self) -> CallTraits {
        CallTraits::default()
    }

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<u64, Failure> {
        let mut bytes = 0;
        match self.copy(postgres, attempt, &mut bytes).await {
            Ok(()) => Ok(bytes),
            // Its rows are with the reader, and are not taken back, whatever becomes of the statement.
            Err(failure) if bytes > 0 && failure.has_reached() == Reached::No => {
                Err(failure.reached(Reached::Maybe))
            }
            Err(failure) => Err(failure),
        }
    }
}

impl CopyOut {
    /// Copies, and counts the bytes.
    async fn copy(&self, postgres: &Postgres, attempt: &Attempt, bytes: &mut u64) -> Result<(), Failure> {
        let session = postgres.checkout(attempt, self.access).await?;
        session.limit_time().await?;
        // As of what goes in: a statement that changes something is heard of to its end.
        let changes = self.access == Access::ReadWrite;
        if changes {
            session.command("BEGIN").await?;
        }
        let request = session.lease.begin();
        let stream = match session.lease.client().copy_out(&*self.sql).await {
            Ok(stream) => stream,
            Err(error) => {
                request.failed(&error);
                return Err(session.failed(error));
            }
        };
        let mut stream = pin!(stream);
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    request.failed(&error);
                    return Err(session.failed(error));
                }
            };
            attempt.mark_sent();
            *bytes += chunk.len() as u64;
            if self.into.send(chunk).await.is_err() {
                return Err(failure::request("nobody takes the rows any more".into()));
            }
        }
        request.done();
        if changes {
            session.commit().await?;
        }
        Ok(())
    }
}
