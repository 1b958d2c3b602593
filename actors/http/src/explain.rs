//! An HTTP service's settings as they are written, with their defaults: for `Runtime::explain`.
//!
//! They are checked while they are read, into headers, paths and targets that do not write themselves; so this writes
//! them. Where the service is (`url`, `urls`) always stands in a file, and is shown from there.

use std::collections::BTreeMap;

use seawall::{config::Secret, units::ByteSize};
use serde::Serialize;

use crate::{HttpSettings, auth::Auth, propagate::Propagated, wire::TlsSettings};

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a TlsSettings>,
    http: Table<'a>,
}

#[derive(Serialize)]
struct Table<'a> {
    version: &'static str,
    max_header: ByteSize,
    max_body: ByteSize,
    max_decoded: ByteSize,
    headers: BTreeMap<&'a str, String>,
    auth: Option<Known<'a>>,
    proxy: Option<Through<'a>>,
    redirects: u8,
    redirect_to: Vec<String>,
    health: Option<&'a str>,
    propagate: &'a [Propagated],
}

/// What the service knows us by; secrets are references.
#[derive(Serialize)]
#[serde(untagged)]
enum Known<'a> {
    Bearer { bearer: &'a Secret },
    Basic { user: &'a str, password: &'a Secret },
}

/// What the service is reached through.
#[derive(Serialize)]
#[serde(untagged)]
enum Through<'a> {
    Unknown(String),
    Known {
        url: String,
        #[serde(flatten)]
        known: Known<'a>,
    },
}

impl<'a> Known<'a> {
    fn by(auth: &'a Auth) -> Self {
        match auth {
            Auth::Bearer(bearer) => Self::Bearer { bearer },
            Auth::Basic { user, password } => Self::Basic { user, password },
        }
    }
}

pub(crate) fn explain(settings: &HttpSettings) -> impl Serialize {
    let headers = settings.headers().iter();
    let auth = settings.auth().map(Known::by);
    let proxy = settings.proxy().map(|proxy| {
        let url = proxy.server().to_string();
        match proxy.auth() {
            Some(auth) => Through::Known { url, known: Known::by(auth) },
            None => Through::Unknown(url),
        }
    });
    Shown {
        tls: settings.targets().0.is_tls().then(|| settings.tls()),
        http: Table {
            version: "1.1",
            max_header: settings.max_header(),
            max_body: settings.max_body(),
            max_decoded: settings.max_decoded(),
            headers: headers
                .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            auth,
            proxy,
            redirects: settings.redirects(),
            redirect_to: settings.redirect_to().iter().map(ToString::to_string).collect(),
            health: settings.health(),
            propagate: settings.propagate(),
        },
    }
}

#[cfg(test)]
mod tests {
    use seawall::Runtime;

    use crate::Http;

    /// The keys of HTTP's own that are shown, their values and where these come from.
    async fn explained(settings: &str) -> Vec<String> {
        let runtime = Runtime::builder()
            .kind::<Http>()
            .parse(format!("[services.users]\nkind = \"http\"\n{settings}"))
            .expect("it is TOML")
            .current_thread()
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let rows = runtime.explain_settings("users").expect("it is there").rows;
        runtime.drain().await;
        rows.into_iter()
            .filter_map(|row| {
                let key = row.key.strip_prefix("services.users.")?;
                let own = ["url", "tls", "http"].iter().any(|own| key.starts_with(own));
                own.then(|| format!("{key} = {}  # {}", row.value, row.origin))
            })
            .collect()
    }

    #[test]
    fn defaults_are_shown_with_what_is_written() {
        seawall_testkit::virtual_time(async || {
            assert_eq!(
                explained("url = \"https://users.internal\"").await,
                [
                    "http.auth = false  # built-in default",
                    "http.headers = {}  # built-in default",
                    "http.health = false  # built-in default",
                    "http.max_body = \"8MiB\"  # built-in default",
                    "http.max_decoded = \"32MiB\"  # built-in default",
                    "http.max_header = \"64KiB\"  # built-in default",
                    "http.propagate = [\"traceparent\", \"deadline\", \"attempt\"]  # built-in default",
                    "http.proxy = false  # built-in default",
                    "http.redirect_to = []  # built-in default",
                    "http.redirects = 0  # built-in default",
                    "http.version = \"1.1\"  # built-in default",
                    "tls.ca = false  # built-in default",
                    "tls.cert = false  # built-in default",
                    "tls.key = false  # built-in default",
                    "tls.min_version = \"1.2\"  # built-in default",
                    "tls.roots = \"system\"  # built-in default",
                    "tls.server_name = false  # built-in default",
                    "url = \"https://users.internal\"  # settings:3:1",
                ]
            );
        });
    }

    #[test]
    fn what_is_written_is_shown_where_it_is() {
        seawall_testkit::virtual_time(async || {
            let settings = "url = \"http://users.internal/v1\"\n[services.users.http]\nmax_body = \"1MiB\"\n\
                            headers = { x-from = \"shop\" }\nauth = { user = \"shop\", password = { env = \"PATH\" } }\n\
                            health = \"/health\"\npropagate = [\"deadline\"]\n\
                            redirects = 2\nredirect_to = [\"http://files.internal\"]\n\
                            proxy = { url = \"http://proxy:3128\", user = \"ann\", password = { env = \"PATH\" } }";
            assert_eq!(
                explained(settings).await,
                [
                    "http.auth.password.env = \"PATH\"  # settings:7:38",
                    "http.auth.user = \"shop\"  # settings:7:10",
                    "http.headers.x-from = \"shop\"  # settings:6:13",
                    "http.health = \"/health\"  # settings:8:1",
                    "http.max_body = \"1MiB\"  # settings:5:1",
                    "http.max_decoded = \"32MiB\"  # built-in default",
                    "http.max_header = \"64KiB\"  # built-in default",
                    "http.propagate = [\"deadline\"]  # settings:9:1",
                    "http.proxy.password.env = \"PATH\"  # settings:12:65",
                    "http.proxy.url = \"http://proxy:3128\"  # settings:12:11",
                    "http.proxy.user = \"ann\"  # settings:12:38",
                    "http.redirect_to = [\"http://files.internal:80\"]  # settings:11:1",
                    "http.redirects = 2  # settings:10:1",
                    "http.version = \"1.1\"  # built-in default",
                    "url = \"http://users.internal/v1\"  # settings:3:1",
                ]
            );
        });
    }
}
