use std::fmt;

use awc::http::Uri;

use super::SetupError;

/// Where a server is: whether over TLS, its host and its port. Valid by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    tls: bool,
    /// A name or an address, the latter without brackets.
    host: String,
    port: u16,
}

impl Target {
    /// Reads scheme, host and port of a URL; its path is the caller's.
    ///
    /// # Errors
    /// For anything but `http` and `https`, for a missing host, for port 0, and for a user in the URL.
    pub(crate) fn parse(url: &str) -> Result<Self, SetupError> {
        let wrong = |problem: &str| SetupError::new("url", format!("\"{url}\" {problem}"));
        if url.contains('@') {
            // The text is not repeated: what stands before the @ may be a password.
            return Err(SetupError::new(
                "url",
                "carries a user or password; use `http.auth` for these".into(),
            ));
        }
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is no URL: {error}")))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(wrong("must begin with http:// or https://")),
            None => return Err(wrong("has no scheme; write https:// (or http://) before it")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
        let port = match uri.authority().map(|authority| authority.as_str()) {
            // `port_u16` says None for a port that is no u16 as well as for none.
            Some(authority) if authority.len() > host.len() => uri
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(|| wrong("has no valid port: 1 to 65535"))?,
            _ if tls => 443,
            _ => 80,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Ok(Self { tls, host, port })
    }

    /// Whether everything to this server goes through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// The name or address of the server, an IPv6 address without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's own if the URL had none.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a request to this server says in its `Host` header.
    pub(crate) fn host_header(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { self.bracketed() } else { format!("{}:{}", self.bracketed(), self.port) }
    }

    /// Host and port, as `CONNECT` names them.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.bracketed(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[test]
    fn default_ports_are_the_schemes_and_stay_out_of_the_host_header() {
        let target = parse("https://Users.Internal");
        assert_eq!((target.is_tls(), target.host(), target.port()), (true, "users.internal", 443));
        assert_eq!(target.host_header(), "users.internal");
        assert_eq!(parse("http://users.internal:443").host_header(), "users.internal:443");
    }

    #[test]
    fn an_ipv6_address_keeps_its_brackets_where_they_belong() {
        let target = parse("http://[::1]:8080/base");
        assert_eq!(target.host(), "::1");
        assert_eq!(target.host_header(), "[::1]:8080");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, part) in [
            ("users.internal", "no scheme"),
            ("ftp://users.internal", "must begin with"),
            ("http://users.internal:0", "no valid port"),
            ("http://users.internal:70000", "port"),
            ("http://users.internal:", "no valid port"),
            ("http://", "URL"),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url}: {error}");
        }
        let error = Target::parse("https://ann:hunter2@users.internal").unwrap_err().to_string();
        assert!(error.contains("http.auth") && !error.contains("hunter2"), "{error}");
    }
}
