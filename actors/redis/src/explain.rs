//! A Redis service's settings as they are written, with their defaults: for `Runtime::explain`. Where it is always stands
//! in a file, and is shown from there.

use serde::Serialize;

use crate::{RedisSettings, settings::Table, tls::TlsSettings};

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a TlsSettings>,
    redis: &'a Table,
}

pub(crate) fn explain(settings: &RedisSettings) -> impl Serialize {
    Shown { tls: settings.is_tls().then(|| settings.tls()), redis: settings.table() }
}
