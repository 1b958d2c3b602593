use awc::http::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
    uri::PathAndQuery,
};
use bytes::Bytes;
use seawall::downstream::{Blame, Failure, Reached};

/// A request as it is about to be sent: what a [hook](crate::HttpHook) signs.
#[derive(Clone, Debug)]
pub struct RequestParts {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
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
        // Room for what the kind adds, so that the map does not grow.
        let mut map = HeaderMap::with_capacity(headers.len() + 4);
        for (name, value) in headers {
            map.insert(name, value);
        }
        Self { method, target, headers: map, body, idempotent }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query as they are sent, percent-encoded, the path of the service's URL included.
    pub fn path_and_query(&self) -> &str {
        self.target.as_str()
    }

    /// The headers so far. Those of framing (`content-length`) are added after the hook.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
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
                self.headers.insert(name, value);
                Ok(())
            }
            Err(problem) => Err(Failure::new(Blame::Caller, format!("the request was not sent: {problem}"))
                .reached(Reached::No)),
        }
    }

    /// Sets a header that the caller did not.
    pub(crate) fn set_default(&mut self, name: HeaderName, value: HeaderValue) {
        if !self.headers.contains_key(&name) {
            self.headers.insert(name, value);
        }
    }

    /// Sets a header of the kind's own.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    pub(crate) fn target(&self) -> &PathAndQuery {
        &self.target
    }

    pub(crate) fn into_headers_and_body(self) -> (HeaderMap, Option<Bytes>) {
        (self.headers, self.body)
    }
}
