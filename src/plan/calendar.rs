//! The periods of a calendar: minutes, hours, days, weeks, months and years, as a time zone has them. Time is an argument here.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use thiserror::Error;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// The length of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Of 60 seconds.
    Minute,
    /// From one full hour to the next. When clocks are set back, the hour that comes twice is two of them.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// Of the calendar.
    Month,
    /// Of the calendar.
    Year,
}

/// One period of its length, to be told from others of the same length in the same zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// The one that begins at this second.
    At(i64),
    /// The one that begins on this day.
    On(Date),
}

impl Unit {
    /// All, the shortest first.
    pub const ALL: [Self; 6] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// How it is written behind a number.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "d",
            Self::Week => "w",
            Self::Month => "m",
            Self::Year => "y",
        }
    }

    /// The word for one of them.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The period that a second lies in; `None` for times that no calendar has.
    #[must_use]
    pub fn period(self, second: i64, zone: &TimeZone) -> Option<Period> {
        let time = Timestamp::from_second(second).ok()?;
        let begin = |length| {
            // By the clock on the wall: not every zone is whole hours away from UTC.
            let offset = i64::from(zone.to_offset(time).seconds());
            Period::At(second - (second + offset).rem_euclid(length))
        };
        let day = zone.to_datetime(time).date();
        Some(match self {
            Self::Minute => begin(MINUTE),
            Self::Hour => begin(HOUR),
            Self::Day => Period::On(day),
            Self::Week => {
                let monday = day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days());
                Period::On(monday.unwrap_or(Date::MIN))
            }
            Self::Month => Period::On(day.first_of_month()),
            Self::Year => Period::On(day.first_of_year()),
        })
    }
}

/// What retention goes by: a time zone's calendar, and the present moment.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// Whose hours and days count.
    pub zone: TimeZone,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// Whether two moments lie in one window, when the seconds since 1970 are cut into windows of this length.
#[must_use]
pub fn same_window(one: i64, other: i64, seconds: u64) -> bool {
    let length = i64::try_from(seconds).unwrap_or(i64::MAX).max(1);
    one.div_euclid(length) == other.div_euclid(length)
}

/// A time zone as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    text: String,
    zone: TimeZone,
}

/// A time zone that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ZoneError(String);

impl Zone {
    /// What it stands for.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    /// `UTC`, `local`, a name of the time zone database, or a rule as POSIX has it for TZ.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let zone = match text {
            "UTC" => TimeZone::UTC,
            "local" => TimeZone::try_system()
                .map_err(|error| ZoneError(format!("can't determine the time zone of this machine: {error}")))?,
            _ => TimeZone::get(text).or_else(|_| TimeZone::posix(text)).map_err(|_| {
                ZoneError(format!(
                    "{text:?} is not a time zone known on this machine: use UTC, local, a name such as Europe/Berlin (from the \
                     package tzdata), or a rule such as CET-1CEST,M3.5.0,M10.5.0/3"
                ))
            })?,
        };
        Ok(Self { text: text.to_owned(), zone })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";

    fn zone(text: &str) -> TimeZone {
        text.parse::<Zone>().unwrap().zone
    }

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    /// Whether each time lies in another period than the one before it.
    fn changes(unit: Unit, zone: &TimeZone, times: &[&str]) -> Vec<bool> {
        let periods: Vec<_> = times.iter().map(|time| unit.period(second(time), zone).unwrap()).collect();
        periods.windows(2).map(|pair| pair[0] != pair[1]).collect()
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let utc = TimeZone::UTC;
        for (unit, times) in [
            (Unit::Minute, ["2024-11-22T03:15:00Z", "2024-11-22T03:15:59Z", "2024-11-22T03:16:00Z"]),
            (Unit::Hour, ["2024-11-22T03:00:00Z", "2024-11-22T03:59:59Z", "2024-11-22T04:00:00Z"]),
            (Unit::Day, ["2024-11-22T00:00:00Z", "2024-11-22T23:59:59Z", "2024-11-23T00:00:00Z"]),
            (Unit::Week, ["2024-11-18T00:00:00Z", "2024-11-24T23:59:59Z", "2024-11-25T00:00:00Z"]),
            (Unit::Month, ["2024-11-01T00:00:00Z", "2024-11-30T23:59:59Z", "2024-12-01T00:00:00Z"]),
            (Unit::Year, ["2024-01-01T00:00:00Z", "2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z"]),
        ] {
            assert_eq!(changes(unit, &utc, &times), [false, true], "{unit:?}");
        }
        // A week of two years is one; times before 1970 have periods too.
        assert_eq!(changes(Unit::Week, &utc, &["2024-12-30T00:00:00Z", "2025-01-05T23:59:59Z"]), [false]);
        let times = ["1969-12-31T22:59:59Z", "1969-12-31T23:00:00Z", "1969-12-31T23:59:59Z"];
        assert_eq!(changes(Unit::Hour, &utc, &times), [true, false]);
        assert_eq!(Unit::Day.period(i64::MAX, &utc), None);
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let times = ["2024-11-22T22:30:00Z", "2024-11-22T23:00:00Z", "2024-11-23T22:59:59Z"];
        assert_eq!(changes(Unit::Day, &zone(BERLIN), &times), [true, false]);
        assert_eq!(changes(Unit::Day, &TimeZone::UTC, &times), [false, true]);
        // Hours of a zone that is 5:45 ahead.
        let times = ["2024-11-22T03:14:59Z", "2024-11-22T03:15:00Z", "2024-11-22T04:14:59Z"];
        assert_eq!(changes(Unit::Hour, &zone("<+0545>-5:45"), &times), [true, false]);
    }

    #[test]
    fn the_hour_that_comes_twice_is_two() {
        // 2:30 in summer time, 2:30 in winter time, 3:30.
        let times = ["2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", "2024-10-27T02:30:00Z"];
        assert_eq!(changes(Unit::Hour, &zone(BERLIN), &times), [true, true]);
        assert_eq!(changes(Unit::Day, &zone(BERLIN), &times), [false, false]);
        // The day with 25 hours, and the one with 23.
        for (first, last, next) in [
            ("2024-10-26T22:00:00Z", "2024-10-27T22:59:59Z", "2024-10-27T23:00:00Z"),
            ("2024-03-30T23:00:00Z", "2024-03-31T21:59:59Z", "2024-03-31T22:00:00Z"),
        ] {
            assert_eq!(changes(Unit::Day, &zone(BERLIN), &[first, last, next]), [false, true]);
        }
        // Half an hour that comes twice: 1:30 to 2:00.
        let times = ["2024-04-06T14:29:59Z", "2024-04-06T14:59:59Z", "2024-04-06T15:29:59Z", "2024-04-06T15:30:00Z"];
        assert_eq!(changes(Unit::Hour, &zone(LORD_HOWE), &times), [false, true, true]);
    }

    #[test]
    fn windows_are_counted_from_1970() {
        assert!(same_window(3600, 7199, 3600) && same_window(7199, 3600, 3600));
        assert!(!same_window(3599, 3600, 3600) && !same_window(7199, 7200, 3600));
        assert!(same_window(5, 5, 1) && !same_window(5, 6, 1));
        assert!(!same_window(-1, 0, 3600) && same_window(1, 1 << 40, u64::MAX));
    }

    #[test]
    fn zones_are_read() {
        assert_eq!(zone("UTC"), TimeZone::UTC);
        assert!("local".parse::<Zone>().is_ok());
        assert_eq!(zone(BERLIN).to_offset("2024-07-01T00:00:00Z".parse().unwrap()).seconds(), 7200);
        for bad in ["", "Europe/Nowhere", "+2", "utc\n"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad:?}");
        }
    }
}
