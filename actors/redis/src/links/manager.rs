use std::{sync::Arc, time::Duration};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use seawall::downstream::Failure;
use tokio::sync::Notify;

use super::{Dialer, Link};

/// Makes connections for a pool, and says whether one may be used again by what is known of it: a question to the server at
/// each checkout, as is usual, is a round trip for each command.
pub(crate) struct LinkManager {
    dialer: Arc<Dialer>,
    watcher: Arc<Notify>,
    lifetime: Duration,
}

impl LinkManager {
    pub(super) fn new(dialer: Arc<Dialer>, watcher: Arc<Notify>, lifetime: Duration) -> Self {
        Self { dialer, watcher, lifetime }
    }

    /// Whether it may be used again.
    pub(super) fn keeps(&self, link: &Link) -> bool {
        link.is_trusted() && link.made().elapsed() < self.lifetime
    }
}

impl Manager for LinkManager {
    type Type = Arc<Link>;
    type Error = Failure;

    async fn create(&self) -> Result<Arc<Link>, Failure> {
        self.dialer.dial(Arc::clone(&self.watcher), None).await.map(Arc::new)
    }

    async fn recycle(&self, link: &mut Arc<Link>, _: &Metrics) -> RecycleResult<Failure> {
        match self.keeps(link) {
            true => Ok(()),
            false => Err(RecycleError::message("it is broken, in doubt, or old")),
        }
    }
}
