//! The proxy that connections go through: `http.proxy`.
//!
//! Only where the settings say so. The variables that other clients read (`HTTP_PROXY` and its kin) are not looked at: what
//! a CGI request, a shell's profile or a base image put into the environment must not send a service's traffic, and its
//! credentials, to somebody else.
//!
//! To an `https` service the proxy is asked for a tunnel (`CONNECT`): it learns host and port, and all else is between
//! us and the service, whose certificate is checked as always. To an `http` service requests name the whole URL (RFC
//! 9112, section 3.2.2). Names are looked up by the proxy, since it may know others. What it knows us by is told to it alone: in
//! `CONNECT`, or in a header that proxies take out.

use std::{error::Error, fmt, io};

use awc::http::header::{HeaderValue, PROXY_AUTHORIZATION};
use seawall::config::Secret;
use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Target;
use crate::auth::Auth;

/// The longest answer to `CONNECT`.
const LONGEST: usize = 16 << 10;

/// Where the proxy is, and what it knows us by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proxy {
    server: Target,
    auth: Option<Auth>,
}

/// A proxy that would not open a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoTunnel {
    /// It answered with this status.
    Answered(u16),
    /// It answered with what is no answer to `CONNECT`.
    Unreadable,
    /// What it knows us by cannot be read.
    Unknown,
}

impl Proxy {
    pub(crate) fn server(&self) -> &Target {
        &self.server
    }

    /// What it knows us by.
    pub(crate) fn auth(&self) -> Option<&Auth> {
        self.auth.as_ref()
    }

    /// Asks for a tunnel.
    ///
    /// # Errors
    /// [`NoTunnel`] within, or the network's.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, to: &Target) -> io::Result<()> {
        let known = self.auth.as_ref().map(Auth::header).transpose().map_err(|_| NoTunnel::Unknown)?;
        stream.write_all(&connect(to, known.as_ref())).await?;
        let mut answer = Vec::new();
        loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match answered(&answer)? {
                Some(()) => return Ok(()),
                None if answer.len() > LONGEST => return Err(NoTunnel::Unreadable.into()),
                None => {}
            }
        }
    }
}

fn connect(to: &Target, known: Option<&HeaderValue>) -> Vec<u8> {
    let authority = to.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
    if let Some(known) = known {
        request.extend_from_slice(PROXY_AUTHORIZATION.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(known.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Whether the tunnel is open; `None` while the answer is not whole.
fn answered(answer: &[u8]) -> Result<Option<()>, NoTunnel> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let status = match answer {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', digits @ ..] if digits.len() > 3 => {
            std::str::from_utf8(&digits[..3]).ok().and_then(|digits| digits.parse::<u16>().ok())
        }
        _ => None,
    };
    match status {
        // The service's end of TLS speaks second: what follows at once is not from it.
        Some(200..=299) if answer.len() > end + 4 => Err(NoTunnel::Unreadable),
        Some(200..=299) => Ok(Some(())),
        Some(status @ 300..=599) => Err(NoTunnel::Answered(status)),
        _ => Err(NoTunnel::Unreadable),
    }
}

impl NoTunnel {
    /// Whether it is what we ask for, or as whom, that it does not like.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Unknown | Self::Answered(400..=499))
    }
}

impl fmt::Display for NoTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(407) => f.write_str(
                "the proxy wants to know who asks (407): write `http.proxy = { url = \"..\", user = \"..\", password = { env = \"..\" } }`, \
                 or mend what it says",
            ),
            Self::Answered(status @ 400..=499) => write!(f, "the proxy does not allow it ({status})"),
            Self::Answered(status) => write!(f, "the proxy did not reach it ({status})"),
            Self::Unreadable => f.write_str("what answered at `http.proxy` is no proxy"),
            Self::Unknown => f.write_str("the password of `http.proxy` cannot be read"),
        }
    }
}

impl Error for NoTunnel {}

impl From<NoTunnel> for io::Error {
    fn from(refusal: NoTunnel) -> Self {
        Self::other(refusal)
    }
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    url: String,
    user: Option<String>,
    password: Option<Secret>,
}

impl TryFrom<Written> for Proxy {
    type Error = String;

    fn try_from(Written { url, user, password }: Written) -> Result<Self, String> {
        if url.contains('@') {
            return Err("a proxy's `url` carries no user or password; write `user = \"..\"` and \
                        `password = { env = \"..\" }` beside it"
                .into());
        }
        let server = Target::parse(&url).map_err(|error| error.to_string())?;
        if server.is_tls() {
            return Err("a proxy is spoken to in the clear: write http:// (what is sent to an https:// service through it \
                        is encrypted all the same)"
                .into());
        }
        let path =
            url.split_once("://").and_then(|(_, rest)| rest.find(['/', '?', '#']).map(|at| &rest[at..]));
        if path.is_some_and(|path| path != "/") {
            return Err("a proxy has no path: write \"http://host:port\"".into());
        }
        let auth = match (user, password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some(Auth::basic(user, password)?),
            _ => return Err("a proxy has both `user` and `password`, or neither".into()),
        };
        Ok(Self { server, auth })
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Proxy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("false, \"http://host:port\" or { url = \"http://host:port\", user = \"..\", password = { env = \"..\" } }")
    }

    fn visit_str<E: de::Error>(self, url: &str) -> Result<Proxy, E> {
        Written { url: url.to_owned(), user: None, password: None }.try_into().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Proxy, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(map))?;
        written.try_into().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn a_tunnel_is_asked_for_by_host_and_port() {
        let asked = |url| String::from_utf8(connect(&target(url), None)).unwrap();
        assert_eq!(asked("https://users"), "CONNECT users:443 HTTP/1.1\r\nhost: users:443\r\n\r\n");
        assert_eq!(asked("https://[::1]:8443"), "CONNECT [::1]:8443 HTTP/1.1\r\nhost: [::1]:8443\r\n\r\n");
        let known = connect(&target("https://users"), Some(&HeaderValue::from_static("Basic eDp5")));
        assert!(String::from_utf8(known).unwrap().ends_with("\r\nproxy-authorization: Basic eDp5\r\n\r\n"));
    }

    #[test]
    fn only_a_whole_answer_of_2xx_opens_it() {
        let whole = "HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(answered(&whole.as_bytes()[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(answered(whole.as_bytes()), Ok(Some(())));
        for (answer, refusal) in [
            ("HTTP/1.1 200 OK\r\n\r\nx", NoTunnel::Unreadable),
            ("HTTP/1.1 407 X\r\n\r\nsecret", NoTunnel::Answered(407)),
            ("HTTP/1.0 502 X\r\n\r\n", NoTunnel::Answered(502)),
            ("HTTP/1.1 103 X\r\n\r\n", NoTunnel::Unreadable),
            ("HTTP/2 200 OK\r\n\r\n", NoTunnel::Unreadable),
            ("SSH-2.0-OpenSSH\r\n\r\n", NoTunnel::Unreadable),
            ("\r\n\r\n", NoTunnel::Unreadable),
        ] {
            assert_eq!(answered(answer.as_bytes()), Err(refusal), "{answer:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_proxy_is_said() {
        #[derive(Debug, Deserialize)]
        struct Table {
            proxy: Proxy,
        }
        let read = |text: &str| toml::from_str::<Table>(&format!("proxy = {text}")).map(|table| table.proxy);
        assert_eq!(read("\"http://p:3128\"").unwrap().server(), &target("http://p:3128"));
        let known = "{ url = \"http://p:3128/\", user = \"ann\", password = { env = \"P\" } }";
        assert!(read(known).unwrap().auth().is_some());
        for (text, part) in [
            ("\"https://p\"", "in the clear"),
            ("\"socks5://p\"", "must begin with"),
            ("\"p:3128\"", "no scheme"),
            ("\"http://ann:hunter2@p\"", "write `user = "),
            ("\"http://p/x\"", "no path"),
            ("{ url = \"http://p\", user = \"ann\" }", "or neither"),
            ("{ url = \"http://p\", usr = \"ann\" }", "unknown field `usr`"),
            ("7", "false, \"http://host:port\""),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let told = Written { url: "http://ann:hunter2@p".to_owned(), user: None, password: None };
        assert!(!Proxy::try_from(told).unwrap_err().contains("hunter2"));
    }
}
