use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::time::Instant;
use toml::Value;

use super::{LONGEST_OVERRIDE, Override, OverrideError, change, in_force::Entry};
use crate::{
    config::{ConfigErrors, Origin, plain, without_password},
    runtime::Runtime,
};

/// How long an override lasts if nobody says.
const USUAL: Duration = Duration::from_secs(3600);

/// What is kept of a name or a reason, in characters.
const LONGEST_TEXT: usize = 200;

/// A setting that is about to be overridden: say for how long, and then why, which puts it in force.
///
/// It needs no `await`: nothing is waited for, and what is wrong is known at once.
#[must_use = "nothing is overridden before `because`"]
pub struct Setting<'a> {
    runtime: &'a Runtime,
    path: String,
    value: Result<Value, String>,
    lasting: Duration,
    by: String,
}

impl Runtime {
    /// Overrides a setting of a service or of one of its calls: `users.bulkhead.max_in_flight`,
    /// `users.calls.GetReport.timeout`, or in full as [`explain`](Self::explain) has it, `services.users.timeout`.
    ///
    /// The value is what the setting would be in a file: `50`, `"10s"`, `"25%"`, `["connect"]`; `false` or `None` turns a
    /// policy off, and a map or struct sets several of its keys. It beats every file at every scope: a timeout set for a
    /// service holds for all its calls. What the setting takes in a reload it takes here: a pool is replaced where it must
    /// be, and policies whose settings did not change keep their state. Set again, a setting has the later value and end.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn run(runtime: &seawall::Runtime) -> Result<(), seawall::runtime::OverrideError> {
    /// runtime
    ///     .set("users.bulkhead.max_in_flight", 50)
    ///     .lasting(Duration::from_secs(2 * 3600))
    ///     .by("alice")
    ///     .because("the night's report needs room")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(&self, path: impl Into<String>, value: impl Serialize) -> Setting<'_> {
        Setting {
            runtime: self,
            path: path.into(),
            value: plain(&value).map_err(|error| error.to_string()),
            lasting: USUAL,
            by: "code".to_owned(),
        }
    }

    /// Ends an override; the setting is again what the files say.
    ///
    /// # Errors
    /// If nothing overrides this setting, or another override makes no sense without this one; then nothing changes.
    pub fn unset(&self, path: &str) -> Result<Override, OverrideError> {
        change::unset(&self.inner, path)
    }

    /// All settings that are overridden, the oldest first.
    pub fn overrides(&self) -> Vec<Override> {
        self.inner.in_force.lock().overrides()
    }
}

impl Setting<'_> {
    /// How long it lasts, by tokio's clock; an hour unless said otherwise, [`LONGEST_OVERRIDE`] at most.
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Who sets it: a name, for those who find it in [`Runtime::explain`], in events and in the log.
    pub fn by(mut self, by: &str) -> Self {
        self.by = shown(by);
        self
    }

    /// Says why, and puts it in force.
    ///
    /// # Errors
    /// If there is no such setting, the value is wrong or contradicts another, it would last too long, or too many are in
    /// force. Then nothing changes.
    pub fn because(self, reason: &str) -> Result<Override, OverrideError> {
        let because = shown(reason);
        if because.is_empty() {
            return Err(OverrideError::NoReason);
        }
        if self.lasting.is_zero() || self.lasting > LONGEST_OVERRIDE {
            return Err(OverrideError::Lasting(self.lasting));
        }
        let since = SystemTime::now();
        let about = Override {
            key: self.path.clone(),
            value: String::new(),
            by: self.by,
            because,
            since,
            until: since + self.lasting,
        };
        let value = self.value.map_err(|error| {
            let mut errors = ConfigErrors::new();
            let origin = Origin::Override(about.origin());
            errors.add(origin, self.path.as_str(), format!("no setting can be this: {error}"));
            errors
        })?;
        let about = Override { value: without_password(&value.to_string()), ..about };
        let entry = Entry { keys: Vec::new(), value, ends: Instant::now() + self.lasting, about };
        change::set(&self.runtime.inner, &self.path, entry, self.lasting)
    }
}

/// A text as it is shown on one line.
fn shown(text: &str) -> String {
    let line: String = text.trim().chars().take(LONGEST_TEXT).collect();
    line.replace(char::is_control, " ")
}

impl fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be what somebody takes for a secret.
        f.debug_struct("Setting")
            .field("path", &self.path)
            .field("lasting", &self.lasting)
            .finish_non_exhaustive()
    }
}
