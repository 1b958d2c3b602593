use std::cell::RefCell;

use awc::http::header::HeaderValue;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use seawall::{
    config::Secret,
    downstream::{Blame, Failure, Reached},
};
use serde::Deserialize;
use tokio::time::{Duration, Instant};

/// How long a secret that was read is used: one that is renewed in its file is then noticed, and a file is not read for
/// every request.
const KEPT: Duration = Duration::from_secs(10);

/// How a service or its proxy knows us: what the `authorization` header says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Auth {
    Bearer(Secret),
    Basic { user: String, password: Secret },
}

#[derive(Deserialize)]
struct Written {
    bearer: Option<Secret>,
    user: Option<String>,
    password: Option<Secret>,
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = serde::de::Error::custom::<&str>;
        match Written::deserialize(deserializer)? {
            Written { bearer: Some(token), user: None, password: None } => Ok(Self::Bearer(token)),
            Written { bearer: None, user: Some(user), password: Some(password) } => {
                Self::basic(user, password).map_err(wrong)
            }
            _ => Err(wrong("either `bearer`, or `user` and `password`")),
        }
    }
}

impl Auth {
    /// # Errors
    /// For a user whom the other side would read as another.
    pub(crate) fn basic(user: String, password: Secret) -> Result<Self, &'static str> {
        match user.contains(':') {
            false => Ok(Self::Basic { user, password }),
            true => Err("a `user` has no colon: what follows it would be the password"),
        }
    }

    /// Reads the secret and writes the header.
    ///
    /// # Errors
    /// When it is not there, or holds what no header may carry. The text repeats nothing of it.
    pub(crate) fn header(&self) -> Result<HeaderValue, String> {
        let (secret, text) = match self {
            Self::Bearer(token) => (token, token.read().map(|token| format!("Bearer {}", token.expose()))),
            Self::Basic { user, password } => (
                password,
                password.read().map(|password| {
                    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
                }),
            ),
        };
        let text = text.map_err(|error| format!("the credentials cannot be used: {error}"))?;
        let mut value = crate::request::header_value(&text).map_err(|_| {
            format!("the credentials cannot be used: {secret} has a character that no header may carry")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// The header of one thread's requests, read anew now and then.
#[derive(Default)]
pub(crate) struct Authorization(RefCell<Option<(HeaderValue, Instant)>>);

impl Authorization {
    /// # Errors
    /// When the secret cannot be read: our own fault, nothing sent. One that was read before is used on.
    pub(crate) fn get(&self, auth: &Auth) -> Result<HeaderValue, Failure> {
        let known = self.0.borrow().clone();
        if let Some((value, read)) = &known
            && read.elapsed() < KEPT
        {
            return Ok(value.clone());
        }
        match (auth.header(), known) {
            (Ok(value), _) => {
                self.0.replace(Some((value.clone(), Instant::now())));
                Ok(value)
            }
            // A file is empty for a moment while it is renewed.
            (Err(_), Some((value, _))) => Ok(value),
            (Err(problem), None) => {
                Err(Failure::new(Blame::Local, problem).reached(Reached::No).code("local"))
            }
        }
    }

    /// It was refused: the next request reads the secret anew.
    pub(crate) fn doubt(&self) {
        if let Some((_, read)) = &mut *self.0.borrow_mut() {
            *read = read.checked_sub(KEPT).unwrap_or(*read);
        }
    }
}
