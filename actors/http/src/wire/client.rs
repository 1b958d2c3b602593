//! awc without the half of it that only prepares: its connector, its pool, and how it speaks HTTP/1.1.
//!
//! `awc::Client` makes each request a map of headers of its own, and freezes it into another before it can be sent
//! twice; it looks its pool up by the server's name, hashed letter by letter, though there is only one server here; and
//! it boxes bodies and futures that need no box. Left out, a request costs about a fifth less of awc's part, and its
//! head is whatever the caller has at hand. What is left is what awc does for a request once it is prepared.

use std::{panic, rc::Rc, time::Duration};

use actix_http::{Payload, RequestHead, RequestHeadType, ResponseHead};
use actix_service::Service;
use awc::{body, error::SendRequestError, http::Uri};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;

use super::{SetupError, Wire};

/// The only server that awc hears of. Where the connections go is the wire's affair; awc only needs a name for its pool.
const SERVER: &str = "http://s/";

/// Sends requests over one thread's connections, with no redirects and no timeouts, limit or age of connections of
/// awc's own.
pub(crate) struct Client(Box<Send>);

type Send = dyn Fn(Rc<RequestHead>, Option<Bytes>) -> Sending;

/// A request under way, for [`Exchange::send`](super::Exchange::send).
pub(crate) type Sending = LocalBoxFuture<'static, Result<(ResponseHead, Payload), SendRequestError>>;

impl Client {
    /// # Errors
    /// If awc cannot be built, which happens only where another crate in the program turned on awc's own TLS and the
    /// process has no rustls provider, or several: awc then panics, although nothing here would use what it builds.
    pub(super) fn new(wire: Wire, longest_wait: Duration) -> Result<Self, SetupError> {
        const NEVER: Duration = Duration::from_secs(366 * 24 * 3600);
        let build = || {
            let connector = awc::Connector::new()
                .connector(wire)
                .limit(0)
                // Never the first to speak: ours names the stage.
                .timeout(longest_wait + Duration::from_secs(60))
                .conn_keep_alive(NEVER)
                .conn_lifetime(NEVER)
                .finish();
            let server = Uri::from_static(SERVER);
            let send: Box<Send> = Box::new(move |head, body| {
                let connecting = connector.call(awc::Connect { uri: server.clone(), addr: None });
                Box::pin(async move {
                    let connection = connecting.await?;
                    let head = RequestHeadType::Rc(head, None);
                    match body {
                        Some(body) => connection.send_request(head, body).await,
                        None => connection.send_request(head, body::None::new()).await,
                    }
                })
            });
            Self(send)
        };
        panic::catch_unwind(panic::AssertUnwindSafe(build)).map_err(|_| {
            let problem = "cannot be used: awc's own rustls feature is on in this program, and needs a default \
                           provider; install one (rustls::crypto::ring::default_provider().install_default())";
            SetupError::new("kind", problem.into())
        })
    }

    /// A request of this head and body, which must have a `Host` ([`Target::host_header`](super::Target::host_header)).
    /// The head is let go of once it is written.
    pub(crate) fn send(&self, head: Rc<RequestHead>, body: Option<Bytes>) -> Sending {
        (self.0)(head, body)
    }
}
