//! Settings that are wrong say what is right.

use seawall::downstream::Downstream;
use seawall_http::{Http, HttpSettings};

fn read(text: &str) -> Result<HttpSettings, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn an_endpoint_is_named_without_the_calls_path() {
    let settings = read("url = \"https://users.internal/v2/\"").expect("valid");
    assert_eq!(Http::endpoints(&settings)[0].as_str(), "https://users.internal:443/v2");
    assert_eq!(settings, read("url = \"https://users.internal/v2\"").expect("valid"));
}

#[test]
fn what_is_wrong_is_said() {
    for (text, part) in [
        ("", "`url` is missing"),
        ("urls = [\"http://a\"]", "not supported yet"),
        ("dns = \"a:80\"", "not supported yet"),
        ("url = \"ftp://a\"", "must begin with http"),
        ("url = \"http://a/?x\"", "query or fragment"),
        ("url = \"http://a/../b\"", "segment"),
        ("url = \"http://a\"\ntls = { min_version = \"1.3\" }", "begins with http://"),
        ("url = \"http://a\"\nhttp = { health = \"health\" }", "begins with a slash"),
        ("url = \"http://a\"\nhttp = { headers = { Authorization = \"x\" } }", "is a secret"),
        ("url = \"http://a\"\nhttp = { auth = { bearer = \"hunter2\" } }", "must not be written here"),
        ("url = \"http://a\"\nhttp = { auth = { user = \"ann\" } }", "either `bearer`"),
        ("url = \"http://a\"\nhttp = { headers = { host = \"b\" } }", "cannot be set"),
        ("url = \"http://a\"\nhttp = { headers = { x = \"a\\nb\" } }", "no header may carry"),
        ("url = \"http://a\"\nhttp = { max_header = \"1MiB\" }", "from \"1KiB\" to \"128KiB\""),
        ("url = \"http://a\"\nhttp = { propagate = [\"tenant\"] }", "deadline"),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}
