//! Which redirects are followed: `http.redirects`, which is 0.
//!
//! A redirect lets a server choose the next request. A browser's user sees where he goes; a service does not, stands
//! within the network, and holds credentials. So what a redirect may do is little, and the rest is said in the settings:
//!
//! - It leads to the service itself (any of its `urls`), or to a server named in `http.redirect_to`. All others are
//!   refused before anything is looked up or connected to, whatever is written for them (`127.0.0.1`, `2130706433`, a
//!   name that resolves to either): what is compared is the text, and only what the settings say is equal to it.
//! - Never from `https` to `http`.
//! - What was added for the service stays with it. Another server gets a request of its own with the few headers that
//!   hold no credentials, without a client certificate, and no hook is asked for it. Once a redirect has left the service, one that
//!   leads back is no longer the service's own choice, and is followed without credentials too.
//! - 301, 302 and 303 are followed by a GET, the first two only for one: a POST that is made again as a POST may act
//!   twice, and one that becomes a GET, as browsers have it, may mean anything. 303 is the answer of a write that has been
//!   made, and means a GET. 307 and 308 ask for the same again: within the service, and where twice is as well as once.
//! - At most five (`MOST`), since each is a whole exchange within one attempt's time: two are what well-kept services need
//!   (a moved path, a missing slash), and the rest is for those that are not.
//!
//! Followed redirects are one attempt: its deadline, its place in the bulkhead and its permit are for all of them.

mod location;

use std::fmt;

use awc::http::{Method, StatusCode};

use crate::wire::Target;
use location::Reference;

/// The most that may be followed.
pub(crate) const MOST: u8 = 5;

/// A request that was answered with a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
}

/// What a server is to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// It is one of its endpoints.
    Own,
    /// The settings allow it.
    Allowed,
    /// Nothing.
    Stranger,
}

/// The redirects of one attempt.
#[derive(Debug)]
pub(crate) struct Way {
    most: u8,
    /// Bounded by `most`.
    seen: Vec<Asked>,
    left_home: bool,
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no `location` that can be followed.
    Unreadable,
    /// It is no URL of HTTP's.
    Scheme,
    /// It leads to a server that is not allowed.
    Stranger,
    /// It leads from https to http.
    Downgrade,
    /// It would make a write again, or make it elsewhere.
    Write,
    /// It leads to where it came from.
    Loop,
    /// There were as many as allowed.
    TooMany(u8),
}

impl Way {
    pub(crate) fn new(most: u8) -> Self {
        Self { most, seen: Vec::new(), left_home: false }
    }

    /// Whether what was added for the service may go along.
    pub(crate) fn is_home(&self) -> bool {
        !self.left_home
    }

    /// Whether any redirect is followed at all, with this status.
    pub(crate) fn asks(&self, status: StatusCode) -> bool {
        self.most > 0 && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }

    /// The request that a redirect asks for, if it is to be made.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn next(
        &mut self,
        asked: Asked,
        status: StatusCode,
        location: &str,
        idempotent: bool,
        whose: impl FnOnce(&Target) -> Whose,
    ) -> Result<Asked, Refused> {
        let reference = Reference::parse(location)?;
        let target = reference.target(&asked.target)?;
        let whose = whose(&target);
        if whose == Whose::Stranger {
            return Err(Refused::Stranger);
        }
        if asked.target.is_tls() && !target.is_tls() {
            return Err(Refused::Downgrade);
        }
        let method = match status.as_u16() {
            303 => Method::GET,
            301 | 302 if asked.method != Method::GET => return Err(Refused::Write),
            _ if asked.method != Method::GET && !(idempotent && whose == Whose::Own && self.is_home()) => {
                return Err(Refused::Write);
            }
            _ => asked.method.clone(),
        };
        let next = Asked { method, path_and_query: reference.path_and_query(&asked.path_and_query), target };
        self.seen.push(asked);
        if self.seen.contains(&next) {
            return Err(Refused::Loop);
        }
        if self.seen.len() > usize::from(self.most) {
            return Err(Refused::TooMany(self.most));
        }
        self.left_home |= whose != Whose::Own;
        Ok(next)
    }
}

/// What a redirect leads to, in words that repeat neither path nor query.
pub(crate) fn describe(location: &str) -> String {
    match Reference::parse(location) {
        Ok(reference) => reference.to_string(),
        Err(refused) => refused.to_string(),
    }
}

impl Refused {
    /// Whether it is the server that goes astray, rather than the settings that are strict.
    pub(crate) fn is_astray(self) -> bool {
        matches!(self, Self::Loop | Self::TooMany(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("a redirect to what is no URL"),
            Self::Scheme => f.write_str("a redirect to what is neither http:// nor https://"),
            Self::Stranger => f.write_str("it is another server, which `http.redirect_to` does not name"),
            Self::Downgrade => f.write_str("it leads from https:// to http://"),
            Self::Write => {
                f.write_str("a request that may not be made twice, or not elsewhere, is not made again")
            }
            Self::Loop => f.write_str("it leads in a circle"),
            Self::TooMany(most) => write!(f, "it is one more than {most} (`http.redirects`)"),
        }
    }
}

#[cfg(test)]
mod tests;
