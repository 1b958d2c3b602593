use bytes::Bytes;
use serde_json::Value;

use super::{Request, Script};

/// A well-formed reply, for when the fault lies elsewhere.
///
/// Framed by content-length, without a body to HEAD, 1xx, 204 and 304; it keeps the connection where the client does.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    close: bool,
}

impl Reply {
    /// An empty reply with that status.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), close: false }
    }

    /// 200 with a JSON body.
    pub fn json(value: &Value) -> Self {
        Self::status(200).header("content-type", "application/json").body(value.to_string())
    }

    /// 200 with a plain text body.
    pub fn text(text: impl Into<String>) -> Self {
        Self::status(200).header("content-type", "text/plain; charset=utf-8").body(text.into())
    }

    /// Another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One header more. It is sent as given: a line break in it is a fault that the client gets to see.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Says `connection: close` and closes after the reply.
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    pub(super) fn script_for(self, request: &Request) -> Script {
        let close = self.close || !request.keeps_alive();
        let no_length = self.status < 200 || self.status == 204;
        let no_body = no_length || self.status == 304 || request.method == "HEAD";

        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !no_length {
            head.extend(["content-length: ", &self.body.len().to_string(), "\r\n"]);
        }
        if close {
            head.push_str("connection: close\r\n");
        } else if request.minor_version == 0 {
            head.push_str("connection: keep-alive\r\n");
        }
        head.push_str("\r\n");

        let mut bytes = head.into_bytes();
        if !no_body {
            bytes.extend_from_slice(&self.body);
        }
        let script = Script::new().write(bytes);
        if close { script.close() } else { script }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
