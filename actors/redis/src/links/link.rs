use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    Cmd, Pipeline, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::Figures;

/// One connection that is ready for commands, any number of them at once.
///
/// The library's own connection has no opinion of whether the other side is there: one that hangs is handed out for ever.
/// So answers are counted here, and who is in doubt asks with a [`probe`](Self::probe). Dropped, it is
/// closed at once, whatever it waits for.
pub(crate) struct Link {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    made: Instant,
    answers: AtomicU64,
    suspect: AtomicBool,
    probing: AtomicBool,
    hung: AtomicBool,
    /// Since when nobody uses it, in milliseconds since it was made, plus one; 0 where it was never used.
    rests: AtomicU64,
    /// Whose task is to notice what becomes of it; told when it is in doubt, and when it breaks.
    watcher: Arc<Notify>,
    figures: Arc<Figures>,
}

impl Link {
    pub(super) fn new(
        connection: MultiplexedConnection,
        driver: AbortHandle,
        watcher: Arc<Notify>,
        figures: Arc<Figures>,
    ) -> Self {
        Self {
            connection,
            driver,
            made: Instant::now(),
            answers: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            hung: AtomicBool::new(false),
            rests: AtomicU64::new(0),
            watcher,
            figures,
        }
    }

    /// Sends one command and waits for its answer.
    pub(crate) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let answer = self.connection.clone().send_packed_command(command).await;
        self.answered(&answer);
        answer
    }

    /// Sends several in one piece and waits for all their answers; of a transaction, for that of its EXEC.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let (skipped, awaited) =
            if commands.is_transaction() { (commands.len() + 1, 1) } else { (0, commands.len()) };
        let answers = self.connection.clone().req_packed_commands(commands, skipped, awaited).await;
        self.answered(&answers);
        answers
    }

    fn answered<T>(&self, answer: &RedisResult<T>) {
        match answer {
            Err(error) if error.is_io_error() => {}
            _ => {
                self.answers.fetch_add(1, Relaxed);
                self.suspect.store(false, Relaxed);
            }
        }
    }

    /// How many answers there were: one that does not change between two looks has not answered in between.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// Whether it is not known to be broken.
    pub(crate) fn is_alive(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Whether commands may be put on it.
    pub(crate) fn is_trusted(&self) -> bool {
        !self.suspect.load(Relaxed) && self.is_alive()
    }

    /// A command ran out of time on it: nothing more is put on it until it has answered.
    pub(crate) fn suspect(&self) {
        self.suspect.store(true, Relaxed);
        self.watcher.notify_one();
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Relaxed)
    }

    /// Begins to probe it; false where that is being done already.
    pub(super) fn begin_probe(&self) -> bool {
        !self.probing.swap(true, Relaxed)
    }

    /// Whether it was cut off because it did not answer.
    pub(crate) fn has_hung(&self) -> bool {
        self.hung.load(Relaxed)
    }

    /// Asks whether the other side is there, and cuts it off if there is no answer within `limit`. Commands on it then fail
    /// at once, and their callers may have time for another.
    pub(crate) async fn probe(&self, limit: Duration) {
        let ping = redis::cmd("PING");
        // Any answer will do, an error too: whoever answers is there.
        if timeout(limit, self.ask(&ping)).await.is_err() {
            self.hung.store(true, Relaxed);
            self.driver.abort();
        }
        self.probing.store(false, Relaxed);
        self.watcher.notify_one();
    }

    /// Its user has gone.
    pub(super) fn rest(&self) {
        let now = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.rests.store(now + 1, Relaxed);
    }

    /// How long nobody has used it; `None` where nobody ever did.
    pub(super) fn idle(&self) -> Option<Duration> {
        let since = self.rests.load(Relaxed).checked_sub(1)?;
        Some(self.made.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    pub(super) fn made(&self) -> Instant {
        self.made
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
        self.figures.closed.fetch_add(1, Relaxed);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("alive", &self.is_alive())
            .field("suspect", &self.is_suspect())
            .finish_non_exhaustive()
    }
}
