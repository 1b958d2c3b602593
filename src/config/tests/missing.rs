//! All keys that are missing are told, whatever their types.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;

use super::super::{ConfigErrors, Layers, Names, Secret};
use crate::units::{ByteSize, Ratio, duration};

/// Required keys of every sort that settings have.
#[derive(Debug, Deserialize)]
struct Required {
    _address: SocketAddr,
    _address_list: Vec<SocketAddr>,
    _count: NonZeroU32,
    _deep: Deep,
    #[serde(with = "duration")]
    _duration: Duration,
    _flag: bool,
    _large: NonZeroU64,
    _one_of: OneOf,
    _pair: (u8, String),
    _path: PathBuf,
    _rate: f64,
    _ratio: Ratio,
    _secret: Secret,
    _size: ByteSize,
    _slashed: Slashed,
    _small: i8,
    _table: BTreeMap<String, u8>,
    _text: String,
    _unsaid: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Slashed;

impl TryFrom<String> for Slashed {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text.starts_with('/') { Ok(Self) } else { Err("it begins with a slash") }
    }
}

#[derive(Debug, Deserialize)]
struct Deep {
    _inner: Secret,
    _other: Ratio,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OneOf {
    File(#[allow(dead_code, reason = "only that it is read is tested")] PathBuf),
    System,
}

/// Text that is in no list of what is tried.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Peculiar;

impl TryFrom<String> for Peculiar {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        if text == "peculiar" { Ok(Self) } else { Err("it is peculiar") }
    }
}

#[derive(Debug, Deserialize)]
struct Guarded {
    _first: String,
    _peculiar: Peculiar,
    _unknown: String,
}

fn missing<T: for<'de> Deserialize<'de> + std::fmt::Debug>(settings: &str) -> Vec<String> {
    let layers = Layers::parse(&format!("[runtime]\n{settings}"), [], &Names::default()).unwrap();
    let scope = layers.section("runtime");
    let mut errors = ConfigErrors::new();
    let read: Option<T> = scope.reader(&mut errors).read();
    assert!(read.is_none(), "made-up values are given to nobody");
    let key = |key: &str| key.strip_prefix("runtime._").unwrap_or(key).to_owned();
    errors.iter().map(|error| format!("{}: {}", key(&error.key), error.message)).collect()
}

const MISSING: &str = "it is missing, and has no default";

#[test]
fn of_every_type() {
    let all = "address address_list count deep duration flag large one_of pair path rate ratio secret size slashed \
               small table text";
    let expected: Vec<String> = all.split_whitespace().map(|key| format!("{key}: {MISSING}")).collect();
    assert_eq!(missing::<Required>(""), expected);
}

#[test]
fn of_a_table_that_is_there() {
    let told = missing::<Required>("_deep = {}\n_small = 1000");
    assert!(told.contains(&format!("deep._inner: {MISSING}")), "{told:?}");
    assert!(told.contains(&format!("deep._other: {MISSING}")), "{told:?}");
    assert!(
        told.contains(&"small: found the integer 1000; wanted an integer from -128 to 127".to_owned()),
        "{told:?}"
    );
}

#[test]
fn up_to_one_that_cannot_be_made_up() {
    assert_eq!(missing::<Guarded>(""), [format!("first: {MISSING}"), format!("peculiar: {MISSING}")]);
}
