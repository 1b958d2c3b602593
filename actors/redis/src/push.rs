//! What a server says unasked: which keys have changed.
//!
//! With tracking (`CLIENT TRACKING ON BCAST`), Redis tells a connection of each key that changes below some prefixes,
//! whoever changes it. What is kept of them in memory then need not be old until its time is over. It is only as good as
//! the connection: one that hangs tells nothing and looks like one on which nothing happens. So it is asked for an answer
//! each half of `redis.check`, and its loss is told as soon as it is known.

use std::{fmt, sync::Arc, time::Duration};

use redis::{PushInfo, PushKind, Value, aio::AsyncPushSender};
use seawall::downstream::Failure;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    failure::{self, Effect},
    links::{Dialer, Link, Place},
};

/// Who is told what becomes of tracked keys. Called on the connection's own task: it must be quick, and never wait.
pub trait Listener: Send + Sync + 'static {
    /// From now on each change is told. What happened before is not: what is kept from before must go.
    fn connected(&self);

    /// The server is another than the last time, or began anew: from an older copy, it may be, so that what it said of a key
    /// does not hold any more. Told before it is [`connected`](Self::connected) again, and in doubt.
    fn renewed(&self) {}

    /// This key has changed, or is gone.
    fn changed(&self, key: &[u8]);

    /// All keys are gone (`FLUSHALL`).
    fn flushed(&self);

    /// From some time on, `redis.check` ago at most, no change was told: nothing must be kept, or what is kept be used,
    /// until it is [`connected`](Self::connected) again. Told once for each loss, and when the first try to connect fails.
    fn lost(&self, why: &Failure);
}

/// A connection that is told of changes, and made again whenever it is lost. Dropped, it ends.
///
/// It is a task of the runtime it was started on, and ends with that.
pub struct Tracking(AbortHandle);

/// The first pause before it is made again; it doubles, up to `redis.check`. Nobody waits for it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

impl Tracking {
    pub(crate) fn start(
        dialer: Arc<Dialer>,
        prefixes: Vec<String>,
        check: Duration,
        listener: Arc<dyn Listener>,
    ) -> Self {
        let tracking = async move {
            let mut pause = FIRST_PAUSE;
            let mut told = false;
            let mut known = None::<Option<String>>;
            loop {
                match connect(&dialer, &prefixes, &listener).await {
                    Ok((link, watcher, identity)) => {
                        if known.is_some_and(|known| known.is_none() || known != identity) {
                            listener.renewed();
                        }
                        known = Some(identity);
                        listener.connected();
                        pause = FIRST_PAUSE;
                        watch(&dialer, &link, &watcher, check).await;
                        listener.lost(&failure::reset());
                        told = true;
                    }
                    Err(why) if !told => {
                        listener.lost(&why);
                        told = true;
                    }
                    Err(_) => {}
                }
                sleep(pause).await;
                pause = (pause * 2).min(check.max(FIRST_PAUSE));
            }
        };
        Self(tokio::spawn(tracking).abort_handle())
    }

    /// Whether it still tries: not where the runtime it was started on has ended.
    pub fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracking").field(&self.is_running()).finish()
    }
}

async fn connect(
    dialer: &Dialer,
    prefixes: &[String],
    listener: &Arc<dyn Listener>,
) -> Result<(Link, Arc<Notify>, Option<String>), Failure> {
    let watcher = Arc::new(Notify::new());
    let pushes: Arc<dyn AsyncPushSender> = Arc::new(Pushes(Arc::clone(listener)));
    let link = dialer.dial(&Place::Service, Arc::clone(&watcher), Some(pushes)).await?;
    let mut command = redis::cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes {
        command.arg("PREFIX").arg(prefix);
    }
    let answer = dialer.within_limit(link.ask(&command)).await?;
    answer.and_then(Value::extract_error).map_err(|error| failure::of_command(&error, Effect::Whole))?;
    let identity = dialer.within_limit(link.ask(&redis::cmd("INFO"))).await?.ok().and_then(identity);
    Ok((link, watcher, identity))
}

/// Which server it is, and which history its data is of: the first is new with each start, the second with each promotion.
/// `None` where it does not say.
fn identity(info: Value) -> Option<String> {
    let text = match info {
        Value::VerbatimString { text, .. } => text,
        Value::BulkString(bytes) => String::from_utf8(bytes).ok()?,
        _ => return None,
    };
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    Some(format!("{} {}", field("run_id:")?, field("master_replid:")?))
}

/// Ends when the connection has, or the sentinels name another primary: one that was replaced while it was cut off does not
/// say so, and tells nothing of what changes at the new one.
async fn watch(dialer: &Dialer, link: &Link, watcher: &Notify, check: Duration) {
    let pause = check / 2;
    let mut next = Instant::now() + pause;
    while link.is_alive() {
        tokio::select! {
            biased;
            () = watcher.notified() => {}
            () = sleep_until(next) => {
                link.probe(pause).await;
                if dialer.has_sentinels()
                    && dialer.followed(check).await.is_some_and(|primary| primary != *link.target())
                {
                    return;
                }
                next = Instant::now() + pause;
            }
        }
    }
}

/// Passes on what comes.
struct Pushes(Arc<dyn Listener>);

impl AsyncPushSender for Pushes {
    fn send(&self, push: PushInfo) -> Result<(), redis::aio::SendError> {
        if push.kind != PushKind::Invalidate {
            return Ok(());
        }
        for item in push.data {
            match item {
                Value::Array(keys) => {
                    for key in keys {
                        match key {
                            Value::BulkString(key) => self.0.changed(&key),
                            Value::SimpleString(key) => self.0.changed(key.as_bytes()),
                            // What is not understood may be about any key.
                            _ => self.0.flushed(),
                        }
                    }
                }
                _ => self.0.flushed(),
            }
        }
        Ok(())
    }
}
