use super::{
    ConfigErrors,
    key::{join, shown, tamed, without_password},
    text,
};

#[test]
fn keys_are_quoted_where_they_must_be() {
    assert_eq!(join("services", "users-1_A"), "services.users-1_A");
    assert_eq!(join("services", "a.b"), "services.\"a.b\"");
    assert_eq!(join("", ""), "\"\"");
    assert_eq!(join("a", "b\n\"c"), "a.\"b\\n\\\"c\"");
}

#[test]
fn shown_text_is_one_short_line() {
    assert_eq!(shown("a\nb"), "\"a\\nb\"");
    assert_eq!(tamed(&"\u{e4}".repeat(101)), format!("{}...", "\u{e4}".repeat(100)));
}

#[test]
fn passwords_are_taken_out_of_addresses() {
    for (address, shown) in [
        ("redis://ann:secret@host/0", "redis://ann:...@host/0"),
        ("redis://:se:cr@et@host", "redis://:...@host"),
        ("redis://ann@host", "redis://ann@host"),
        ("https://host/a:b@c", "https://host/a:b@c"),
        ("ann:secret@host", "ann:secret@host"),
        ("://", "://"),
    ] {
        assert_eq!(without_password(address), shown);
    }
}

#[test]
fn diagnostics_are_sorted_as_one_reads() {
    let mut errors = ConfigErrors::new();
    for place in
        ["b.toml:1:1", "a.toml:10:1", "variable B", "a.toml:9:10", "a.toml:9:2", "", "a.toml", "a:b:c"]
    {
        errors.add(place, "key", "message");
    }
    let places: Vec<_> = errors.iter().map(|diagnostic| diagnostic.place.as_str()).collect();
    assert_eq!(
        places,
        ["", "a.toml", "a.toml:9:2", "a.toml:9:10", "a.toml:10:1", "a:b:c", "b.toml:1:1", "variable B"]
    );
}

#[test]
fn positions_are_right_beyond_the_steps_they_are_counted_in() {
    let mut errors = ConfigErrors::new();
    let before = "\u{e4}".repeat(3000);
    text::parse(&format!("a = 1\nb = [\"{before}\", 1979-05-27]"), "f", &mut errors);
    let places: Vec<_> = errors.iter().map(|diagnostic| diagnostic.place.clone()).collect();
    assert_eq!(places, ["f:2:3010"]);
}
