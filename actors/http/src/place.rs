use std::{cell::Cell, sync::Arc};

use awc::http::header::{HeaderValue, InvalidHeaderValue};
use seawall::downstream::{EndpointAddress, OpenError};

use crate::{
    request::Template,
    wire::{Client, Target, Wire, Wires},
};

/// One endpoint of a service, as one thread reaches it: its connections are of no other, and its `Host` header is its own.
pub(crate) struct Place {
    pub(crate) address: EndpointAddress,
    pub(crate) host: HeaderValue,
    /// What stands before the path where requests go through a proxy that makes them.
    pub(crate) through: Option<String>,
    pub(crate) template: Template,
    pub(crate) client: Client,
    /// Grows whenever the endpoint begins an answer to this thread, or goes on with it.
    pub(crate) answers: Cell<u64>,
    wire: Wire,
}

impl Place {
    /// # Errors
    /// If nothing can be sent to where `wires` lead.
    pub(crate) fn open(address: EndpointAddress, wires: &Arc<Wires>) -> Result<Self, OpenError> {
        let wire = Wire::new(wires);
        let client = wire.client().map_err(|error| OpenError::new(error.to_string()))?;
        let host =
            HeaderValue::from_str(&wires.target().host_header()).map_err(|error: InvalidHeaderValue| {
                OpenError::new(format!("{address} cannot be used: {error}"))
            })?;
        let target = wires.target();
        let through =
            (wires.proxy().is_some() && !target.is_tls()).then(|| format!("http://{}", target.host_header()));
        Ok(Self { address, host, through, template: Template::unique(), client, answers: Cell::new(0), wire })
    }

    /// Where it is.
    pub(crate) fn target(&self) -> &Target {
        self.wires().target()
    }

    /// What this thread shares with the service's others.
    pub(crate) fn wires(&self) -> &Wires {
        self.wire.wires()
    }

    /// Closes idle connections at once, and those in use when their requests end.
    pub(crate) fn retire(&self) {
        self.wire.retire();
    }
}
