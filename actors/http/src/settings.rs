use std::collections::BTreeMap;

use awc::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use seawall::units::ByteSize;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
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
/// | `http.max_body` | `"8MiB"` | the largest body of an answer; a larger one fails its call |
/// | `http.max_decoded` | `"32MiB"` | the same once decoded, for bodies that come in gzip |
/// | `http.headers` | none | headers of every request; one that a call sets is the call's |
/// | `http.health` | none | a path that answers a GET with 2xx while the service is well; for `health.interval` |
/// | `http.propagate` | all | what is passed on: `"traceparent"`, `"deadline"`, `"attempt"` |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct HttpSettings {
    target: Target,
    base: String,
    tls: TlsSettings,
    max_body: ByteSize,
    max_decoded: ByteSize,
    headers: Vec<(HeaderName, HeaderValue)>,
    health: Option<String>,
    propagate: Vec<Propagated>,
}

#[derive(Deserialize)]
struct Written {
    url: Option<String>,
    urls: Option<IgnoredAny>,
    dns: Option<IgnoredAny>,
    #[serde(default)]
    tls: TlsSettings,
    #[serde(default)]
    http: Table,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    max_body: ByteSize,
    max_decoded: ByteSize,
    headers: BTreeMap<String, String>,
    health: Option<String>,
    propagate: Vec<Propagated>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            max_body: ByteSize::mib(8),
            max_decoded: ByteSize::mib(32),
            headers: BTreeMap::new(),
            health: None,
            propagate: Propagated::ALL.to_vec(),
        }
    }
}

impl TryFrom<Written> for HttpSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.urls.is_some() || written.dns.is_some() {
            return Err(
                "`urls` and `dns` are not supported yet: a service has one endpoint, `url = \"https://..\"`"
                    .into(),
            );
        }
        let url = written.url.ok_or("`url` is missing: write `url = \"https://host\"`")?;
        let target = Target::parse(&url).map_err(|error| error.to_string())?;
        let base = base(&url)?;
        if !target.is_tls() && written.tls != TlsSettings::default() {
            return Err("`tls` is set, but `url` begins with http://; write https://".into());
        }
        let mut headers = Vec::with_capacity(written.http.headers.len());
        for (name, value) in written.http.headers {
            let parsed = header_name(&name).map_err(|problem| format!("`http.headers`: {problem}"))?;
            let value = header_value(&value).map_err(|problem| format!("`http.headers.{name}` {problem}"))?;
            headers.push((parsed, value));
        }
        let Table { max_body, max_decoded, health, propagate, .. } = written.http;
        if health.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err("`http.health` must be a path, such as \"/health\"".into());
        }
        Ok(Self { target, base, tls: written.tls, max_body, max_decoded, headers, health, propagate })
    }
}

/// The path of a service's URL, without a slash at its end.
fn base(url: &str) -> Result<String, String> {
    let wrong = |problem: &str| format!("`url` {problem}");
    if url.contains(['?', '#']) {
        return Err(wrong("has a query or fragment; write these with the call"));
    }
    let uri: Uri = url.parse().map_err(|error| wrong(&format!("is no URL: {error}")))?;
    let path = uri.path().trim_end_matches('/');
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(wrong("has a segment `.` or `..`"));
    }
    Ok(path.to_owned())
}

impl HttpSettings {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What stands before every call's path.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    pub(crate) fn max_body(&self) -> ByteSize {
        self.max_body
    }

    pub(crate) fn max_decoded(&self) -> ByteSize {
        self.max_decoded
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The path that tells whether the service is well.
    pub(crate) fn health(&self) -> Option<&str> {
        self.health.as_deref()
    }

    pub(crate) fn propagate(&self) -> &[Propagated] {
        &self.propagate
    }
}
