//! The thread that a server, a proxy or the watcher of a process runs on.
//!
//! What misbehaves must not share a runtime with what is tested: a blocked test would stop the server that it waits
//! for, and paused time would run away from real sockets. So each has one thread with a single-threaded runtime, and
//! every bounded wait of a test is timed there. A test on a paused runtime, on several threads or on none at all
//! awaits a channel only, which costs it no timer.

use std::future::Future;
use std::panic::Location;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio::{task, time};

/// How long a test waits for a condition before it fails. A sound test takes milliseconds; a loaded machine may not.
const PATIENCE: Duration = Duration::from_secs(20);

/// One thread, one runtime. Dropping it drops every task on it, sockets and all, and joins the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// # Panics
    /// If the system gives no thread or no epoll descriptor.
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("no runtime for the thread {name}: {error}"));
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Either a word or the sender's end: both mean stop.
                let _ = runtime.block_on(stopped);
            })
            .unwrap_or_else(|error| panic!("no thread {name}: {error}"));
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Runs a task there.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> task::JoinHandle<()> {
        self.handle.spawn(task)
    }

    /// Runs `make` where sockets register with this worker's reactor.
    pub(crate) fn enter<T>(&self, make: impl FnOnce() -> T) -> T {
        let _guard = self.handle.enter();
        make()
    }

    /// Waits until `state` meets `condition`.
    ///
    /// # Panics
    /// After [`PATIENCE`], in the awaiting test: with `what` was awaited, what the state is instead in the words of
    /// `describe`, and the line that waited.
    #[track_caller]
    pub(crate) fn wait_for<T, C, D>(
        &self,
        state: &watch::Sender<T>,
        what: String,
        mut condition: C,
        describe: D,
    ) -> impl Future<Output = ()> + Send + use<T, C, D>
    where
        T: Send + Sync + 'static,
        C: FnMut(&T) -> bool + Send + 'static,
        D: FnOnce(&T) -> String + Send + 'static,
    {
        let mut state = state.subscribe();
        let from = Location::caller();
        let waiting = self.handle.spawn(async move {
            let waited = time::timeout(PATIENCE, state.wait_for(|state| condition(state))).await;
            let met = waited.is_ok_and(|met| met.is_ok());
            if met { Ok(()) } else { Err(describe(&state.borrow())) }
        });
        async move {
            match waiting.await {
                Ok(Ok(())) => {}
                Ok(Err(instead)) => {
                    panic!("waited {} s at {from} for {what}; instead: {instead}", PATIENCE.as_secs())
                }
                Err(_) => {
                    panic!("waited at {from} for {what}; what was to show it has been dropped meanwhile")
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its only panics would be those of its runtime, and a second panic in a drop aborts the test binary.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_moves_no_paused_clock() {
        let worker = Worker::start("worker-test");
        let (state, _keep) = watch::channel(0);
        let before = time::Instant::now();
        let waiting = worker.wait_for(&state, "a five".to_owned(), |n| *n == 5, |n| n.to_string());
        state.send_replace(5);
        waiting.await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn dropping_ends_the_tasks() {
        let worker = Worker::start("worker-test");
        let (held, gone) = oneshot::channel::<()>();
        worker.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(worker);
        assert!(gone.await.is_err(), "the task outlived its worker");
    }
}
