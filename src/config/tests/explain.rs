use insta::assert_snapshot;

use super::{
    settings::{PerCall, PerService},
    *,
};

#[test]
fn every_value_says_where_it_comes_from_and_what_it_beat() {
    let text = r#"
        [defaults]
        timeout = "10s"
        breaker = { minimum_calls = 1 }
        [kinds.http]
        timeout = "20s"
        [services.users]
        timeout = "30s"
        token = { file = "Cargo.toml" }
        headers = { x-odd = "1", "a.b" = "2" }
        retry = ["reset", "timeout"]
    "#;
    let vars = [
        ("SEAWALL__SERVICES__USERS__TIMEOUT", "40s"),
        ("SEAWALL__SERVICES__USERS__BREAKER__MINIMUM_CALLS", "5"),
    ];
    let layers = parse(text, &vars).unwrap();
    let layers = layers.with_override(&["services", "users", "timeout"], &"50s", "admin").unwrap();
    let scope = users(&layers);
    let mut explanation = Explanation::default();
    explanation.add(&scope, &take::<PerService>(&scope));
    explanation.add(&scope, &take::<PerCall>(&scope));
    assert_snapshot!(explanation);

    let call = layers.call(&scope, "users", "GetUser", "hedge = { delay = \"1s\", attempts = 1 }").unwrap();
    let mut explanation = Explanation::default();
    explanation.add(&call, &take::<PerCall>(&call));
    assert_snapshot!("of_a_call", explanation);
}
