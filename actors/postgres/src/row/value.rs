use std::error::Error;

use fallible_iterator::FallibleIterator;
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use tokio_postgres::types::{FromSql, Kind, Type};

use super::RowError;

/// A column's bytes, of whatever type.
pub(super) struct Raw<'a> {
    pub(super) kind: Type,
    pub(super) bytes: Option<&'a [u8]>,
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(kind: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self { kind: kind.clone(), bytes: Some(bytes) })
    }

    fn from_sql_null(kind: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self { kind: kind.clone(), bytes: None })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// One value: `None` is null.
#[derive(Clone)]
pub(super) struct Cell<'a> {
    pub(super) kind: Type,
    pub(super) bytes: Option<&'a [u8]>,
}

impl<'a> Cell<'a> {
    fn as_sql<T: FromSql<'a>>(&self, bytes: &'a [u8]) -> Result<T, RowError> {
        // What the parser says may repeat the value.
        T::from_sql(&self.kind, bytes).map_err(|_| RowError("it cannot be read".into()))
    }

    fn elements(&self, element: &Type, bytes: &'a [u8]) -> Result<Vec<Self>, RowError> {
        let malformed = |_| RowError("the array cannot be read".into());
        let array = postgres_protocol::types::array_from_sql(bytes).map_err(malformed)?;
        let dimensions: Vec<_> = array.dimensions().collect().map_err(malformed)?;
        if dimensions.len() > 1 {
            return Err(RowError("it has several dimensions, of which one can be read".into()));
        }
        // An element has four bytes at least; and the place for as many as there are said to be is taken beforehand.
        let fits = |said: i32| usize::try_from(said).is_ok_and(|count| count <= bytes.len() / 4);
        if dimensions.iter().any(|dimension| !fits(dimension.len)) {
            return Err(RowError("the array cannot be read".into()));
        }
        let cell = |bytes| Ok(Self { kind: element.clone(), bytes });
        array.values().map(cell).collect().map_err(malformed)
    }
}

impl<'a> Deserializer<'a> for Cell<'a> {
    type Error = RowError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        let Some(bytes) = self.bytes else { return visitor.visit_unit() };
        let mut kind = &self.kind;
        while let Kind::Domain(of) = kind.kind() {
            kind = of;
        }
        match kind.kind() {
            Kind::Array(element) => {
                let elements = self.elements(element, bytes)?;
                return visitor.visit_seq(Elements(elements.into_iter()));
            }
            Kind::Enum(_) => return visitor.visit_borrowed_str(text(bytes)?),
            _ => {}
        }
        match *kind {
            Type::BOOL => visitor.visit_bool(self.as_sql(bytes)?),
            Type::CHAR => visitor.visit_i8(self.as_sql(bytes)?),
            Type::INT2 => visitor.visit_i16(fixed(bytes).map(i16::from_be_bytes)?),
            Type::INT4 => visitor.visit_i32(fixed(bytes).map(i32::from_be_bytes)?),
            Type::INT8 => visitor.visit_i64(fixed(bytes).map(i64::from_be_bytes)?),
            Type::OID => visitor.visit_u32(fixed(bytes).map(u32::from_be_bytes)?),
            Type::FLOAT4 => visitor.visit_f32(fixed(bytes).map(f32::from_be_bytes)?),
            Type::FLOAT8 => visitor.visit_f64(fixed(bytes).map(f64::from_be_bytes)?),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
                visitor.visit_borrowed_str(text(bytes)?)
            }
            Type::BYTEA => visitor.visit_borrowed_bytes(bytes),
            Type::UUID => visitor.visit_string(uuid(fixed(bytes)?)),
            Type::VOID => visitor.visit_unit(),
            Type::JSON => json(bytes, visitor),
            Type::JSONB => match bytes {
                [1, json @ ..] => self::json(json, visitor),
                _ => Err(RowError("its version of jsonb is unknown".into())),
            },
            Type::NUMERIC => visitor.visit_string(numeric(bytes)?),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => visitor
                .visit_string(moment(fixed(bytes).map(i64::from_be_bytes)?, *kind == Type::TIMESTAMPTZ)?),
            Type::DATE => visitor.visit_string(date(fixed(bytes).map(i32::from_be_bytes)?)?),
            _ => Err(RowError("no value of this type can be read; select it as text: `column::text`".into())),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.bytes {
            None => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, RowError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, RowError> {
        let Some(bytes) = self.bytes else { return Err(RowError("it is null".into())) };
        match self.kind {
            Type::JSON | Type::JSONB => {
                let json = if self.kind == Type::JSONB { bytes.get(1..).unwrap_or_default() } else { bytes };
                serde_json::Deserializer::from_slice(json)
                    .deserialize_enum(name, variants, visitor)
                    .map_err(|error| unfit(&error))
            }
            _ => visitor.visit_enum(IntoDeserializer::<RowError>::into_deserializer(text(bytes)?)),
        }
    }

    /// Bytes are bytes, whatever is asked for them as.
    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        self.deserialize_any(visitor)
    }

    /// `Vec<u8>` is a sequence to serde.
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, RowError> {
        match self.bytes {
            Some(bytes) if self.kind == Type::BYTEA => {
                visitor.visit_seq(de::value::SeqDeserializer::new(bytes.iter().copied()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string byte_buf unit unit_struct tuple tuple_struct
        map struct identifier ignored_any
    }
}

/// An array's elements.
struct Elements<'a>(std::vec::IntoIter<Cell<'a>>);

impl<'a> SeqAccess<'a> for Elements<'a> {
    type Error = RowError;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, RowError> {
        self.0.next().map(|cell| seed.deserialize(cell)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], RowError> {
    bytes.try_into().map_err(|_| RowError("it is not as long as its type".into()))
}

fn text(bytes: &[u8]) -> Result<&str, RowError> {
    std::str::from_utf8(bytes).map_err(|_| RowError("it is no UTF-8".into()))
}

fn json<'a, V: Visitor<'a>>(json: &'a [u8], visitor: V) -> Result<V::Value, RowError> {
    serde_json::Deserializer::from_slice(json).deserialize_any(visitor).map_err(|error| unfit(&error))
}

/// Where a JSON value is not what was asked for; serde_json's own words may repeat it.
fn unfit(error: &serde_json::Error) -> RowError {
    RowError(format!("its JSON is not what is asked for, at line {} column {}", error.line(), error.column()))
}

fn uuid(bytes: [u8; 16]) -> String {
    let digits = u128::from_be_bytes(bytes);
    let hex = format!("{digits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A number of any length, in the digits that PostgreSQL itself writes. It comes in groups of four of them.
fn numeric(bytes: &[u8]) -> Result<String, RowError> {
    let malformed = || RowError("the number cannot be read".into());
    let mut words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let mut word = || words.next().ok_or_else(malformed);
    let (count, weight, sign, scale) =
        (usize::from(word()?), word()?.cast_signed(), word()?, usize::from(word()?));
    match sign {
        0xc000 => return Ok("NaN".into()),
        0xd000 => return Ok("Infinity".into()),
        0xf000 => return Ok("-Infinity".into()),
        _ => {}
    }
    let digits = (0..count).map(|_| word()).collect::<Result<Vec<_>, _>>()?;
    let group = |place: i32| {
        let index = i32::from(weight) - place;
        usize::try_from(index).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut written = String::new();
    if sign == 0x4000 {
        written.push('-');
    }
    let whole: String =
        (0..=i32::from(weight).max(0)).rev().map(|place| format!("{:04}", group(place))).collect();
    let whole = whole.trim_start_matches('0');
    written.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let groups = i32::try_from(scale.div_ceil(4)).map_err(|_| malformed())?;
        let fraction: String = (1..=groups).map(|place| format!("{:04}", group(-place))).collect();
        written.push('.');
        written.push_str(&fraction[..scale]);
    }
    Ok(written)
}

const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// As RFC 3339 has it.
fn moment(microseconds: i64, with_zone: bool) -> Result<String, RowError> {
    let day = i32::try_from(microseconds.div_euclid(MICROSECONDS_A_DAY)).map_err(|_| endless())?;
    let rest = microseconds.rem_euclid(MICROSECONDS_A_DAY);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let zone = if with_zone { "Z" } else { "" };
    Ok(format!("{}T{hour:02}:{minute:02}:{second:02}.{fraction:06}{zone}", date(day)?))
}

fn endless() -> RowError {
    RowError("it is infinite, or no year of four digits".into())
}

/// A day, counted from the first of the year 2000. The civil calendar by Howard Hinnant's algorithm, whose years begin in
/// March.
fn date(days: i32) -> Result<String, RowError> {
    if matches!(days, i32::MAX | i32::MIN) {
        return Err(endless());
    }
    let days = i64::from(days) + 730_425;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return Err(endless());
    }
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_says_it_is_longer_than_it_is_asks_for_no_memory() {
        let array = |count: i32| {
            let words = [1, 0, Type::INT4.oid().cast_signed(), count, 1, 4, 7];
            words.iter().flat_map(|word: &i32| word.to_be_bytes()).collect::<Vec<_>>()
        };
        let elements = |bytes: &[u8]| {
            let cell = Cell { kind: Type::INT4_ARRAY, bytes: Some(bytes) };
            cell.elements(&Type::INT4, bytes)
                .map(|elements| elements.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(elements(&array(1)), Ok(1));
        for count in [i32::MAX, i32::MIN, -1, 8] {
            assert_eq!(elements(&array(count)), Err("the array cannot be read".into()), "{count}");
        }
    }
}
