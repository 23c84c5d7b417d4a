//! The names of zfsync's own snapshots: how they are made, and how they are known again. Time is an argument here.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};
use thiserror::Error;

use super::calendar::Unit;
use zfs::name::SnapshotName;

/// Date, time and class, as in `241122-031500_H`.
pub const DEFAULT_FORMAT: &str = "%y%m%d-%H%M%S_{class}";
/// Stands for the class in a format.
const CLASS: &str = "{class}";

/// How far a snapshot is from the one before it: decides how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Within the same minute as the one before.
    Second,
    /// Within the same hour.
    Minute,
    /// Within the same day.
    Hour,
    /// The first of its day.
    Day,
}

impl Class {
    /// All, the shortest-lived first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// The class of a snapshot that is made at `now`, when the last one was made at `before`.
    #[must_use]
    pub fn after(before: Option<Timestamp>, now: &Zoned) -> Self {
        let same = |unit: Unit| {
            let period = |time: Timestamp| unit.period(time.as_second(), now.time_zone());
            before.is_some_and(|before| period(before) == period(now.timestamp()))
        };
        if !same(Unit::Day) {
            Self::Day
        } else if !same(Unit::Hour) {
            Self::Hour
        } else if !same(Unit::Minute) {
            Self::Minute
        } else {
            Self::Second
        }
    }

    /// Its letter in names and on command lines.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Second => 'S',
            Self::Minute => 'M',
            Self::Hour => 'H',
            Self::Day => 'D',
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

/// What a name of ours tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When the snapshot was made, in the time zone of whoever made it.
    pub time: DateTime,
    /// Its class, where the format has one.
    pub class: Option<Class>,
}

impl Stamp {
    /// When that was. Of a time that a zone has twice, as clocks are set back, the one that is nearer to `creation`, as ZFS tells
    /// it; without that nobody knows.
    #[must_use]
    pub fn moment(&self, zone: &TimeZone, creation: Option<i64>) -> Option<i64> {
        let moment = zone.to_ambiguous_timestamp(self.time);
        let AmbiguousOffset::Fold { before, after } = moment.offset() else {
            return moment.compatible().ok().map(Timestamp::as_second);
        };
        let creation = creation?;
        let both = [before, after].map(|offset| offset.to_timestamp(self.time).ok().map(Timestamp::as_second));
        both.into_iter().flatten().min_by_key(|moment| moment.abs_diff(creation))
    }
}

/// What own snapshots are called, and by which clock.
#[derive(Debug, Clone)]
pub struct Naming {
    /// How their names are made and known again.
    pub format: Format,
    /// The time zone of the times in them.
    pub zone: TimeZone,
}

/// A format that gives no names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{format:?} is not a valid format for snapshot names: {reason}")]
pub struct FormatError {
    format: String,
    reason: String,
}

/// How own snapshots are called: text with the conversions of strftime(3), and `{class}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    text: String,
}

impl Default for Format {
    fn default() -> Self {
        Self { text: DEFAULT_FORMAT.to_owned() }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    /// Only what makes legal names and can be read back to the day at least is a format.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let error = |reason: String| FormatError { format: text.to_owned(), reason };
        let format = Self { text: text.to_owned() };
        if text.matches(CLASS).count() > 1 {
            return Err(error("{class} can be used only once".into()));
        }
        // No two fields of it are alike.
        let probe = DateTime::new(2031, 10, 29, 17, 46, 58, 0).map_err(|err| error(err.to_string()))?;
        let name = format.plain(probe, Class::Hour).map_err(&error)?;
        name.parse::<SnapshotName>().map_err(|err| error(err.to_string()))?;
        if format.parse(&name).is_none_or(|stamp| stamp.time.date() != probe.date()) {
            return Err(error("the date can't be read back from the name (year, month and day must be in it)".into()));
        }
        Ok(format)
    }
}

impl Format {
    /// The name of a snapshot; one that is `taken` gets a number behind it.
    pub fn name(
        &self,
        time: DateTime,
        class: Class,
        taken: impl Fn(&str) -> bool,
    ) -> Result<SnapshotName, FormatError> {
        let error = |reason| FormatError { format: self.text.clone(), reason };
        let plain = self.plain(time, class).map_err(error)?;
        let numbered = (2..).map(|number: u64| format!("{plain}-{number}"));
        let mut free = std::iter::once(plain.clone()).chain(numbered).skip_while(|name| taken(name));
        free.next().unwrap_or_default().parse().map_err(|err: zfs::name::NameError| error(err.to_string()))
    }

    fn plain(&self, time: DateTime, class: Class) -> Result<String, String> {
        let text = self.text.replace(CLASS, &class.to_string());
        jiff::fmt::strtime::format(&text, time).map_err(|error| error.to_string())
    }

    /// What the name tells, if it is one that this format makes.
    #[must_use]
    pub fn parse(&self, name: &str) -> Option<Stamp> {
        self.parse_plain(name).or_else(|| {
            let (plain, number) = name.rsplit_once('-')?;
            let numbered = !number.starts_with('0') && number.parse::<u64>().is_ok_and(|number| number >= 2);
            self.parse_plain(plain).filter(|_| numbered)
        })
    }

    fn parse_plain(&self, name: &str) -> Option<Stamp> {
        if !self.text.contains(CLASS) {
            return self.read(&self.text, name, None);
        }
        Class::ALL.into_iter().find_map(|class| {
            let text = self.text.replace(CLASS, &class.to_string());
            self.read(&text, name, Some(class))
        })
    }

    /// Only a name that the same time gives again counts: strptime(3) is lenient about blanks and leading zeros.
    fn read(&self, text: &str, name: &str, class: Option<Class>) -> Option<Stamp> {
        let time = DateTime::strptime(text, name).ok()?;
        let again = self.plain(time, class.unwrap_or(Class::Day)).ok()?;
        (again == name).then_some(Stamp { time, class })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn classes_are_those_of_the_last_snapshot() {
        let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).unwrap();
        let now = utc(date(2024, 11, 22).at(3, 15, 30, 0));
        assert_eq!(Class::after(None, &now), Class::Day);
        for (before, class) in [
            (date(2024, 11, 22).at(3, 15, 0, 0), Class::Second),
            (date(2024, 11, 22).at(3, 14, 59, 0), Class::Minute),
            (date(2024, 11, 22).at(2, 15, 30, 0), Class::Hour),
            (date(2024, 11, 21).at(3, 15, 30, 0), Class::Day),
            (date(2024, 10, 22).at(3, 15, 30, 0), Class::Day),
        ] {
            assert_eq!(Class::after(Some(utc(before).timestamp()), &now), class, "{before}");
        }
        // Half past two again, an hour later: clocks were set back.
        let first: Timestamp = "2024-10-27T00:30:00Z".parse().unwrap();
        let second = "2024-10-27T01:30:01Z".parse::<Timestamp>().unwrap().to_zoned(berlin());
        assert_eq!(Class::after(Some(first), &second), Class::Hour);
    }

    #[test]
    fn a_time_that_comes_twice_is_told_by_zfs() {
        let stamp = Format::default().parse("241027-023000_H").unwrap();
        let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let (summer, winter) = (second("2024-10-27T00:30:00Z"), second("2024-10-27T01:30:00Z"));
        assert_eq!(stamp.moment(&TimeZone::UTC, None), Some(second("2024-10-27T02:30:00Z")));
        assert_eq!(stamp.moment(&berlin(), None), None);
        assert_eq!(stamp.moment(&berlin(), Some(summer + 2)), Some(summer));
        assert_eq!(stamp.moment(&berlin(), Some(winter + 2)), Some(winter));
        // A time that the zone doesn't have is somewhere there.
        let stamp = Format::default().parse("240331-023000_H").unwrap();
        assert_eq!(stamp.moment(&berlin(), None), Some(second("2024-03-31T01:30:00Z")));
    }

    #[test]
    fn names_never_collide() {
        let format = Format::default();
        let time = date(2024, 11, 22).at(3, 15, 30, 0);
        let name = |taken: &[&str]| format.name(time, Class::Hour, |name| taken.contains(&name)).unwrap().to_string();
        assert_eq!(name(&[]), "241122-031530_H");
        assert_eq!(name(&["241122-031530_H"]), "241122-031530_H-2");
        assert_eq!(name(&["241122-031530_H", "241122-031530_H-2"]), "241122-031530_H-3");
    }

    #[test]
    fn own_names_are_known_again() {
        let own = |name: &str| Format::default().parse(name).map(|stamp| (stamp.time.to_string(), stamp.class));
        let hour = Some(("2024-11-22T03:15:30".to_owned(), Some(Class::Hour)));
        assert_eq!(own("241122-031530_H"), hour);
        assert_eq!(own("241122-031530_H-2"), hour);
        for foreign in [
            "241122-031530_X",
            "241122-031530",
            "241322-031530_H",
            "241122-031530_H-1",
            "241122-031530_H-02",
            "241122-031530_H-x",
            "x241122-031530_H",
            "24112-031530_H",
            "2411 2-031530_H",
            "",
            "\u{e4}",
        ] {
            assert_eq!(own(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn formats_are_checked() {
        let parse = |text: &str| text.parse::<Format>().map(drop).map_err(|error| error.reason);
        for good in [DEFAULT_FORMAT, "zfsync_%Y-%m-%d_%H:%M:%S", "daily %Y%m%d", "%F-{class}"] {
            assert_eq!(parse(good), Ok(()), "{good}");
        }
        for bad in ["", "fixed", "%H%M%S", "%Y/%m/%d", "a@%F", "%", "%Q%Q", "{class}{class}%F"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_can_be_read(seconds in 0_i64..4_000_000_000, class in 0_usize..4, taken in 0_usize..3) {
            let time = jiff::Timestamp::from_second(seconds % 2_000_000_000).unwrap().to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let class = Class::ALL[class];
            let format = Format::default();
            let count = std::cell::Cell::new(0);
            let name = format.name(time, class, |_| { count.set(count.get() + 1); count.get() <= taken }).unwrap();
            let stamp = format.parse(name.as_str()).unwrap();
            prop_assert_eq!(stamp, Stamp { time, class: Some(class) });
        }
    }
}
