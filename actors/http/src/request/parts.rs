use std::rc::Rc;

use actix_http::RequestHead;
use awc::http::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
    uri::PathAndQuery,
};
use bytes::Bytes;
use seawall::downstream::{Blame, Failure, Reached};

use super::heads;

/// A request as it is about to be sent: what a [hook](crate::HttpHook) signs.
#[derive(Clone, Debug)]
pub struct RequestParts {
    /// Shared with what is being sent; a copy of these parts is a copy only once it is changed.
    head: Rc<RequestHead>,
    body: Option<Bytes>,
    idempotent: bool,
}

impl RequestParts {
    pub(super) fn new(
        method: Method,
        target: PathAndQuery,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Bytes>,
        idempotent: bool,
    ) -> Self {
        let mut head = heads::take();
        let empty = Rc::make_mut(&mut head);
        (empty.method, empty.uri) = (method, target.into());
        for (name, value) in headers {
            empty.headers.insert(name, value);
        }
        Self { head, body, idempotent }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// Path and query as they are sent, percent-encoded, the path of the service's URL included.
    pub fn path_and_query(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The headers so far. Those of framing (`content-length`) are added after the hook.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The body; empty where there is none.
    pub fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Sets a header, in place of any of that name.
    ///
    /// # Errors
    /// For a name or value that no header may have, and for the names that frame a message. The caller's fault, not sent.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let parsed = super::header_name(name).and_then(|parsed| {
            super::header_value(value)
                .map(|value| (parsed, value))
                .map_err(|problem| format!("the header `{name}` {problem}"))
        });
        match parsed {
            Ok((name, value)) => {
                self.set(name, value);
                Ok(())
            }
            Err(problem) => Err(Failure::new(Blame::Caller, format!("the request was not sent: {problem}"))
                .reached(Reached::No)),
        }
    }

    /// Sets a header that the caller did not.
    pub(crate) fn set_default(&mut self, name: HeaderName, value: HeaderValue) {
        if !self.head.headers.contains_key(&name) {
            self.set(name, value);
        }
    }

    /// Sets a header of the kind's own.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        Rc::make_mut(&mut self.head).headers.insert(name, value);
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(crate) fn head(&self) -> &Rc<RequestHead> {
        &self.head
    }

    /// The body; `None` where there is none.
    pub(crate) fn to_body(&self) -> Option<Bytes> {
        self.body.clone()
    }

    /// Done with: what can be used again is kept.
    pub(crate) fn recycle(self) {
        heads::give_back(self.head);
    }
}
