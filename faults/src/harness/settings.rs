//! The reference settings of FAULTS.md, section 0, and what a scenario changes of them.
//!
//! The quick form shortens the breaker's times with its phases (open 500 ms in place of 2 s), since a recovery that is
//! to be seen within three seconds cannot begin after two. `reset_growth` is 1, so that "open time" is one figure;
//! the ramp, which the page does not name, is as long as the open time.

use std::time::Duration;

use toml::{Table, Value};

/// The variable that holds what must be seen nowhere.
pub(crate) const CANARY: &str = "SEAWALL_FAULTS_CANARY";

/// D: what each call may take.
pub(crate) const DEADLINE: Duration = Duration::from_millis(500);

pub(crate) const MAX_IN_FLIGHT: usize = 64;
pub(crate) const MAX_QUEUE: usize = 128;

/// What must be seen nowhere.
pub(crate) fn canary() -> String {
    std::env::var(CANARY).unwrap_or_else(|_| "no-canary-was-set".to_owned())
}

/// Settings of the service under test and of its neighbour.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    table: Table,
    pub(crate) open_time: Duration,
}

impl Settings {
    pub(crate) fn reference(full: bool) -> Self {
        let (open_time, idle) = if full { (2000, 5000) } else { (500, 1000) };
        let service = format!(
            r#"
            kind = "http"
            timeout = "500ms"
            connect_timeout = "400ms"
            breaker = {{ window = {{ calls = 100 }}, minimum_calls = 20, error_threshold = "50%", consecutive_failures = 0, reset_timeout = "{open_time}ms", reset_growth = 1.0, half_open_calls = 5, ramp = "{open_time}ms" }}
            bulkhead = {{ max_in_flight = 64, max_queue = 128 }}
            retry = {{ attempts = 3 }}
            retry_budget = {{ ratio = "20%", minimum_per_second = 10 }}
            cache = {{ ttl = "5s", stale_if_error = "60s" }}
            pool = {{ max = 64, max_idle = 64, idle_timeout = "{idle}ms" }}
            http = {{ max_body = "1MiB", max_decoded = "8MiB", auth = {{ bearer = {{ env = "{CANARY}" }} }} }}
            "#
        );
        let service = parsed(&service);
        let mut services = Table::new();
        services.insert("subject".to_owned(), service.clone().into());
        services.insert("neighbour".to_owned(), service.into());
        let mut table = Table::new();
        table.insert("services".to_owned(), services.into());
        Self { table, open_time: Duration::from_millis(open_time) }
    }

    /// Lays TOML text over the service under test.
    pub(crate) fn subject(mut self, text: &str) -> Self {
        let mut over = Table::new();
        over.insert("subject".to_owned(), parsed(text).into());
        let mut services = Table::new();
        services.insert("services".to_owned(), over.into());
        lay(&mut self.table, services);
        self
    }

    /// Adds a service `store` of the kind `"redis"`, with the policies of the service under test and TOML text over them.
    pub(crate) fn store(mut self, text: &str) -> Self {
        let service = self.table["services"]["subject"].as_table().cloned().unwrap_or_default();
        let policies =
            service.into_iter().filter(|(key, _)| !["http", "cache", "pool", "url"].contains(&&**key));
        let mut service: Table = policies.collect();
        service.insert("kind".to_owned(), "redis".into());
        lay(&mut service, parsed(text));
        let mut over = Table::new();
        over.insert("store".to_owned(), service.into());
        let mut services = Table::new();
        services.insert("services".to_owned(), over.into());
        lay(&mut self.table, services);
        self
    }

    /// Lays TOML text over everything.
    pub(crate) fn over(mut self, text: &str) -> Self {
        lay(&mut self.table, parsed(text));
        self
    }

    /// Whether it is said where the service under test is.
    pub(crate) fn has_url(&self) -> bool {
        ["url", "urls"].iter().any(|key| self.table["services"]["subject"].get(key).is_some())
    }

    pub(crate) fn text(&self) -> String {
        self.table.to_string()
    }
}

fn parsed(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("the harness' own settings are no TOML: {error}\n{text}"))
}

fn lay(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(value)) => lay(below, value),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_over_replaces_only_what_it_names() {
        let settings = Settings::reference(true).subject("retry = { attempts = 1 }\nbreaker = false");
        let text = settings.text();
        let table: Table = text.parse().expect("TOML");
        let subject = &table["services"]["subject"];
        assert_eq!(subject["retry"]["attempts"].as_integer(), Some(1));
        assert_eq!(subject["breaker"].as_bool(), Some(false));
        assert_eq!(subject["timeout"].as_str(), Some("500ms"));
        assert_eq!(table["services"]["neighbour"]["retry"]["attempts"].as_integer(), Some(3));
    }
}
