//! Settings that are wrong say what is right.

use seawall::{Runtime, downstream::Downstream};
use seawall_http::{Http, HttpSettings};
use seawall_testkit::virtual_time;

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
fn several_endpoints_are_named_in_their_order() {
    let settings =
        read("urls = [\"https://b.internal/v2\", \"https://a.internal:8443/v2/\"]").expect("valid");
    let named: Vec<_> = Http::endpoints(&settings).iter().map(ToString::to_string).collect();
    assert_eq!(named, ["https://b.internal:443/v2", "https://a.internal:8443/v2"]);
    assert_eq!(
        read("urls = [\"http://a\"]").expect("one is enough"),
        read("url = \"http://a\"").expect("valid")
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (text, part) in [
        ("", "`url` is missing"),
        ("urls = []", "is empty"),
        ("url = \"http://a\"\nurls = [\"http://b\"]", "both set"),
        ("urls = [\"http://a\", \"https://b\"]", "differ in their scheme"),
        ("urls = [\"http://a/v1\", \"http://b/v2\"]", "\"/v1\" and \"/v2\" differ"),
        ("urls = [\"http://a\", \"http://A:80/\"]", "http://a:80 is there twice"),
        ("urls = [\"http://a\", \"ftp://b\"]", "must begin with http"),
        ("urls = [\"http://a\"]\ntls = { min_version = \"1.3\" }", "begins with http://"),
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

#[test]
fn a_measured_limit_is_no_larger_than_the_pool_unless_somebody_says_so() {
    virtual_time(async || {
        let settings = "[kinds.http]\nurl = \"http://a\"\nstartup = { mode = \"lazy\" }\npool = { max = 8, max_idle = 8 }\n\
                        [services.fits]\nkind = \"http\"\nbulkhead = { adaptive = {} }\n\
                        [services.more]\nkind = \"http\"\nbulkhead = { adaptive = { max = 9 } }";
        let runtime = Runtime::builder()
            .kind::<Http>()
            .parse(settings)
            .expect("it is TOML")
            .current_thread()
            .start()
            .await;
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        let limit = |name: &str| {
            let snapshot = runtime.snapshot();
            snapshot.service(name).and_then(|service| service.bulkhead).map(|bulkhead| bulkhead.max_in_flight)
        };
        assert_eq!((limit("fits"), limit("more")), (Some(8), Some(9)), "20 to start with, within bounds");
        runtime.drain().await;
    });
}
