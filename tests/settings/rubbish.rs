//! Whatever is written, nothing panics: it is read, or there is an error that says where.

use proptest::prelude::*;
use seawall::{
    config::{ConfigErrors, Explanation, Layers},
    service::{CallSettings, RuntimeSettings, ServiceSettings},
};

use crate::{
    kind::VaultSettings,
    support::{Directory, USERS, names, refused_or_taken},
};

/// Reads all there is to read, as a runtime does.
fn read(layers: Result<Layers, ConfigErrors>) {
    let mut errors = ConfigErrors::new();
    match layers {
        Err(wrong) => errors.extend(wrong),
        Ok(layers) => {
            let runtime = layers.section("runtime");
            let _ = runtime.reader(&mut errors).read::<RuntimeSettings>();
            for name in layers.services() {
                let scope = layers.service(&name, "vault", "").expect("no defaults are right");
                let mut reader = scope.reader(&mut errors);
                let service = reader.read::<ServiceSettings>();
                let own = reader.read::<VaultSettings>();
                reader.finish(&["calls"]);
                let mut explanation = Explanation::default();
                if let Some(service) = &service {
                    explanation.add(&scope, service);
                }
                explanation.add_written(&scope);
                for call in layers.calls(&name) {
                    let scope = layers.call(&scope, &name, &call, "").expect("no derive is right");
                    let _ = scope.reader(&mut errors).read::<CallSettings>();
                }
                drop((own, explanation.to_string()));
            }
        }
    }
    for diagnostic in errors.iter() {
        assert!(!diagnostic.message.is_empty());
        assert_eq!(diagnostic.to_string().lines().count(), 2, "what and where are a line each: {diagnostic}");
    }
}

/// Words that settings are made of, so that chance gets past the first of them.
fn word() -> impl Strategy<Value = String> {
    const WORDS: [&str; 28] = [
        "services", "users", "kinds", "vault", "defaults", "runtime", "calls", "GetUser", "timeout", "retry",
        "breaker", "pool", "max", "attempts", "window", "url", "token", "env", "file", "mirrors", "host",
        "weight", "limits", "kind", "\"a.b\"", "\"\"", "labels", "on",
    ];
    prop_oneof![9 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => "[a-z_]{1,3}"]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|on| on.to_string()),
        proptest::sample::select(
            &["\"vault\"", "\"5s\"", "\"50%\"", "\"1MiB\"", "0", "1979-05-27", "'''x\ny'''"][..]
        )
        .prop_map(str::to_owned),
        "\"[a-z0-9%]{0,4}\"",
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(", "))),
            proptest::collection::vec((word(), inner), 0..4).prop_map(|entries| {
                let entries: Vec<_> =
                    entries.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    let keys = || proptest::collection::vec(word(), 1..6).prop_map(|words| words.join("."));
    let line = prop_oneof![
        keys().prop_map(|key| format!("[{key}]")),
        keys().prop_map(|key| format!("[[{key}]]")),
        (keys(), value()).prop_map(|(key, value)| format!("{key} = {value}")),
    ];
    proptest::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

fn variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        proptest::collection::vec(word(), 0..6).prop_map(|words| format!("SEAWALL__{}", words.join("__"))),
        "(?i:seawall)__\\PC{0,12}",
        "\\PC{0,12}",
    ];
    proptest::collection::vec((name, prop_oneof![value(), "\\PC{0,12}"]), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>(), variables in variables()) {
        read(Layers::parse(&text, variables, &names()));
    }

    #[test]
    fn text_that_looks_like_settings(document in document(), variables in variables()) {
        read(Layers::parse(&document, variables, &names()));
    }

    #[test]
    fn settings_of_a_service(value in value(), key in word()) {
        read(Layers::parse(&format!("{USERS}{key} = {value}"), Vec::new(), &names()));
    }

    #[test]
    fn settings_with_a_byte_changed(at in 0..USERS.len(), byte in any::<u8>(), environment in any::<String>()) {
        let mut bytes = USERS.as_bytes().to_vec();
        bytes[at] = byte;
        let directory = Directory::new("rubbish", &[("default.toml", &bytes)]);
        read(Layers::load(directory.path(), Some(&environment), Vec::new(), &names()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_runtimes(document in document()) {
        refused_or_taken(document);
    }
}
