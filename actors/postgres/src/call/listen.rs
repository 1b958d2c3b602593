//! `LISTEN` as a source of events.
//!
//! Notifications come on a connection of its own, outside of the pool, that a task of the shard's keeps: it makes it anew when
//! it breaks, and says so, since what was notified in between is lost. Between the task and who reads is a buffer with a limit: a
//! reader who is too slow loses the oldest, and is told how many. It never costs the server memory.

use std::{collections::VecDeque, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use parking_lot::Mutex;
use seawall::{
    call::{Attempt, Call, CallTraits},
    downstream::{Failure, Stage},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_postgres::AsyncMessage;

use crate::{
    Postgres, failure,
    pool::Listening,
    wire::{DialError, Dialled},
};

/// Listens to channels: the reply is where their notifications come.
///
/// ```
/// use seawall_postgres::Listen;
///
/// let call = Listen::to(["orders", "prices"]).buffer(256);
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    channels: Vec<String>,
    buffer: usize,
}

impl Listen {
    /// To these channels.
    pub fn to<S: Into<String>>(channels: impl IntoIterator<Item = S>) -> Self {
        Self { channels: channels.into_iter().map(Into::into).collect(), buffer: 1024 }
    }

    /// How many notifications may wait for their reader; 1,024 by default.
    #[must_use]
    pub fn buffer(mut self, notifications: usize) -> Self {
        self.buffer = notifications.max(1);
        self
    }

    /// One message for all channels, as names and nothing else.
    fn statement(&self) -> Result<String, Failure> {
        if self.channels.is_empty() {
            return Err(failure::request("no channel is named".into()));
        }
        if self
            .channels
            .iter()
            .any(|channel| channel.is_empty() || channel.len() > 63 || channel.contains('\0'))
        {
            return Err(failure::request("a channel's name has 1 to 63 bytes, none of them zero".into()));
        }
        let listen = |channel: &String| format!("LISTEN \"{}\"", channel.replace('"', "\"\""));
        Ok(self.channels.iter().map(listen).collect::<Vec<_>>().join("; "))
    }
}

/// What comes of listening.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notified {
    /// A notification.
    Message {
        /// Its channel.
        channel: String,
        /// What it says.
        payload: String,
    },
    /// The reader was too slow: so many that came before what follows are lost.
    Lost(u64),
    /// The connection broke and was made anew: what was notified in between is lost, however much it was.
    Reconnected,
}

/// Where notifications come. Dropped, nobody listens any more.
#[derive(Debug)]
pub struct Notifications {
    inbox: Arc<Inbox>,
}

#[derive(Debug)]
struct Inbox {
    waiting: Mutex<Waiting>,
    limit: usize,
    /// For the reader.
    arrived: Notify,
    /// For the task.
    left: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Notified>,
    lost: u64,
    /// Nobody writes any more, or nobody reads.
    ended: bool,
}

impl Notifications {
    /// The next of what comes. `None` once the service's pool was closed, by a drain or by a reload that changed its
    /// settings, or the shard's thread has ended: listen again then, and take it for a [`Notified::Reconnected`].
    pub async fn next(&mut self) -> Option<Notified> {
        loop {
            let arrived = self.inbox.arrived.notified();
            {
                let mut waiting = self.inbox.waiting.lock();
                if waiting.lost > 0 {
                    return Some(Notified::Lost(std::mem::take(&mut waiting.lost)));
                }
                if let Some(message) = waiting.messages.pop_front() {
                    return Some(message);
                }
                if waiting.ended {
                    return None;
                }
            }
            arrived.await;
        }
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.inbox.waiting.lock().ended = true;
        self.inbox.left.notify_one();
    }
}

impl Inbox {
    fn put(&self, message: Notified) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.messages.len() == self.limit {
                waiting.messages.pop_front();
                waiting.lost += 1;
            }
            waiting.messages.push_back(message);
        }
        self.arrived.notify_one();
    }
}

/// The task's end of it: when that ends, however, the reader learns of it.
struct Writer(Arc<Inbox>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.waiting.lock().ended = true;
        self.0.arrived.notify_one();
    }
}

impl Call<Postgres> for Listen {
    type Reply = Notifications;
    const NAME: &'static str = "Listen";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<Notifications, Failure> {
        let statement = self.statement()?;
        let listening = postgres.places.listening();
        attempt.enter(Stage::Connect);
        let connection = listening.dial().await.map_err(|error| listening.failure(error))?;
        attempt.enter(Stage::Attempt);
        attempt.mark_sent();
        let inbox = Arc::new(Inbox {
            waiting: Mutex::default(),
            limit: self.buffer,
            arrived: Notify::new(),
            left: Notify::new(),
        });
        let mut heard = Heard { connection, writer: Writer(Arc::clone(&inbox)) };
        heard.listen(&statement).await.map_err(|error| failure::of_request(error, false))?;
        tokio::spawn(keep(heard, statement, listening));
        Ok(Notifications { inbox })
    }
}

/// A connection that is listened on.
struct Heard {
    connection: Dialled,
    writer: Writer,
}

/// How often a connection on which nothing comes is asked whether it lives, and how long it may take to say so.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// Between tries to make the connection anew.
const BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

impl Heard {
    async fn listen(&mut self, statement: &str) -> Result<(), tokio_postgres::Error> {
        self.beside(async |client| client.batch_execute(statement).await).await
    }

    /// Runs a request while it hears what comes.
    async fn beside<T>(
        &mut self,
        ask: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, tokio_postgres::Error> {
        let Self { connection: Dialled { client, connection, .. }, writer } = self;
        let mut asked = std::pin::pin!(ask(client));
        poll_fn(|context| {
            // The answer itself may be among what comes.
            let broken = loop {
                match connection.poll_message(context) {
                    Poll::Ready(Some(Ok(message))) => hear(writer, message),
                    Poll::Ready(Some(Err(error))) => break Some(error),
                    Poll::Ready(None) | Poll::Pending => break None,
                }
            };
            match (asked.as_mut().poll(context), broken) {
                (Poll::Ready(ended), _) => Poll::Ready(ended),
                (Poll::Pending, Some(error)) => Poll::Ready(Err(error)),
                (Poll::Pending, None) => {
                    // What the request has put into the channel meanwhile goes out.
                    match connection.poll_message(context) {
                        Poll::Ready(Some(Ok(message))) => {
                            hear(writer, message);
                            context.waker().wake_by_ref();
                            Poll::Pending
                        }
                        Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
                        Poll::Ready(None) | Poll::Pending => Poll::Pending,
                    }
                }
            }
        })
        .await
    }

    /// Hears what comes until the connection breaks.
    async fn hear(&mut self) {
        loop {
            let silent = timeout(HEARTBEAT, async {
                let Self { connection, writer } = self;
                while let Some(Ok(message)) =
                    poll_fn(|context| connection.connection.poll_message(context)).await
                {
                    hear(writer, message);
                }
            });
            if silent.await.is_ok() {
                return;
            }
            let lives = self.beside(async |client| client.check_connection().await);
            if !matches!(timeout(LONGEST_SILENCE, lives).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

fn hear(writer: &Writer, message: AsyncMessage) {
    if let AsyncMessage::Notification(said) = message {
        let (channel, payload) = (said.channel().to_owned(), said.payload().to_owned());
        writer.0.put(Notified::Message { channel, payload });
    }
}

/// Keeps listening until nobody reads, or the pool is closed.
async fn keep(heard: Heard, statement: String, listening: Listening) {
    let inbox = Arc::clone(&heard.writer.0);
    let ends = async {
        tokio::select! {
            biased;
            () = listening.closed() => {}
            () = inbox.left.notified() => {}
        }
    };
    tokio::select! {
        biased;
        () = ends => {}
        () = again_and_again(heard, &statement, &listening) => {}
    }
}

async fn again_and_again(mut heard: Heard, statement: &str, listening: &Listening) {
    let mut pause = BACKOFF;
    loop {
        let began = Instant::now();
        heard.hear().await;
        if began.elapsed() > LONGEST_BACKOFF {
            pause = BACKOFF;
        }
        loop {
            sleep(listening.spread(pause)).await;
            pause = (pause * 2).min(LONGEST_BACKOFF);
            let connection: Result<Dialled, DialError> = listening.dial().await;
            let Ok(connection) = connection else { continue };
            heard.connection = connection;
            if matches!(timeout(LONGEST_SILENCE, heard.listen(statement)).await, Ok(Ok(()))) {
                break;
            }
        }
        heard.writer.0.put(Notified::Reconnected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channels_name_is_a_name_and_nothing_else() {
        let statement = |channels: &[&str]| Listen::to(channels.iter().copied()).statement();
        assert_eq!(
            statement(&["news", "x\"; drop table users; --"]).expect("it is one"),
            "LISTEN \"news\"; LISTEN \"x\"\"; drop table users; --\""
        );
        for wrong in [&[][..], &[""], &["a\0b"]] {
            assert!(statement(wrong).is_err(), "{wrong:?}");
        }
        assert!(statement(&[&"x".repeat(64)]).is_err());
    }
}
