use std::collections::BTreeMap;

use awc::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use seawall::units::ByteSize;
use serde::{Deserialize, Deserializer, de};

use crate::{
    auth::Auth,
    propagate::Propagated,
    request::{header_name, header_value},
    wire::{Target, TlsSettings},
};

/// How one HTTP service is reached. All of it stands on a service or above; a change replaces the pool.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `url` | required | `http://` or `https://`, host, port, and a path that all calls' paths follow |
/// | `tls` | the system's roots, 1.2 | `roots`, `ca`, `cert`, `key`, `server_name`, `min_version`; with `https://` only |
/// | `http.max_header` | `"64KiB"` | the largest head of an answer, to `"128KiB"`; a larger one fails its call |
/// | `http.max_body` | `"8MiB"` | the largest body of an answer; a larger one fails its call |
/// | `http.max_decoded` | `"32MiB"` | the same once decoded, for bodies that come in gzip |
/// | `http.headers` | none | headers of every request; one that a call sets is the call's |
/// | `http.auth` | none | `{ bearer = { env = ".." } }` or `{ user = "..", password = { file = ".." } }` |
/// | `http.health` | none | a path that answers a GET with 2xx while the service is well; for `health.interval` |
/// | `http.propagate` | all | what is passed on: `"traceparent"`, `"deadline"`, `"attempt"` |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct HttpSettings {
    address: Address,
    tls: TlsSettings,
    http: Table,
}

#[derive(Deserialize)]
struct Written {
    url: Option<Address>,
    #[serde(default, rename = "urls")]
    _urls: Unsupported,
    #[serde(default, rename = "dns")]
    _dns: Unsupported,
    #[serde(default)]
    tls: TlsSettings,
    #[serde(default)]
    http: Table,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Table {
    max_header: HeaderLimit,
    max_body: ByteSize,
    max_decoded: ByteSize,
    headers: Headers,
    auth: Option<Auth>,
    health: Option<HealthPath>,
    propagate: Vec<Propagated>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            max_header: HeaderLimit(ByteSize::kib(64)),
            max_body: ByteSize::mib(8),
            max_decoded: ByteSize::mib(32),
            headers: Headers::default(),
            auth: None,
            health: None,
            propagate: Propagated::ALL.to_vec(),
        }
    }
}

impl TryFrom<Written> for HttpSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { url, tls, http, .. } = written;
        let address = url.ok_or("`url` is missing: write `url = \"https://host\"`")?;
        if !address.target.is_tls() && tls != TlsSettings::default() {
            return Err("`tls` is set, but `url` begins with http://; write https://".into());
        }
        Ok(Self { address, tls, http })
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

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct HealthPath(String);

impl TryFrom<String> for HealthPath {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, &'static str> {
        if path.starts_with('/') { Ok(Self(path)) } else { Err("a path begins with a slash: \"/health\"") }
    }
}

/// A setting that is known, and that this version cannot follow: to take it and do nothing would be worse.
#[derive(Default)]
struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("not supported yet: a service has one endpoint, `url = \"https://host\"`"))
    }
}

impl HttpSettings {
    pub(crate) fn target(&self) -> &Target {
        &self.address.target
    }

    /// What stands before every call's path.
    pub(crate) fn base(&self) -> &str {
        &self.address.base
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

    /// The path that tells whether the service is well.
    pub(crate) fn health(&self) -> Option<&str> {
        self.http.health.as_ref().map(|path| path.0.as_str())
    }

    pub(crate) fn propagate(&self) -> &[Propagated] {
        &self.http.propagate
    }
}
