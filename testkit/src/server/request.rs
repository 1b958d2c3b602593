use std::time::Instant;

use bytes::Bytes;

/// A request as it came over the wire, with its body whole and its chunks joined.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The connection that it came on, counted from 1 in the order of acceptance.
    pub connection: u64,
    /// The host that the client named in its TLS handshake (SNI), if it did.
    pub server_name: Option<String>,
    /// When its first byte was read, in real time.
    pub arrived: Instant,
    /// The method, as sent.
    pub method: String,
    /// The target, as sent: path and query.
    pub target: String,
    /// The minor version: 1 for HTTP/1.1.
    pub minor_version: u8,
    /// The headers in the order and case that they were sent in.
    pub headers: Vec<(String, Bytes)>,
    /// The body; empty where a script read the head alone.
    pub body: Bytes,
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The first header of that name, in any case, if its value is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of that header, in any case of its name.
    pub fn header_values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
    }

    /// Whether the client wants the connection kept for another request.
    pub(super) fn keeps_alive(&self) -> bool {
        let says = |word: &str| {
            self.header_values("connection").any(|value| {
                value
                    .split(|byte| *byte == b',')
                    .any(|item| item.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
            })
        };
        if self.minor_version == 0 { says("keep-alive") } else { !says("close") }
    }
}
