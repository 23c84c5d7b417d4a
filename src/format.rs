//! How numbers, names and foreign text are written for people. Pure functions.

mod rate;
mod time;

use std::borrow::Cow;
use std::time::Duration;

pub use rate::Rate;
pub use time::{about, clock, duration, parse_duration};
pub use zfs::text::{on_one_line, sanitise};

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Scales `bytes` to the unit in which it has at most four digits before the point; the unit as an index into `UNITS`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown, an f64 has fifteen")]
fn scale(bytes: u64) -> (f64, usize) {
    let (mut value, mut unit) = (bytes as f64, 0);
    // 1023.95 would be rounded to 1024.0 of the smaller unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    (value, unit)
}

/// A message with something said behind its first line: what follows that may be a command to copy, which has nothing behind it.
#[must_use]
pub fn added(message: &str, more: &str) -> String {
    let (first, rest) = message.split_at(message.find('\n').unwrap_or(message.len()));
    format!("{first}{more}{rest}")
}

/// A size with its unit spelled out: `512 B`, `1.21 GiB`, `100.8 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let (value, unit) = scale(bytes);
    let decimals = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        _ => 1,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A size in at most five characters, as `zfs list` writes it: `512B`, `1.21G`, `101M`.
#[must_use]
pub fn compact(bytes: u64) -> String {
    let (value, unit) = scale(bytes);
    let decimals = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{}", &UNITS[unit][..1])
}

/// How many more there are than were named, at the end of a list: ` and 2 more`; nothing where there are none.
#[must_use]
pub fn and_more(number: usize) -> String {
    if number == 0 { String::new() } else { format!(" and {number} more") }
}

/// The first `shown` of these names as they are `written`, and how many more there are: `a, b and 2 more`.
#[must_use]
pub fn first_of<T>(names: impl IntoIterator<Item = T>, shown: usize, written: impl Fn(T) -> String) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(shown).map(written).collect();
    format!("{}{}", first.join(", "), and_more(names.count()))
}

/// How many bytes a second `bytes` in `took` are; 0 when no time has passed.
#[must_use]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for display")]
pub fn per_second(bytes: u64, took: Duration) -> u64 {
    // A float too large for u64 saturates.
    if took.is_zero() { 0 } else { (bytes as f64 / took.as_secs_f64()) as u64 }
}

/// A rate with its unit: `100.8 MiB/s`.
#[must_use]
pub fn rate(per_second: u64) -> String {
    bytes(per_second) + "/s"
}

/// How far `done` of `total` is, in whole percent; never 100 before all of it is done.
#[must_use]
pub fn percent(done: u64, total: u64) -> u64 {
    if done == total {
        return 100;
    }
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    u64::try_from(percent).map_or(99, |percent| percent.min(99))
}

/// `1 dataset`, `2 datasets`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `text` in at most `room` characters: what is too much is cut from the middle, because the start of a dataset's name
/// tells the pool and its end tells one sibling from another.
#[must_use]
pub fn shorten<'a>(text: &'a str, room: usize, ellipsis: &str) -> Cow<'a, str> {
    let length = text.chars().count();
    if length <= room {
        return Cow::Borrowed(text);
    }
    let mark = ellipsis.chars().count();
    if room < mark + 2 {
        return Cow::Owned(text.chars().skip(length - room).collect());
    }
    let head = (room - mark) / 2;
    let tail = room - mark - head;
    let mut short: String = text.chars().take(head).collect();
    short.push_str(ellipsis);
    short.extend(text.chars().skip(length - tail));
    Cow::Owned(short)
}

/// [`sanitise`], on one line: only the first line that isn't blank.
#[must_use]
pub fn first_line(text: &str) -> String {
    sanitise(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stands_behind_a_command_to_copy() {
        assert_eq!(
            added("can't connect\n  try: ssh beta true", "; it was not tried"),
            "can't connect; it was not tried\n  try: ssh beta true"
        );
        assert_eq!(added("can't connect", " (tried 2 times)"), "can't connect (tried 2 times)");
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B", "0B"),
            (1023, "1023 B", "1023B"),
            (1024, "1.00 KiB", "1.00K"),
            (1_048_575, "1.00 MiB", "1.00M"),
            (105_696_461, "100.8 MiB", "101M"),
            (1_299_227_607, "1.21 GiB", "1.21G"),
            (10_732_869_877, "10.0 GiB", "10.0G"),
            (u64::MAX, "16.0 EiB", "16.0E"),
        ];
        for (number, long, short) in cases {
            assert_eq!((bytes(number).as_str(), compact(number).as_str()), (long, short));
        }
    }

    #[test]
    fn lists_end_with_how_many_more_there_are() {
        for (names, told) in [(&[][..], ""), (&[1], "@1"), (&[1, 2], "@1, @2"), (&[1, 2, 3, 4], "@1, @2 and 2 more")] {
            assert_eq!(first_of(names, 2, |name| format!("@{name}")), told);
        }
        assert_eq!((and_more(0).as_str(), and_more(1).as_str()), ("", " and 1 more"));
    }

    #[test]
    fn rates_and_percents() {
        assert_eq!(rate(per_second(3 << 20, Duration::from_millis(1500))), "2.00 MiB/s");
        assert_eq!(per_second(7, Duration::ZERO), 0);
        assert_eq!(per_second(u64::MAX, Duration::from_nanos(1)), u64::MAX);
        assert_eq!(
            [percent(0, 0), percent(0, 9), percent(999, 1000), percent(9, 9), percent(10, 9)],
            [100, 0, 99, 100, 99]
        );
        assert_eq!(percent(u64::MAX, 1), 99);
    }

    #[test]
    fn counts() {
        assert_eq!([count(0, "step"), count(1, "step"), count(2, "step")], ["0 steps", "1 step", "2 steps"]);
    }

    #[test]
    fn shortens_in_the_middle() {
        assert_eq!(shorten("pool/a", 6, "…"), "pool/a");
        assert_eq!(shorten("pool/home/alice", 11, "…"), "pool/…alice");
        assert_eq!(shorten("pool/home/alice", 11, "..."), "pool...lice");
        assert_eq!(shorten("ääöö/üüßß", 5, "…"), "ää…ßß");
        assert_eq!([shorten("abcdef", 2, "…"), shorten("abcdef", 0, "…")], ["ef", ""]);
    }

    #[test]
    fn the_first_line_that_says_something() {
        assert_eq!(first_line("\n  cannot receive: x\n  more"), "cannot receive: x");
        assert_eq!(first_line(""), "");
    }
}
