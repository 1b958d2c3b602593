//! What the `config` crate does by itself, so that it is seen when it changes; next to each, what seawall does.

use config::{Config, ConfigError, Environment, Map, Source, Value};

/// Values as a file would give them.
#[derive(Clone, Debug)]
struct Given(&'static str, Value);

impl Source for Given {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from_iter([(self.0.to_owned(), self.1.clone())]))
    }
}

fn given(key: &'static str, value: impl Into<config::ValueKind>) -> Config {
    Config::builder().add_source(Given(key, Value::new(None, value))).build().expect("it builds")
}

fn refused(settings: &str) -> String {
    let text = format!("[services.users]\nkind = \"func\"\n{settings}");
    let builder = seawall::Runtime::builder().parse(text).expect("it is TOML");
    let started = actix_rt::System::new().block_on(builder.current_thread().start());
    started.expect_err("it is refused").to_string()
}

#[test]
fn it_makes_whole_numbers_of_broken_ones_and_gives_no_line() {
    assert_eq!(given("attempts", 1.9).get_int("attempts").ok(), Some(2));
    let error = given("attempts", "two").get_int("attempts").expect_err("it is no number").to_string();
    assert!(!error.contains("line") && !error.contains(".toml"), "{error}");

    let error = refused("retry = { attempts = 1.9 }");
    assert!(error.contains("settings:3:") && error.contains("1.9"), "{error}");
}

#[test]
fn it_lower_cases_variables_so_that_a_calls_name_is_lost() {
    let variables = Map::from_iter([("APP__CALLS__GetUser".to_owned(), "1".to_owned())]);
    let source = Environment::with_prefix("APP").separator("__").source(Some(variables));
    let read = Config::builder().add_source(source).build().expect("it builds");
    assert!(read.get_int("calls.GetUser").is_err());
    assert_eq!(read.get_int("calls.getuser").ok(), Some(1));

    // Seawall matches without case against the names that are known: variables.rs.
}
