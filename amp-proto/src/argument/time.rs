//! Date and time with an offset from UTC: Twisted's `DateTime`.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned, civil};

use super::Argument;
use super::python::put_text;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

/// A date and time of day in the years 1 to 9999, to the microsecond, and its offset from UTC in
/// whole minutes.
///
/// It is what the wire can say, no more: a place's rules for summer time are not part of it. It
/// converts from and to [`jiff::Timestamp`] and [`jiff::Zoned`], to calculate with.
///
/// Equality and hash are of the representation: noon in Paris is not eleven o'clock in London.
/// Convert to [`jiff::Timestamp`] to compare moments.
///
/// # Limits
/// Offsets reach from −25:59 to +25:59. Twisted reads larger ones too, but Python then fails to
/// use them.
///
/// # Examples
/// ```
/// use amp_proto::DateTime;
///
/// let seen: DateTime = "2012-01-23T12:34:56.054321+05:30".parse()?;
/// assert_eq!(seen.offset_minutes(), 330);
/// let moment = jiff::Timestamp::try_from(seen)?;
/// assert_eq!(moment.to_string(), "2012-01-23T07:04:56.054321Z");
/// # Ok::<(), amp_proto::ValueError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// In the years 1 to 9999 and without nanoseconds.
    civil: civil::DateTime,
    /// Without seconds.
    offset: Offset,
}

const EXPECTED: &str = "a date and time";

impl DateTime {
    /// The date and time that a clock shows where the offset from UTC is `offset_minutes`. What is
    /// below a microsecond is dropped.
    ///
    /// # Errors
    /// [`ValueError::OutOfRange`] if the year is not within 1 to 9999 or the offset not within
    /// −25:59 to +25:59.
    pub fn new(civil: civil::DateTime, offset_minutes: i16) -> Result<Self, ValueError> {
        let offset = Offset::from_seconds(i32::from(offset_minutes) * 60).map_err(|_| {
            let range = "-25:59..=+25:59".into();
            ValueError::OutOfRange { range, found: alloc::format!("{offset_minutes} minutes") }
        })?;
        Self::from_parts(civil, offset)
    }

    /// The date and time of day.
    #[must_use]
    pub fn civil(self) -> civil::DateTime {
        self.civil
    }

    /// The offset from UTC in minutes, positive to the east.
    #[must_use]
    pub fn offset_minutes(self) -> i16 {
        i16::try_from(self.offset.seconds() / 60).unwrap_or_default()
    }

    fn from_parts(civil: civil::DateTime, offset: Offset) -> Result<Self, ValueError> {
        if !(1..=9999).contains(&civil.year()) {
            let range = "years 1..=9999".into();
            return Err(ValueError::OutOfRange { range, found: civil.to_string() });
        }
        let nanosecond = civil.subsec_nanosecond() / 1000 * 1000;
        let civil = civil.with().subsec_nanosecond(nanosecond).build();
        let civil = civil.map_err(|error| out_of_range(&error))?;
        Ok(Self { civil, offset })
    }

    /// Brings an offset with seconds, as places had before there were time zones, down to whole
    /// minutes. The moment stays the same.
    fn from_precise(civil: civil::DateTime, offset: Offset) -> Result<Self, ValueError> {
        let seconds = offset.seconds().rem_euclid(60);
        if seconds == 0 {
            return Self::from_parts(civil, offset);
        }
        let whole = Offset::from_seconds(offset.seconds() - seconds);
        let whole = whole.map_err(|error| out_of_range(&error))?;
        let civil = civil.checked_sub(SignedDuration::from_secs(seconds.into()));
        Self::from_parts(civil.map_err(|error| out_of_range(&error))?, whole)
    }

    /// Writes its 32 characters, with `utc` for the sign of an offset of zero.
    fn write(self, out: &mut dyn fmt::Write, utc: char) -> fmt::Result {
        let Self { civil, offset } = self;
        let minutes = offset.seconds() / 60;
        let sign = match minutes {
            1.. => '+',
            0 => utc,
            ..0 => '-',
        };
        write!(
            out,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}{sign}{:02}:{:02}",
            civil.year(),
            civil.month(),
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second(),
            civil.subsec_nanosecond() / 1000,
            minutes.abs() / 60,
            minutes.abs() % 60,
        )
    }
}

fn out_of_range(error: &jiff::Error) -> ValueError {
    let range = "0001-01-01T00:00..=9999-12-31T23:59".into();
    ValueError::OutOfRange { range, found: error.to_string() }
}

/// Always 32 bytes. An offset of zero is written as `-00:00`, as Twisted writes it.
///
/// Read as Twisted reads it: by position. What stands between the numbers is not looked at.
impl Argument for DateTime {
    const TYPE: ArgumentType = ArgumentType::DateTime;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_text(out, format_args!("{}", OnTheWire(*self)));
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        read(bytes).ok_or_else(|| ValueError::malformed(EXPECTED, bytes))
    }
}

struct OnTheWire(DateTime);

impl fmt::Display for OnTheWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, '-')
    }
}

fn read(bytes: &[u8]) -> Option<DateTime> {
    let bytes: &[u8; 32] = bytes.try_into().ok().filter(|bytes: &&[u8; 32]| bytes.is_ascii())?;
    let number = |range: core::ops::Range<usize>| bytes.get(range).and_then(super::number::small);
    let narrow = |range| number(range).and_then(|number| i8::try_from(number).ok());
    let year = i16::try_from(number(0..4)?).ok()?;
    let date = civil::Date::new(year, narrow(5..7)?, narrow(8..10)?).ok()?;
    let (hour, minute, second) = (narrow(11..13)?, narrow(14..16)?, narrow(17..19)?);
    let nanosecond = number(20..26)?.checked_mul(1000)?;
    let time = civil::Time::new(hour, minute, second, nanosecond).ok()?;
    let minutes = i16::try_from(number(27..29)? * 60 + number(30..32)?).ok()?;
    let offset_minutes = match bytes.get(26)? {
        b'+' => minutes,
        b'-' => -minutes,
        _ => return None,
    };
    DateTime::new(date.to_datetime(time), offset_minutes).ok()
}

impl fmt::Display for DateTime {
    /// As RFC 3339 has it, with an offset of zero as `+00:00`: `-00:00`, which AMP writes, would
    /// mean there that the offset is unknown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, '+')
    }
}

impl fmt::Debug for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DateTime({self})")
    }
}

impl FromStr for DateTime {
    type Err = ValueError;

    /// Reads a date and time with an offset, as RFC 3339 and ISO 8601 have it.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let malformed = || ValueError::malformed(EXPECTED, text.as_bytes());
        let pieces = Pieces::parse(text).map_err(|_| malformed())?;
        let time = pieces.time().ok_or_else(malformed)?;
        let offset = pieces.to_numeric_offset().ok_or_else(malformed)?;
        Self::from_precise(pieces.date().to_datetime(time), offset)
    }
}

impl TryFrom<Timestamp> for DateTime {
    type Error = ValueError;

    /// The moment in UTC.
    fn try_from(moment: Timestamp) -> Result<Self, ValueError> {
        Self::from_parts(Offset::UTC.to_datetime(moment), Offset::UTC)
    }
}

impl TryFrom<&Zoned> for DateTime {
    type Error = ValueError;

    /// The moment as its own zone has it.
    fn try_from(zoned: &Zoned) -> Result<Self, ValueError> {
        Self::from_precise(zoned.datetime(), zoned.offset())
    }
}

impl TryFrom<DateTime> for Timestamp {
    type Error = ValueError;

    /// Fails near the end of the year 9999 only.
    fn try_from(it: DateTime) -> Result<Self, ValueError> {
        it.offset.to_timestamp(it.civil).map_err(|error| out_of_range(&error))
    }
}

impl TryFrom<DateTime> for Zoned {
    type Error = ValueError;

    /// Fails near the end of the year 9999 only.
    fn try_from(it: DateTime) -> Result<Self, ValueError> {
        Ok(Timestamp::try_from(it)?.to_zoned(TimeZone::fixed(it.offset)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::properties::encode;
    use super::*;

    fn parse(text: &str) -> Result<DateTime, ValueError> {
        text.parse()
    }

    #[test]
    fn utc_has_a_minus_sign_on_the_wire_and_a_plus_sign_elsewhere() {
        let it = parse("2012-01-23T12:34:56Z").unwrap();
        assert_eq!(encode(&it), Ok(b"2012-01-23T12:34:56.000000-00:00".to_vec()));
        assert_eq!(it.to_string(), "2012-01-23T12:34:56.000000+00:00");
    }

    #[test]
    fn it_is_read_from_rfc_3339() {
        let expected = parse("2012-01-23T12:34:56.500000-05:30").unwrap();
        for text in ["2012-01-23t12:34:56.5-05:30", "2012-01-23 12:34:56.500000999-0530"] {
            assert_eq!(parse(text), Ok(expected));
        }
        for text in ["2012-01-23", "2012-01-23T12:34:56", "12:00Z", "0000-01-01T00:00Z", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_converts_from_and_to_moments_and_zones() {
        let it = parse("2012-01-23T12:34:56.054321+05:30").unwrap();
        let moment: Timestamp = "2012-01-23T07:04:56.054321Z".parse().unwrap();
        assert_eq!(Timestamp::try_from(it), Ok(moment));
        assert_eq!(DateTime::try_from(moment), parse("2012-01-23T07:04:56.054321Z"));
        let zoned = Zoned::try_from(it).unwrap();
        assert_eq!(zoned.offset().seconds(), 19_800);
        assert_eq!(DateTime::try_from(&zoned), Ok(it));
    }

    #[test]
    fn seconds_of_an_offset_go_into_the_time_of_day() {
        let offset = Offset::from_seconds(-(4 * 3600 + 56 * 60 + 2)).unwrap();
        let moment: Timestamp = "1880-01-01T12:00:00Z".parse().unwrap();
        let it = DateTime::try_from(&moment.to_zoned(TimeZone::fixed(offset))).unwrap();
        assert_eq!(it.to_string(), "1880-01-01T07:03:00.000000-04:57");
        assert_eq!(Timestamp::try_from(it), Ok(moment));
    }

    #[test]
    fn years_and_offsets_have_bounds() {
        let noon = civil::date(2012, 1, 23).at(12, 0, 0, 0);
        assert!(DateTime::new(noon, 1559).is_ok());
        assert!(DateTime::new(noon, 1560).is_err());
        assert!(DateTime::new(civil::date(0, 1, 1).at(0, 0, 0, 0), 0).is_err());
        assert!(DateTime::try_from(Timestamp::MIN).is_err());
        let last = DateTime::new(civil::DateTime::MAX, 0).unwrap();
        assert_eq!(encode(&last), Ok(b"9999-12-31T23:59:59.999999-00:00".to_vec()));
        assert!(Timestamp::try_from(last).is_err());
        assert_eq!(vec![last.civil().subsec_nanosecond()], [999_999_000]);
    }
}
