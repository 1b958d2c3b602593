use insta::assert_snapshot;

use super::wrong;

/// Bad settings, each with what is said of it.
fn catalogue(cases: &[&str]) -> String {
    let told = cases
        .iter()
        .map(|case| format!("{}\n\n{}\n", case.trim().replace(char::from(0), "NUL"), wrong(case, &[])));
    told.collect::<Vec<_>>().join("\n----------------------------------------\n")
}

#[test]
fn what_is_no_toml() {
    let told = catalogue(&[
        "[services.users\nurl = 1",
        "[services.users]\ntimeout = 5s",
        "[services.users]\ntimeout = \"5s",
        "[services.users]\nurl = \"a\"\nurl = \"b\"",
        "[services.users]\n[services.users]",
        "[services.users]\ntoken = hunter2",
        "= 1\n[x]\ny = \n[[services]]\nz",
        "[services.users]\nurl = \"\u{0}\"",
    ]);
    assert_snapshot!(told);
}

#[test]
fn what_has_the_wrong_shape() {
    let told = catalogue(&[
        "[servces.users]\nurl = \"a\"",
        "runtime = 5",
        "services = [1, 2]",
        "[services]\nusers = \"http\"",
        "[services.users]\ncalls = true",
        "[services.users.calls]\nGetUser = \"5s\"",
        "[defaults.calls.GetUser]\ntimeout = \"1s\"",
        "[kinds.http.calls.GetUser]\ntimeout = \"1s\"",
        "[services.users-a]\n[services.users_a]",
        "[services.users.calls.get-user]\n[services.users.calls.GET_USER]",
        "[services.users]\nurl = 2026-11-25",
        "[services.users.pool]\nmax = 99999999999999999999",
        "[services.users]\nx = [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
    ]);
    assert_snapshot!(told);
}

#[test]
fn what_nobody_knows() {
    let told = catalogue(&[
        "[services.users]\ntimout = \"5s\"",
        "[services.users]\nzebra = 1",
        "[services.users]\nbreaker = { error_treshold = \"50%\" }",
        "[services.users.breaker]\nwindow = 1",
        "[services.users.tls]\nroot = \"system\"",
        "[services.users]\npole = {}\nx = 1",
        "[defaults]\nattempt-timeout = \"1s\"\n[services.a]\n[services.b]",
        "[services.users.calls.GetUser]\npool = { max = 1 }",
        "[services.users]\n\"odd \\n key\" = 1",
        "[runtime]\nthread = 4",
    ]);
    assert_snapshot!(told);
}

#[test]
fn what_is_of_the_wrong_type() {
    let told = catalogue(&[
        "[services.users]\ntimeout = 5",
        "[services.users]\ntimeout = \"5\"",
        "[services.users]\ntimeout = \"soon\"",
        "[services.users]\ntimeout = \"400 days\"",
        "[services.users]\ntimeout = false",
        "[services.users]\nattempt_timeout = 1.5",
        "[services.users]\nattempt_timeout = true",
        "[services.users]\nbreaker = true",
        "[services.users]\nbreaker = \"off\"",
        "[services.users]\nbreaker = { error_threshold = 50 }",
        "[services.users]\nbreaker = { error_threshold = \"150%\" }",
        "[services.users]\nbreaker = { minimum_calls = 1.9 }",
        "[services.users]\nbreaker = { minimum_calls = -1 }",
        "[services.users]\nbreaker = { minimum_calls = \"10\" }",
        "[services.users]\nbreaker = { reset_growth = \"2x\" }",
        "[services.users]\npool = false",
        "[services.users]\npool = { max = 5, min_idle = 6 }",
        "[services.users]\nurl = 1.1",
        "[services.users]\nheaders = { x-a = 1, x-b = \"b\", x-c = true }",
        "[services.users]\nretry = \"connect\"",
        "[services.users]\nretry = [\n  \"connect\",\n  \"timout\",\n  \"reset\",\n  7,\n]",
        "[services.users]\ntls = { roots = \"none\" }",
        "[services.users]\ntls = { roots = \"-----BEGIN CERTIFICATE-----MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\" }",
        "[services.users]\ntls = { roots = { file = 1 } }",
        "[services.users]\ntls = { roots = { file = \"a\", system = \"b\" } }",
        "[runtime]\nthreads = 300",
        "[runtime]\nverbose = \"yes\"",
        "[runtime]\ncache_max_bytes = 64",
        "[runtime]\ncache_max_bytes = \"64 potatoes\"",
    ]);
    assert_snapshot!(told);
}

#[test]
fn what_is_missing() {
    let told = catalogue(&[
        "[services.users]\nhedge = {}",
        "[services.users.hedge]\ndelay = \"1s\"",
        "[defaults]\nhedge = { delay = \"1s\" }\n[services.users]",
        // What is wrong is not missing besides.
        "[services.users.hedge]\ndelay = 1\nattempts = 1",
    ]);
    assert_snapshot!(told);
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_in_order() {
    let text = r#"
        [defaults]
        timeout = "0s"
        retri = []

        [runtime]
        threads = -1
        verbose = 1

        [services.users]
        timeout = 5
        attempt_timeout = "x"
        breaker = { error_threshold = 50, minimum_calls = "a", reset_groth = 2 }
        retry = ["a", "b"]
        url = 1

        [services.users.calls.GetUser]
        timeout = "1"
        hedge = { delay = 1, attempts = 1 }

        [services.orders]
        [services.orders.calls.PutOrder]
        priority = 1
    "#;
    assert_snapshot!(wrong(text, &[]));
}
