use std::time::Duration;

use insta::assert_snapshot;

use super::{
    settings::{PerCall, PerService, Roots},
    *,
};

fn catalogue(text: &str, cases: &[&[(&str, &str)]]) -> String {
    let told = cases.iter().map(|vars| {
        let shown: Vec<_> = vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}\n\n{}\n", shown.join("\n"), wrong(text, vars))
    });
    told.collect::<Vec<_>>().join("\n----------------------------------------\n")
}

#[test]
fn what_is_wrong_with_variables() {
    let text = "[services.users]\nurl = \"a\"\nbreaker = {}\n";
    let told = catalogue(
        text,
        &[
            &[("SEAWALL__SERVICES__USRES__TIMEOUT", "5s")],
            &[("SEAWALL__SERVICE__USERS__TIMEOUT", "5s")],
            &[("SEAWALL__SERVICES__USERS__TIMOUT", "5s")],
            &[("SEAWALL__SERVICES__USERS__TIMEOUT", "5")],
            &[("SEAWALL__SERVICES__USERS__CALLS__GETUSR__TIMEOUT", "5s")],
            &[("SEAWALL__SERVICES__USERS", "5s")],
            &[("SEAWALL__SERVICES__USERS__CALLS__GETUSER", "5s")],
            &[("SEAWALL__RUNTIME", "{ threads = 4 }")],
            &[("SEAWALL__", "x")],
            &[("SEAWALL__SERVICES____TIMEOUT", "5s")],
            &[("SEAWALL__SERVICES__USERS__TIMEOUT", "5s"), ("seawall__services__users__timeout", "6s")],
            &[
                ("SEAWALL__SERVICES__USERS__BREAKER", "false"),
                ("SEAWALL__SERVICES__USERS__BREAKER__MINIMUM_CALLS", "1"),
            ],
            &[("SEAWALL__SERVICES__USERS__BREAKER__MINIMUM_CALLS", "1.9")],
            &[("SEAWALL__SERVICES__USERS__BREAKER__ERROR_THRESHOLD", "50")],
            &[("SEAWALL__SERVICES__USERS__BREAKER", "true")],
            &[("SEAWALL__SERVICES__USERS__RETRY", "connect")],
            &[("SEAWALL__SERVICES__USERS__RETRY", "[\"connect\"")],
            &[("SEAWALL__SERVICES__USERS__RETRY", "[\"connect\", \"rest\"]")],
            &[("SEAWALL__SERVICES__USERS__TOKEN", "hunter2")],
            &[("SEAWALL__RUNTIME__VERBOSE", "yes")],
            &[("SEAWALL__RUNTIME__VERBOSE", "tr\u{fffd}e")],
            &[("SEAWALL__RUNTIME__A__B__C__D__E__F__G__H__I__J__K__L__M__N__O__P", "1")],
        ],
    );
    assert_snapshot!(told);
}

#[test]
fn a_variable_has_the_type_that_is_wanted() {
    let vars = [
        ("SEAWALL__SERVICES__USERS__TIMEOUT", "7s"),
        ("seawall__services__users__url", "8080"),
        ("SEAWALL__SERVICES__USERS__BREAKER__MINIMUM_CALLS", " 5 "),
        ("SEAWALL__SERVICES__USERS__BREAKER__ERROR_THRESHOLD", "0.25"),
        ("SEAWALL__SERVICES__USERS__BREAKER__RESET_GROWTH", "3"),
        ("SEAWALL__SERVICES__USERS__RETRY", "[\"reset\", \"timeout\"]"),
        ("SEAWALL__SERVICES__USERS__HEDGE", "{ delay = \"1s\", attempts = 1 }"),
        ("SEAWALL__SERVICES__USERS__TLS", "{ roots = { file = \"x\" } }"),
        ("SEAWALL__SERVICES__USERS__HEADERS__X_API_VERSION", "2"),
        ("SEAWALL_ENV", "production"),
        ("SEAWALL_TOKEN", "not a setting"),
        ("HOME", "/"),
    ];
    let text = "[services.users]\nretry = []\nheaders = { X-Api-Version = \"1\" }";
    let layers = parse(text, &vars).unwrap();
    read(&layers).unwrap();
    let scope = users(&layers);
    let calls: PerCall = take(&scope);
    assert_eq!(calls.timeout, Duration::from_secs(7));
    let breaker = calls.breaker.unwrap();
    assert_eq!((breaker.minimum_calls, breaker.error_threshold.get()), (5, 0.25));
    assert_eq!(breaker.reset_growth, 3.0);
    assert_eq!(calls.retry.len(), 2);
    assert_eq!(calls.hedge.unwrap().attempts, 1);
    let own: Own = take(&scope);
    assert_eq!((own.url.as_str(), own.tls.roots), ("8080", Roots::File("x".into())));
    let service: PerService = take(&scope);
    assert_eq!(service.headers["X-Api-Version"], "2");
    assert_eq!(service.headers.len(), 1);
}

#[test]
fn names_are_matched_without_case_against_files_and_code() {
    let vars = [
        ("SEAWALL__SERVICES__REDIS_MAIN__TIMEOUT", "7s"),
        ("SEAWALL__SERVICES__USERS__CALLS__GETREPORT__TIMEOUT", "20s"),
        ("SEAWALL__SERVICES__Orders_Eu__TIMEOUT", "9s"),
        ("SEAWALL__SERVICES__USERS__BREAKER", "false"),
    ];
    let layers =
        parse("[services.orders-eu]\n[services.users]\nbreaker = { minimum_calls = 1 }", &vars).unwrap();
    read(&layers).unwrap();
    assert_eq!(layers.services(), ["orders-eu", "redis-main", "users"]);
    assert_eq!(layers.calls("users"), ["GetReport"]);
    assert_eq!(take::<PerCall>(&users(&layers)).breaker, None);
}

#[test]
fn text_that_begins_like_an_array_may_be_text() {
    let layers = parse("[services.users]", &[("SEAWALL__SERVICES__USERS__URL", "[::1]:8080")]).unwrap();
    assert_eq!(take::<Own>(&users(&layers)).url, "[::1]:8080");
}
