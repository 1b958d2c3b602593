use std::time::Duration;

use serde::{
    Deserialize,
    de::value::{Error, F64Deserializer, I64Deserializer, StrDeserializer, U64Deserializer},
};

use super::*;

fn text<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    T::deserialize(StrDeserializer::new(text))
}

fn seconds(text: &str) -> Result<Duration, Error> {
    duration::deserialize(StrDeserializer::new(text))
}

#[test]
fn ratios_are_read_from_percent_and_shares() {
    for (written, share) in
        [("50%", 0.5), (" 7 % ", 0.07), ("0.5", 0.5), ("1", 1.0), ("0", 0.0), ("100%", 1.0)]
    {
        assert_eq!(text::<Ratio>(written).map(Ratio::get), Ok(share), "{written}");
    }
    for written in ["", "%", "half", "101%", "-1%", "1.1", "nan", "inf%", "50", "0x1"] {
        assert!(text::<Ratio>(written).is_err(), "{written}");
    }
    let float = |share| Ratio::deserialize(F64Deserializer::<Error>::new(share)).map(Ratio::get);
    assert_eq!(float(0.25), Ok(0.25));
    assert!(float(f64::NAN).is_err() && float(-0.1).is_err() && float(1.5).is_err());
    let whole = |share| Ratio::deserialize(U64Deserializer::<Error>::new(share));
    assert_eq!(whole(1), Ok(Ratio::ALL));
    assert_eq!(whole(2).expect_err("2 is above 1").to_string(), "2 could mean 2% or 2 times; write \"2%\"");
    assert!(Ratio::deserialize(I64Deserializer::<Error>::new(-1)).is_err());
}

#[test]
fn ratios_are_written_as_they_are_read() {
    for percent in 0..=100 {
        let ratio = Ratio::percent(percent);
        assert_eq!(ratio.to_string(), format!("{percent}%"));
        assert_eq!(text(&ratio.to_string()), Ok(ratio));
    }
    assert_eq!(Ratio::new(0.125).expect("it is below 1").to_string(), "12.5%");
}

#[test]
fn sizes_carry_their_unit() {
    let sizes = [
        ("0B", 0),
        ("100B", 100),
        ("1KiB", 1 << 10),
        ("64 MiB", 64 << 20),
        ("2GiB", 2 << 30),
        ("10MB", 10_000_000),
    ];
    for (written, bytes) in sizes {
        assert_eq!(text(written), Ok(ByteSize::bytes(bytes)), "{written}");
    }
    for written in ["", "B", "1.5MiB", "-1B", "1TiB", "18446744073709551615KiB", "MiB64"] {
        assert!(text::<ByteSize>(written).is_err(), "{written}");
    }
    let bare = "found the number 10, and a size needs its unit: write \"10B\" or \"10MiB\"";
    assert_eq!(text::<ByteSize>("10").expect_err("it has no unit").to_string(), bare);
    let number = ByteSize::deserialize(U64Deserializer::<Error>::new(10));
    assert_eq!(number.expect_err("it has no unit").to_string(), bare);
}

#[test]
fn sizes_are_written_as_they_are_read() {
    for bytes in [0, 1, 1000, 1 << 10, 1500, 1 << 20, (1 << 20) + 1, 3 << 30, u64::MAX] {
        let size = ByteSize::bytes(bytes);
        assert_eq!(text(&size.to_string()), Ok(size));
    }
    assert_eq!(ByteSize::kib(2048).to_string(), "2MiB");
    assert_eq!(ByteSize::bytes(u64::MAX).as_usize(), usize::MAX);
}

#[test]
fn durations_carry_their_unit() {
    assert_eq!(seconds("1m 30s"), Ok(Duration::from_secs(90)));
    assert_eq!(seconds(" 500ms "), Ok(Duration::from_millis(500)));
    assert_eq!(seconds("0s"), Ok(Duration::ZERO));
    assert_eq!(seconds("366d"), Ok(duration::LONGEST));
    for written in ["", "soon", "-5s", "367d", "5", "99999999999999999999s", "5 5"] {
        assert!(seconds(written).is_err(), "{written}");
    }
    let bare = "found the number 5, and a duration needs its unit: write \"5s\" or \"5ms\"";
    assert_eq!(seconds("5").expect_err("it has no unit").to_string(), bare);
    let number = duration::deserialize(U64Deserializer::<Error>::new(5));
    assert_eq!(number.expect_err("it has no unit").to_string(), bare);
}

#[test]
fn moments_neither_go_back_nor_overflow() {
    let (early, late) = (Tick::from_nanos(5), Tick::from_nanos(9));
    assert_eq!(late.since(early), Duration::from_nanos(4));
    assert_eq!(early.since(late), Duration::ZERO);
    assert_eq!(early.after(Duration::from_nanos(4)), late);
    assert_eq!(late.after(Duration::MAX).as_nanos(), u64::MAX);
    assert!(Tick::ZERO < early);
}
