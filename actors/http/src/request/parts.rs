use std::rc::Rc;

use actix_http::RequestHead;
use awc::http::{
    Method,
    header::{
        ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE,
        HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
    },
    uri::{InvalidUri, PathAndQuery},
};
use bytes::Bytes;
use seawall::downstream::{Blame, Failure, Reached};

use super::heads::{self, Template};

/// A request as it is about to be sent: what a [hook](crate::HttpHook) signs.
#[derive(Clone, Debug)]
pub struct RequestParts {
    /// Shared with what is being sent; a copy of these parts is a copy only once it is changed.
    head: Rc<RequestHead>,
    body: Option<Bytes>,
    idempotent: bool,
    /// Whether the head has its template's headers and no other.
    plain: bool,
}

impl RequestParts {
    /// Parts with the headers of a template, which `fill` puts into a head that has none yet.
    pub(super) fn new(
        (method, target): (Method, PathAndQuery),
        body: Option<Bytes>,
        idempotent: bool,
        template: Template,
        fill: impl FnOnce(&mut HeaderMap),
    ) -> Self {
        let (mut head, filled) = heads::take(template);
        let own = Rc::make_mut(&mut head);
        (own.method, own.uri) = (method, target.into());
        if !filled {
            fill(&mut own.headers);
        }
        Self { head, body, idempotent, plain: true }
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

    /// The same to another path of the service; as a GET, if `method` is one, of no body.
    ///
    /// # Errors
    /// For a path that cannot be sent.
    pub(crate) fn moved(&self, method: Method, target: &str) -> Result<Self, InvalidUri> {
        let mut moved = Self { plain: false, ..self.clone() };
        let head = Rc::make_mut(&mut moved.head);
        head.uri = PathAndQuery::try_from(target)?.into();
        if method == Method::GET && head.method != Method::GET {
            for about_the_body in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
                head.headers.remove(about_the_body);
            }
            (moved.body, moved.idempotent) = (None, true);
        }
        head.method = method;
        Ok(moved)
    }

    /// A GET of what another server has, with nothing of what was added for this one.
    ///
    /// # Errors
    /// For a path that cannot be sent.
    pub(crate) fn elsewhere(&self, target: &str) -> Result<Self, InvalidUri> {
        // Which headers hold credentials is not known: hooks and settings name them as they like. These do not.
        const HARMLESS: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, USER_AGENT];
        let mut head = RequestHead::default();
        head.uri = PathAndQuery::try_from(target)?.into();
        for name in HARMLESS {
            if let Some(value) = self.head.headers.get(&name) {
                head.headers.insert(name, value.clone());
            }
        }
        Ok(Self { head: Rc::new(head), body: None, idempotent: true, plain: false })
    }

    /// Has it made by a proxy, which is told the whole URL and `known`.
    ///
    /// # Errors
    /// If that is too long.
    pub(crate) fn go_through(&mut self, server: &str, known: Option<HeaderValue>) -> Result<(), Failure> {
        let url = format!("{server}{}", self.path_and_query());
        // It is written as it is: a path that begins with a scheme is the whole URL.
        let url = PathAndQuery::try_from(url).map_err(|error| {
            let problem = format!("the request was not sent: its path cannot be told to the proxy: {error}");
            Failure::new(Blame::Caller, problem).reached(Reached::No)
        })?;
        Rc::make_mut(&mut self.head).uri = url.into();
        if let Some(known) = known {
            self.set(PROXY_AUTHORIZATION, known);
        }
        Ok(())
    }

    /// Sets a header that the caller did not.
    pub(crate) fn set_default(&mut self, name: HeaderName, value: HeaderValue) {
        if !self.head.headers.contains_key(&name) {
            self.set(name, value);
        }
    }

    /// Sets a header of this request alone.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.plain = false;
        Rc::make_mut(&mut self.head).headers.insert(name, value);
    }

    /// Sets a header that every request of the template has, if with another value.
    pub(crate) fn set_standing(&mut self, name: &HeaderName, value: HeaderValue) {
        let headers = &mut Rc::make_mut(&mut self.head).headers;
        match headers.get_mut(name) {
            Some(before) => *before = value,
            None => drop(headers.insert(name.clone(), value)),
        }
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
    pub(crate) fn recycle(self, template: Template) {
        heads::give_back(self.head, self.plain.then_some(template));
    }
}
