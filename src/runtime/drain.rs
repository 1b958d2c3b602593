use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Inner, Runtime};
use crate::{service::Phase, telemetry::What};

/// How long shards have to close their pools once no call is under way.
const CLOSING: Duration = Duration::from_secs(5);

/// How long tiers have to hear of what the last calls invalidated: one that cannot be reached must not hold the stop up.
const TELLING: Duration = Duration::from_secs(1);

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Calls that did not end within the limit, and were cut off.
    pub cut_off: usize,
}

impl Runtime {
    /// Stops the runtime: takes no new calls, lets those under way end within `runtime.drain`, cuts off the rest, closes
    /// all pools. Every call is answered. A second call of it waits too, and cuts off by whichever limit
    /// ends first.
    pub async fn drain(&self) -> Drained {
        self.drain_within(self.inner.settings.drain).await
    }

    /// How long a drain waits.
    #[cfg(feature = "actix-web")]
    pub(crate) fn drain_limit(&self) -> Duration {
        self.inner.settings.drain
    }

    /// The same, within another limit.
    pub async fn drain_within(&self, limit: Duration) -> Drained {
        let environment = &self.inner.environment;
        if environment.phase() == Phase::Running {
            environment.enter(Phase::Draining);
            environment.events.emit(None, What::DrainStarted);
        }
        let _ = timeout(limit, environment.quiet()).await;
        let cut_off = environment.active();
        let _ = timeout(limit.min(TELLING), environment.tiers.told()).await;
        let was_running = environment.phase() != Phase::Stopped;
        environment.enter(Phase::Stopped);
        let services: Vec<_> = self.inner.services.read().values().cloned().collect();
        for owned in &services {
            owned.retire();
        }
        let closed = async {
            for owned in &services {
                owned.retired().await;
            }
            environment.quiet().await;
        };
        let _ = timeout(CLOSING, closed).await;
        stop_threads(&self.inner).await;
        if was_running {
            environment.events.emit(None, What::DrainEnded { cut_off });
        }
        Drained { cut_off }
    }
}

/// Ends the runtime's own threads, from a thread that may wait for them.
async fn stop_threads(inner: &Arc<Inner>) {
    if inner.environment.lanes.count() == 0 {
        return;
    }
    let (done, stopped) = tokio::sync::oneshot::channel();
    let stopping = Arc::clone(inner);
    let stop = move || {
        stopping.environment.lanes.stop();
        stopping.control.stop();
        let _ = done.send(());
    };
    // Without a thread to wait on, they are told to end all the same.
    if std::thread::Builder::new().name("seawall-stop".to_owned()).spawn(stop).is_err() {
        inner.environment.lanes.abandon();
        inner.control.abandon();
        return;
    }
    let _ = timeout(CLOSING, stopped).await;
}
