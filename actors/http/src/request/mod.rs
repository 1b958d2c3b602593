//! A request in the making: a method, a path whose values cannot leave their segments, headers, a body.
//!
//! Values come from users, who may be hostile. So a path is never formatted and then parsed: literal parts and values
//! are written apart, every value is percent-encoded but for the unreserved characters, and what would still change
//! the path when it stands alone in a segment (nothing, `.` and `..`, which URL libraries and proxies resolve) is
//! refused. What is refused is the caller's fault, and was not sent.

mod encode;
mod header;
mod heads;
mod parts;
mod values;

use std::fmt::Write as _;

use awc::http::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use bytes::Bytes;
use seawall::downstream::{Blame, Failure, Reached};
use serde::Serialize;

use encode::Encoded;
pub(crate) use heads::Template;
pub use parts::RequestParts;
pub use values::Shown;

pub(crate) use header::{name as header_name, value as header_value};

/// A request to the service, relative to its URL.
///
/// The methods take what a call has and never fail; what was wrong is told when the request is sent.
///
/// ```
/// # use seawall_http::Request;
/// let (id, tenant) = (42, "acme");
/// let request = Request::get()
///     .path("/users/")
///     .segment("id", &id)
///     .query("verbose", &true)
///     .header("x-tenant", &tenant);
/// # drop(request);
/// ```
#[derive(Debug)]
pub struct Request {
    method: Method,
    target: String,
    in_query: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    idempotent: bool,
    refused: Option<String>,
}

impl Request {
    fn new(method: Method) -> Self {
        let idempotent = method.is_idempotent();
        Self {
            method,
            target: String::with_capacity(64),
            in_query: false,
            headers: Vec::new(),
            body: None,
            idempotent,
            refused: None,
        }
    }

    /// A GET, which is idempotent.
    pub fn get() -> Self {
        Self::new(Method::GET)
    }

    /// A POST.
    pub fn post() -> Self {
        Self::new(Method::POST)
    }

    /// A PUT, which is idempotent.
    pub fn put() -> Self {
        Self::new(Method::PUT)
    }

    /// A PATCH.
    pub fn patch() -> Self {
        Self::new(Method::PATCH)
    }

    /// A DELETE, which is idempotent.
    pub fn delete() -> Self {
        Self::new(Method::DELETE)
    }

    /// Appends a literal part of the path, written by the programmer: `/users/`. It may span segments, so values do not
    /// belong here but into [`segment`](Self::segment); characters that a path cannot hold are percent-encoded.
    #[must_use]
    pub fn path(mut self, literal: &str) -> Self {
        if self.in_query {
            return self.refuse(|| format!("the path {literal:?} comes after the query"));
        }
        encode::literal(&mut self.target, literal);
        self
    }

    /// Appends a value to the path. It stays within its segment whatever it contains; `name` is for the error only.
    #[must_use]
    pub fn segment(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        if self.in_query {
            return self.refuse(|| format!("the path's `{name}` comes after the query"));
        }
        let before = self.target.len();
        let target = &mut self.target;
        let written = values::scalar(value, &mut |text| {
            // Writing to a `String` cannot fail.
            let _ = write!(Encoded(target), "{text}");
        });
        match written {
            Err(error) => self.refuse(|| format!("the path's `{name}` has no text: {error}")),
            Ok(_) if self.target.len() == before => self.refuse(|| {
                format!(
                    "the path's `{name}` is empty, so that it would name another resource; give it a value"
                )
            }),
            Ok(_) => self,
        }
    }

    /// Appends a parameter to the query. A list repeats the name, a structure or map gives its own names, `None` is
    /// left out.
    #[must_use]
    pub fn query(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        let (target, in_query) = (&mut self.target, &mut self.in_query);
        let written = values::pairs(name, value, &mut |name, text| {
            target.push(if *in_query { '&' } else { '?' });
            *in_query = true;
            let mut encoded = Encoded(target);
            // Writing to a `String` cannot fail.
            let _ = encoded.write_str(name);
            encoded.0.push('=');
            let _ = write!(encoded, "{text}");
        });
        match written {
            Err(error) => self.refuse(|| format!("the query's `{name}` has no text: {error}")),
            Ok(()) => self,
        }
    }

    /// Sets a header to one piece of text; `None` leaves it unset. A header that the settings give too is this one's.
    #[must_use]
    pub fn header(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        match header::name(name).map(|name| (name, header::of(value))) {
            Err(problem) => self.refuse(|| problem),
            Ok((name, Err(problem))) => self.refuse(|| format!("the header `{name}` {problem}")),
            Ok((_, Ok(None))) => self,
            Ok((name, Ok(Some(value)))) => {
                self.headers.retain(|(other, _)| *other != name);
                self.headers.push((name, value));
                self
            }
        }
    }

    /// Sets the body, as JSON.
    #[must_use]
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(json) => self.body("application/json", json),
            Err(error) => self.refuse(|| format!("the body cannot be written as JSON: {error}")),
        }
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        if !self.has_header(&CONTENT_TYPE) {
            self.headers.push((CONTENT_TYPE, content_type));
        }
        self.body = Some(body.into());
        self
    }

    /// Says whether the request may be sent twice, where its method says otherwise.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    pub(crate) fn has_header(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(other, _)| other == name)
    }

    fn refuse(mut self, problem: impl FnOnce() -> String) -> Self {
        self.refused.get_or_insert_with(problem);
        self
    }

    /// # Errors
    /// What was refused, or a path that cannot be sent.
    pub(crate) fn into_parts(
        self,
        base: &str,
        template: Template,
        fill: impl FnOnce(&mut HeaderMap),
    ) -> Result<RequestParts, Failure> {
        let refused = |problem: String| {
            Err(Failure::new(Blame::Caller, format!("the request was not sent: {problem}"))
                .reached(Reached::No))
        };
        if let Some(problem) = self.refused {
            return refused(problem);
        }
        if !self.target.starts_with('/') {
            return refused("its path does not begin with a slash".into());
        }
        if has_dots(&self.target) {
            return refused(
                "a segment of its path is `.` or `..`, which would name another resource; refuse such values"
                    .into(),
            );
        }
        let target = if base.is_empty() { self.target } else { format!("{base}{}", self.target) };
        match target.try_into() {
            Ok(target) => {
                let target = (self.method, target);
                let mut parts = RequestParts::new(target, self.body, self.idempotent, template, fill);
                for (name, value) in self.headers {
                    parts.set(name, value);
                }
                Ok(parts)
            }
            Err(error) => refused(format!("its path cannot be sent: {error}")),
        }
    }
}

/// Whether a segment of the path is `.` or `..`.
fn has_dots(target: &str) -> bool {
    // Nearly no path has a segment that begins so.
    if !target.as_bytes().windows(2).any(|pair| pair == b"/.") {
        return false;
    }
    let path = target.split('?').next().unwrap_or_default();
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}
