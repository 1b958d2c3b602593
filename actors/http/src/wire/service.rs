use std::{rc::Rc, sync::Arc};

use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use tokio::time::Instant;

use super::{
    Cause, Client, ConnectFailure, Proxy, SetupError, Wires,
    permits::Exhausted,
    record::Record,
    shard::{Shard, Waited},
    slot::Open,
    spares::Spares,
    stream::WireStream,
};

/// One thread's connector for awc.
#[derive(Clone)]
pub(crate) struct Wire {
    shard: Rc<Shard>,
    spares: Rc<Spares>,
}

impl Wire {
    /// A connector on this thread, which must be one where local tasks can run.
    pub(crate) fn new(wires: &Arc<Wires>) -> Self {
        let shard = Shard::new(wires.clone());
        Self { spares: Spares::new(&shard), shard }
    }

    /// A client over these connections.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn client(&self) -> Result<Client, SetupError> {
        let wires = self.shard.wires();
        Client::new(self.clone(), wires.permits().acquire_timeout() + wires.settings().connect_timeout)
    }

    /// Keeps no connection any more: closes the idle ones now, and the others when their requests end. For a pool that
    /// is replaced or drained.
    pub(crate) fn retire(&self) {
        self.shard.retire();
    }

    /// A connection for the request that is polled here. The two waits have a limit each: for the right to a
    /// connection, which is our own affair, the acquire timeout; for making it, the connect timeout.
    async fn obtain(&self) -> Result<WireStream, Cause> {
        let shard = &self.shard;
        if let Some(open) = self.spares.take() {
            return Ok(WireStream::passed_on(open));
        }
        let permit = match shard.wires().permits().try_acquire() {
            Some(permit) => permit,
            None => {
                let began = Instant::now();
                let waited = shard.wait().await;
                shard.stats().wait_time.record(began.elapsed());
                match waited {
                    Ok(Waited::Permit(permit)) => permit,
                    Ok(Waited::Connection(open)) => return Ok(WireStream::passed_on(open)),
                    Err(Exhausted { waited, max }) => return Err(Cause::PoolTimeout { waited, max }),
                }
            }
        };
        if let Some(record) = Record::current() {
            record.note_connecting();
        }
        let socket = shard.wires().connect().await?;
        Ok(WireStream::new(Open::new(socket, permit, shard.clone())))
    }

    /// What this thread shares with the service's others.
    pub(crate) fn wires(&self) -> &Arc<Wires> {
        self.shard.wires()
    }
}

impl Service<ConnectInfo<Uri>> for Wire {
    type Response = Connection<Uri, WireStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, ConnectError>>;

    actix_service::always_ready!();

    fn call(&self, request: ConnectInfo<Uri>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move {
            let obtained = wire.obtain().await;
            obtained.map(|stream| Connection::new(request.request().clone(), stream)).map_err(|cause| {
                wire.wires().stats().failed(&cause);
                let wires = wire.wires();
                ConnectFailure::new(wires.target(), wires.proxy().map(Proxy::server), cause).into()
            })
        })
    }
}
