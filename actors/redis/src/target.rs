use std::fmt;

use serde::Deserialize;

/// Where one server is: `redis://host:port`, or `rediss://` for TLS. Nothing else: who we are and which database we want
/// stands in settings of its own, so that no password is ever part of an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Target {
    host: String,
    port: u16,
    tls: bool,
}

const PORT: u16 = 6379;

impl Target {
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }
}

impl TryFrom<String> for Target {
    type Error = &'static str;

    /// The text is not repeated: it may hold a password.
    fn try_from(url: String) -> Result<Self, &'static str> {
        let (tls, rest) = match (url.strip_prefix("redis://"), url.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("an address begins with redis:// or rediss://: \"redis://host:6379\""),
        };
        if rest.contains('@') {
            return Err("an address holds no user and no password: write `redis = { username = \"..\", \
                        password = { env = \"..\" } }`");
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("an address ends after its port; the database is `redis.database`");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or("an IPv6 address ends with a bracket")?,
            None => match authority.rfind(':') {
                Some(colon) => authority.split_at(colon),
                None => (authority, ""),
            },
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| "a port is a number from 1 to 65535")?,
            None if port.is_empty() => PORT,
            None => return Err("after an IPv6 address comes a colon and the port"),
        };
        if host.is_empty() || port == 0 || host.contains(char::is_whitespace) {
            return Err("an address has a host and a port: \"redis://host:6379\"");
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, tls } = self;
        let scheme = if *tls { "rediss" } else { "redis" };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let read = |url: &str| Target::try_from(url.to_owned());
        assert_eq!(read("redis://cache"), Ok(Target { host: "cache".into(), port: 6379, tls: false }));
        assert_eq!(read("rediss://[::1]:7000/"), Ok(Target { host: "::1".into(), port: 7000, tls: true }));
        assert_eq!(
            read("redis://10.0.0.1:1").map(|target| target.to_string()),
            Ok("redis://10.0.0.1:1".into())
        );
        for wrong in [
            "cache:6379",
            "http://cache",
            "redis://",
            "redis://:6379",
            "redis://cache:0",
            "redis://cache:65536",
            "redis://user:canary@cache",
            "redis://cache/1",
            "redis://cache?x",
            "redis://[::1",
            "redis://[::1]x",
            "redis://a b",
            "redis://cache:",
        ] {
            let error = read(wrong).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
