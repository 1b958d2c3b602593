use std::fs;

use super::{files::Directory, settings::PerService, *};

const PLANTED: &str = "hunter2-4711";

#[test]
fn a_secret_written_into_settings_is_refused_and_not_repeated() {
    let mut told = Vec::new();
    for written in [
        format!("\"{PLANTED}\""),
        "4711".to_owned(),
        "47.11".to_owned(),
        format!("[\"{PLANTED}\"]"),
        "{}".to_owned(),
        format!("{{ value = \"{PLANTED}\" }}"),
        format!("{{ env = \"A\", file = \"{PLANTED}\" }}"),
        "{ env = 4711 }".to_owned(),
        "{ env = \"\" }".to_owned(),
    ] {
        let errors = wrong(&format!("[services.users]\ntoken = {written}"), &[]);
        assert!(!errors.contains("hunter2") && !errors.contains("4711"), "{errors}");
        told.push(errors);
    }
    told.dedup();
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn a_secret_is_read_when_it_is_used_and_never_shown() {
    let directory = Directory::new();
    let file = directory.write("token", format!("{PLANTED}\n"));
    let text = format!("[services.users]\ntoken = {{ file = {:?} }}", file.display().to_string());
    let layers = parse(&text, &[]).unwrap();
    let scope = users(&layers);
    let settings: PerService = take(&scope);
    let secret = settings.token.as_ref().unwrap();
    let value = secret.read().unwrap();
    assert_eq!(value.expose(), PLANTED);
    let mut explanation = Explanation::default();
    explanation.add(&scope, &settings);
    for shown in [format!("{settings:?} {value:?} {secret}"), explanation.to_string()] {
        assert!(!shown.contains(PLANTED) && shown.contains("token"), "{shown}");
    }

    fs::remove_file(&file).unwrap();
    assert!(secret.check().is_err(), "it is read anew each time");
    directory.write("token", " \n");
    assert_eq!(secret.check().unwrap_err().to_string(), format!("{secret}: it is empty"));
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(secret.check().is_err());
    fs::write(&file, vec![b'a'; 1 << 17]).unwrap();
    assert!(secret.check().unwrap_err().to_string().ends_with("it is too large for a secret"));
}

#[test]
fn secrets_are_compared_whole() {
    let read = |text: &str| {
        let directory = Directory::new();
        Secret::File(directory.write("secret", text)).read().unwrap()
    };
    assert_eq!(read("abc"), read("abc"));
    for other in ["abd", "xbc", "ab", "abcd"] {
        assert_ne!(read("abc"), read(other));
    }
}

#[test]
fn a_secret_that_is_not_there_is_told_with_its_place() {
    let text = "[services.users]\n\ntoken = { env = \"SEAWALL_TEST_NO_SUCH_SECRET\" }";
    insta::assert_snapshot!("missing_variable", wrong(text, &[]));
    let text = "[services.users.token]\nfile = \"no/such/file\"";
    insta::assert_snapshot!("missing_file", wrong(text, &[]));
}

#[test]
fn a_secret_can_be_read_by_any_deserializer() {
    let read: PerService = toml::from_str("token = { env = \"A\" }").unwrap();
    assert_eq!(read.token, Some(Secret::Env("A".to_owned())));
    assert!(!toml::from_str::<PerService>("token = \"hunter2\"").unwrap_err().message().contains("hunter2"));
}
