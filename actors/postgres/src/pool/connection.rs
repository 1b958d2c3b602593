use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::{Client, Statement};

use super::{Shared, statements::Statements};
use crate::wire::{Dialled, Facts, Left};

/// A connection of the pool, with what is known of its session. It closes when it is dropped.
pub(crate) struct Connection {
    pub(super) client: Arc<Client>,
    task: JoinHandle<()>,
    pub(super) dialled: Where,
    pub(super) facts: Arc<Facts>,
    pub(super) statements: Mutex<Statements>,
    /// What `statement_timeout` is there, as far as we have said.
    pub(super) timeout: Mutex<Option<Duration>>,
    pub(super) expires: Instant,
    pub(super) used: Instant,
    /// How often it was lent.
    pub(super) lent: u64,
    /// Which of its server's generations it is of.
    pub(super) generation: u64,
    /// Whether no request is under way: then it may say goodbye, else it is cut off.
    pub(super) quiet: bool,
    pub(super) shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

/// The very server that it is to.
pub(super) type Where = crate::wire::Endpoint;

/// A prepared statement.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    /// Whether it leaves something in the session that the server does not tell of.
    pub(crate) leaves: bool,
}

impl Connection {
    pub(super) fn new(
        dialled: Dialled,
        shared: &Arc<Shared>,
        statements: usize,
        lifetime: Duration,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let Dialled { client, connection, facts, at } = dialled;
        let now = Instant::now();
        shared.counts.created.increment();
        Self {
            client: Arc::new(client),
            // How it ends, who has it learns from what he asks.
            task: tokio::spawn(async move { drop(connection.await) }),
            dialled: at,
            facts,
            statements: Mutex::new(Statements::new(statements)),
            timeout: Mutex::new(None),
            expires: now + shared.spread(lifetime),
            used: now,
            lent: 0,
            generation,
            quiet: true,
            shared: Arc::clone(shared),
            _permit: permit,
        }
    }

    /// Takes back what calls left in the session. `false` if it cannot be.
    pub(super) async fn reset(&self, within: Duration) -> bool {
        if self.facts.left() == Left::Statements {
            return false;
        }
        let reset = async {
            if self.facts.in_transaction() {
                self.client.batch_execute("ROLLBACK").await?;
            }
            self.client.batch_execute(RESET).await
        };
        let done = matches!(timeout(within, reset).await, Ok(Ok(()))) && !self.facts.in_transaction();
        if done {
            self.facts.cleared();
            *self.timeout.lock() = None;
        }
        done
    }
}

/// `DISCARD ALL` without what it does to prepared statements, so that those are kept. One message.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
                     SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.counts.closed.increment();
        // One that is quiet says goodbye when its client goes; another would wait for answers that nobody wants.
        if !self.quiet {
            self.task.abort();
        }
    }
}
