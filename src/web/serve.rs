//! The end of a service, in its right order.
//!
//! On the first signal the server stops first, while calls go on: handlers under way still need theirs. Then the runtime
//! drains, in what is left of one limit (`runtime.drain`) for both. A handler that outlasts it has its calls cut off, and
//! a moment to say so to its client. The second signal is somebody who does not want to wait.

use std::{future::Future, io, pin::pin, process, time::Duration};

use actix_web::dev::Server;
use tokio::{
    select,
    time::{Instant, timeout, timeout_at},
};

use crate::{Runtime, runtime::Drained};

/// How long handlers whose calls were cut off have to answer.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Runs a server until SIGTERM or SIGINT (Ctrl-C) comes, then stops it gracefully and drains the runtime, within
/// `runtime.drain` in all. A second signal ends the process at once, with the exit code that a shell expects of it.
///
/// The server must leave signals alone (`HttpServer::disable_signals`), or it stops without waiting for its handlers. Its
/// `shutdown_timeout` ought not to be shorter than `runtime.drain`; both are 30 s by default.
///
/// # Errors
/// If signals cannot be listened to, or the server ended by itself with an error; the runtime is drained then too.
pub async fn serve(server: Server, runtime: Runtime) -> io::Result<Drained> {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            runtime.drain().await;
            return Err(error);
        }
    };
    let handle = server.handle();
    let mut server = pin!(server);
    // Running => Stopping, or the end where the server ended first.
    select! {
        biased;
        _ = signals.next() => {}
        ended = &mut server => {
            let drained = runtime.drain().await;
            return ended.map(|()| drained);
        }
    }
    let stop = async {
        let until = Instant::now() + runtime.drain_limit();
        // Asked now, not when it is polled; the server itself tells when it is done.
        let _asked = handle.stop(true);
        let stopped = timeout_at(until, &mut server).await;
        let drained = runtime.drain_within(until.saturating_duration_since(Instant::now())).await;
        if stopped.is_err() {
            let _ = timeout(LAST_ANSWERS, &mut server).await;
        }
        drained
    };
    unless_hurried(stop, &mut signals).await
}

/// Stopping => the end, or the end at once.
async fn unless_hurried(stop: impl Future<Output = Drained>, signals: &mut Signals) -> io::Result<Drained> {
    select! {
        biased;
        signal = signals.next() => process::exit(128 + signal),
        drained = stop => Ok(drained),
    }
}

/// The signals that end a process.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one's number.
    async fn next(&mut self) -> i32 {
        select! {
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }
}

/// Ctrl-C, where there are no signals.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        2
    }
}
