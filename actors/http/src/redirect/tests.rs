use super::*;

fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

fn asked(method: Method, url: &str, path: &str) -> Asked {
    Asked { target: target(url), method, path_and_query: path.into() }
}

/// `own` is the service's, `files` and `plain` are allowed.
fn whose(target: &Target) -> Whose {
    match (target.host(), target.port()) {
        ("own", 443 | 80) => Whose::Own,
        ("files" | "plain", _) => Whose::Allowed,
        _ => Whose::Stranger,
    }
}

fn step(method: Method, status: u16, location: &str, idempotent: bool) -> Result<(Method, String), Refused> {
    let status = StatusCode::from_u16(status).unwrap();
    Way::new(MOST)
        .next(asked(method, "https://own", "/a"), status, location, idempotent, whose)
        .map(|next| (next.method, format!("{}{}", next.target, next.path_and_query)))
}

#[test]
fn a_get_follows_all_of_them_and_a_write_only_where_it_is_none_or_may_be_made_again() {
    let there = |method: Method| Ok((method, "https://own:443/b".to_owned()));
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(step(Method::GET, status, "/b", true), there(Method::GET), "{status}");
    }
    for method in [Method::POST, Method::PUT] {
        for status in [301, 302] {
            assert_eq!(step(method.clone(), status, "/b", true), Err(Refused::Write), "{method} {status}");
        }
        assert_eq!(step(method.clone(), 303, "/b", false), there(Method::GET), "{method}");
        for status in [307, 308] {
            assert_eq!(step(method.clone(), status, "/b", false), Err(Refused::Write), "{method} {status}");
            assert_eq!(step(method.clone(), status, "/b", true), there(method.clone()), "{method} {status}");
            let elsewhere = step(method.clone(), status, "https://files/b", true);
            assert_eq!(elsewhere, Err(Refused::Write), "{method} {status}");
        }
    }
}

#[test]
fn no_stranger_is_ever_followed_however_it_is_written() {
    for location in [
        "http://127.0.0.1:22/",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "//evil/",
        "https://own:8443/",
        "https://own.evil/",
        "https://own./",
    ] {
        assert_eq!(step(Method::GET, 302, location, true), Err(Refused::Stranger), "{location}");
    }
}

#[test]
fn https_never_becomes_http() {
    assert_eq!(step(Method::GET, 302, "http://own/b", true), Err(Refused::Downgrade));
    assert_eq!(step(Method::GET, 302, "http://plain/b", true), Err(Refused::Downgrade));
    // Nor after a way that began with http.
    let mut way = Way::new(MOST);
    let first =
        way.next(asked(Method::GET, "http://own", "/"), StatusCode::FOUND, "https://files/", true, whose);
    assert_eq!(
        way.next(first.unwrap(), StatusCode::FOUND, "http://own/", true, whose),
        Err(Refused::Downgrade)
    );
}

#[test]
fn who_has_left_comes_back_as_a_stranger() {
    let mut way = Way::new(MOST);
    let at_home = asked(Method::GET, "https://own", "/a");
    let away = way.next(at_home, StatusCode::FOUND, "https://files/b", true, whose).unwrap();
    assert!(!way.is_home());
    let back = way.next(away, StatusCode::FOUND, "https://own/admin", true, whose).unwrap();
    assert!(!way.is_home(), "{back:?}");
}

#[test]
fn circles_and_long_ways_end() {
    let mut way = Way::new(MOST);
    let mut at = asked(Method::GET, "https://own", "/0");
    for hop in 1..=MOST {
        at = way.next(at, StatusCode::FOUND, &format!("/{hop}"), true, whose).unwrap();
    }
    assert_eq!(way.next(at, StatusCode::FOUND, "/more", true, whose), Err(Refused::TooMany(MOST)));

    assert_eq!(step(Method::GET, 302, "/a", true), Err(Refused::Loop));
    let mut way = Way::new(MOST);
    let there =
        way.next(asked(Method::GET, "https://own", "/a"), StatusCode::FOUND, "/b", true, whose).unwrap();
    assert_eq!(way.next(there, StatusCode::FOUND, "/a", true, whose), Err(Refused::Loop));
    // What a write answers with its own URL is no circle: it asks for a GET.
    assert!(step(Method::POST, 303, "/a", false).is_ok());
}
