use std::collections::BTreeMap;

use awc::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use seawall::{policy::MOST_ENDPOINTS, units::ByteSize};
use serde::Deserialize;

use crate::{
    auth::Auth,
    propagate::Propagated,
    redirect,
    request::{header_name, header_value},
    wire::{Proxy, Target, TlsSettings},
};

/// The most servers that redirects may lead to: each has a pool of its own.
const MOST_SERVERS: usize = 16;

/// How one HTTP service is reached. All of it stands on a service or above; a change replaces the pool.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `url` | required | `http://` or `https://`, host, port, and a path that all calls' paths follow |
/// | `urls` | none | several of these in place of `url`, of one scheme and path: calls are balanced over them |
/// | `tls` | the system's roots, 1.2 | `roots`, `ca`, `cert`, `key`, `server_name`, `min_version`; with `https://` only |
/// | `http.max_header` | `"64KiB"` | the largest head of an answer, to `"128KiB"`; a larger one fails its call |
/// | `http.max_body` | `"8MiB"` | the largest body of an answer; a larger one fails its call |
/// | `http.max_decoded` | `"32MiB"` | the same once decoded, for bodies that come in gzip |
/// | `http.headers` | none | headers of every request; one that a call sets is the call's |
/// | `http.auth` | none | `{ bearer = { env = ".." } }` or `{ user = "..", password = { file = ".." } }` |
/// | `http.version` | `"1.1"` | the version of HTTP; there is no other yet |
/// | `http.redirects` | 0 | how many redirects are followed, to 5: within the service, and mostly of GETs |
/// | `http.redirect_to` | none | other servers that redirects may lead to: `["https://files.internal"]`; they get no credentials |
/// | `http.proxy` | `false` | `"http://host:port"`, or a table of `url`, `user` and `password = { env = ".." }`; the environment's are never used |
/// | `http.health` | none | a path that answers a GET with 2xx while the service is well; for `health.interval` |
/// | `http.propagate` | all | what is passed on: `"traceparent"`, `"deadline"`, `"attempt"` |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct HttpSettings {
    target: Target,
    /// The others, where there are several; all of one scheme.
    others: Vec<Target>,
    /// What stands before every call's path.
    base: String,
    tls: TlsSettings,
    http: Table,
}

#[derive(Deserialize)]
struct Written {
    url: Option<Address>,
    urls: Option<Addresses>,
    #[serde(default)]
    tls: TlsSettings,
    #[serde(default)]
    http: Table,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Table {
    version: Version,
    max_header: HeaderLimit,
    max_body: ByteSize,
    max_decoded: ByteSize,
    headers: Headers,
    auth: Option<Auth>,
    redirects: Redirects,
    redirect_to: Servers,
    proxy: Option<Proxy>,
    health: Option<HealthPath>,
    propagate: Vec<Propagated>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            version: Version,
            max_header: HeaderLimit(ByteSize::kib(64)),
            max_body: ByteSize::mib(8),
            max_decoded: ByteSize::mib(32),
            headers: Headers::default(),
            auth: None,
            redirects: Redirects(0),
            redirect_to: Servers::default(),
            proxy: None,
            health: None,
            propagate: Propagated::ALL.to_vec(),
        }
    }
}

impl TryFrom<Written> for HttpSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { url, urls, tls, http } = written;
        let (target, others, base) = match (url, urls) {
            (Some(url), None) => (url.target, Vec::new(), url.base),
            (None, Some(Addresses { first, others })) => (first.target, others, first.base),
            (None, None) => return Err("`url` is missing: write `url = \"https://host\"`".into()),
            (Some(_), Some(_)) => {
                return Err("`url` and `urls` are both set; write one, or all of them in `urls`".into());
            }
        };
        if tls != TlsSettings::default() && !target.is_tls() {
            return Err("`tls` is set, but `url` begins with http://; write https://".into());
        }
        let allowed = &http.redirect_to.0;
        if http.redirects.0 == 0 && !allowed.is_empty() {
            return Err(
                "`http.redirect_to` is set, but no redirects are followed; set `http.redirects`".into()
            );
        }
        if let Some(plain) = allowed.iter().find(|allowed| target.is_tls() && !allowed.is_tls()) {
            return Err(format!(
                "`http.redirect_to` names {plain}, but redirects are never followed from https:// to http://"
            ));
        }
        if let Some(own) = allowed.iter().find(|allowed| **allowed == target || others.contains(allowed)) {
            return Err(format!(
                "`http.redirect_to` names {own}, which is the service itself and always allowed"
            ));
        }
        Ok(Self { target, others, base, tls, http })
    }
}

/// Where the endpoints of a service are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Vec<Address>")]
struct Addresses {
    first: Address,
    others: Vec<Target>,
}

impl TryFrom<Vec<Address>> for Addresses {
    type Error = String;

    fn try_from(addresses: Vec<Address>) -> Result<Self, String> {
        let count = addresses.len();
        if count > MOST_ENDPOINTS {
            return Err(format!("{count} endpoints are more than the {MOST_ENDPOINTS} a service may have"));
        }
        let mut addresses = addresses.into_iter();
        let first = addresses.next().ok_or("`urls` is empty; write one at least")?;
        let mut others: Vec<Target> = Vec::new();
        for Address { target, base } in addresses {
            if target.is_tls() != first.target.is_tls() {
                return Err(format!(
                    "{} and {target} differ in their scheme; endpoints of one service are all http:// or all https://",
                    first.target
                ));
            }
            if base != first.base {
                return Err(format!(
                    "\"{}\" and \"{base}\" differ; the path before all calls' paths is the same at each endpoint",
                    first.base
                ));
            }
            if target == first.target || others.contains(&target) {
                return Err(format!("{target} is there twice"));
            }
            others.push(target);
        }
        Ok(Self { first, others })
    }
}

/// Where the service is, and what stands before every call's path.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Address {
    target: Target,
    base: String,
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let target = Target::parse(&url).map_err(|error| error.to_string())?;
        if url.contains(['?', '#']) {
            return Err("`url` has a query or fragment; write these with the call".into());
        }
        let uri: Uri = url.parse().map_err(|error| format!("`url` is no URL: {error}"))?;
        let base = uri.path().trim_end_matches('/');
        if base.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("`url` has a segment `.` or `..`".into());
        }
        Ok(Self { target, base: base.to_owned() })
    }
}

/// Headers of every request, valid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
struct Headers(Vec<(HeaderName, HeaderValue)>);

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = String;

    fn try_from(written: BTreeMap<String, String>) -> Result<Self, String> {
        let read = |(name, value): (String, String)| {
            let parsed = header_name(&name)?;
            if parsed == awc::http::header::AUTHORIZATION {
                return Err(
                    "`authorization` is a secret: write `auth = { bearer = { env = \"..\" } }`".into()
                );
            }
            let value = header_value(&value).map_err(|problem| format!("the header `{name}` {problem}"))?;
            Ok((parsed, value))
        };
        written.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// How large an answer's head may be. awc itself goes no further than 128 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "ByteSize")]
struct HeaderLimit(ByteSize);

impl TryFrom<ByteSize> for HeaderLimit {
    type Error = &'static str;

    fn try_from(size: ByteSize) -> Result<Self, &'static str> {
        match (ByteSize::kib(1)..=ByteSize::kib(128)).contains(&size) {
            true => Ok(Self(size)),
            false => Err("an answer's head may have from \"1KiB\" to \"128KiB\""),
        }
    }
}

/// The version of HTTP that is spoken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Version;

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(version: String) -> Result<Self, String> {
        match version.as_str() {
            "1.1" => Ok(Self),
            "2" | "2.0" => {
                Err("HTTP/2 is not spoken: the library under awc that would speak it has a known hole that \
                                is not mended; write \"1.1\", or leave it out"
                    .into())
            }
            other => Err(format!("\"{other:.20}\" is not spoken; write \"1.1\", or leave it out")),
        }
    }
}

/// How many redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "u8")]
struct Redirects(u8);

impl TryFrom<u8> for Redirects {
    type Error = String;

    fn try_from(most: u8) -> Result<Self, String> {
        match most <= redirect::MOST {
            true => Ok(Self(most)),
            false => Err(format!(
                "{most} redirects are too many for one attempt: each is a whole exchange; {} at most",
                redirect::MOST
            )),
        }
    }
}

/// Servers by scheme, host and port alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Servers(Vec<Target>);

impl TryFrom<Vec<String>> for Servers {
    type Error = String;

    fn try_from(urls: Vec<String>) -> Result<Self, String> {
        if urls.len() > MOST_SERVERS {
            return Err(format!("{} servers are more than the {MOST_SERVERS} that may be named", urls.len()));
        }
        let mut servers: Vec<Target> = Vec::new();
        for url in urls {
            let Address { target, base } = Address::try_from(url)?;
            if !base.is_empty() {
                return Err(format!("{target} has a path; any of its paths may be led to, so write none"));
            }
            if servers.contains(&target) {
                return Err(format!("{target} is there twice"));
            }
            servers.push(target);
        }
        Ok(Self(servers))
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct HealthPath(String);

impl TryFrom<String> for HealthPath {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, &'static str> {
        if path.starts_with('/') { Ok(Self(path)) } else { Err("a path begins with a slash: \"/health\"") }
    }
}

impl HttpSettings {
    /// Where it is, and where else.
    pub(crate) fn targets(&self) -> (&Target, &[Target]) {
        (&self.target, &self.others)
    }

    /// What stands before every call's path.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    pub(crate) fn max_header(&self) -> ByteSize {
        self.http.max_header.0
    }

    pub(crate) fn max_body(&self) -> ByteSize {
        self.http.max_body
    }

    pub(crate) fn max_decoded(&self) -> ByteSize {
        self.http.max_decoded
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.http.headers.0
    }

    pub(crate) fn auth(&self) -> Option<&Auth> {
        self.http.auth.as_ref()
    }

    /// How many redirects are followed.
    pub(crate) fn redirects(&self) -> u8 {
        self.http.redirects.0
    }

    /// Where they may lead, besides the service itself.
    pub(crate) fn redirect_to(&self) -> &[Target] {
        &self.http.redirect_to.0
    }

    /// What all connections go through.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.http.proxy.as_ref()
    }

    /// The path that tells whether the service is well.
    pub(crate) fn health(&self) -> Option<&str> {
        self.http.health.as_ref().map(|path| path.0.as_str())
    }

    pub(crate) fn propagate(&self) -> &[Propagated] {
        &self.http.propagate
    }
}
