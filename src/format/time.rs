//! Spans of time: read as people write them, and written so that they can be read again. Pure functions.

use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

/// Longer times are mistakes, and sums with them would overflow clocks.
const MOST_DAYS: i64 = 366;
/// Ends each error about a time.
const EXAMPLES: &str = "such as 90s, 5min, 1.5h or 30d";
/// All units but their longer names.
const UNITS: &str = "s, min, h, d or w";

/// A time in whole seconds: `90s`, `5m`, `5 min`, `1.5h`, `1h 30min`, `30 d`, `2 weeks`. A unit must be there, unless it is `0`: who
/// writes a number alone may mean seconds, or days. A day has 24 hours.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return match text.parse() {
            Ok(0_u8) => Ok(Duration::ZERO),
            _ => Err(format!("{text} has no unit: is it {text}s, or {text}d? The units are {UNITS}, {EXAMPLES}")),
        };
    }
    let span = SpanParser::new().parse_span(text).map_err(|_| unreadable(text))?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!("months and years differ in length: the units are {UNITS}, {EXAMPLES}"));
    }
    if span.is_negative() {
        return Err(format!("a time can't be negative: write one {EXAMPLES}"));
    }
    let time =
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().and_then(|time| Duration::try_from(time).ok());
    let time = time.filter(|time| *time <= most()).ok_or_else(too_long)?;
    if time.subsec_nanos() != 0 {
        return Err(format!("fractions of a second can't be used: the units are {UNITS}, {EXAMPLES}"));
    }
    Ok(time)
}

fn most() -> Duration {
    Duration::from_secs(MOST_DAYS.unsigned_abs() * 86_400)
}

fn too_long() -> String {
    format!("longer than {MOST_DAYS} days, which is the limit: write a time {EXAMPLES}")
}

/// What is wrong with a text that is no time.
fn unreadable(text: &str) -> String {
    if text.contains(['.', ',']) && text.ends_with(|unit: char| unit.is_alphabetic()) {
        return format!("only hours, minutes and seconds can have a fraction: write a time {EXAMPLES}");
    }
    format!("expected a number and a unit ({UNITS}), {EXAMPLES}")
}

/// A span of time in words: `0.8 s`, `2 min 5 s`, `3 h 12 min`, `2 d 3 h`.
#[must_use]
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 if span.as_millis() < 59_950 => format!("{:.1} s", span.as_secs_f64()),
        0..60 => "1 min 0 s".to_owned(),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// An age or a limit in words, without a part that says nothing: `8 s`, `5 min`, `2 min 5 s`, `6 h`.
#[must_use]
pub fn about(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 if span.subsec_nanos() == 0 => format!("{seconds} s"),
        0..60 => duration(span),
        _ => {
            let text = duration(span);
            let whole = [" 0 s", " 0 min", " 0 h"].iter().find_map(|zero| text.strip_suffix(zero));
            whole.map_or_else(|| text.clone(), ToOwned::to_owned)
        }
    }
}

/// A span of time in at most eight characters: `0:15`, `12:34`, `1:02:03`, `3d04h`.
#[must_use]
pub fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..3600 => format!("{minutes}:{:02}", seconds % 60),
        3600..86_400 => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        _ if days < 1000 => format!("{days}d{hours:02}h"),
        _ => ">999d".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let cases = [
            (800, "0.8 s", "0:00"),
            (12_345, "12.3 s", "0:12"),
            (59_970, "1 min 0 s", "0:59"),
            (125_000, "2 min 5 s", "2:05"),
            (11_520_000, "3 h 12 min", "3:12:00"),
            (183_600_000, "2 d 3 h", "2d03h"),
            (u64::MAX, "213503982334 d 14 h", ">999d"),
        ];
        for (millis, long, short) in cases {
            let span = Duration::from_millis(millis);
            assert_eq!((duration(span).as_str(), clock(span).as_str()), (long, short));
        }
    }

    #[test]
    fn ages_and_limits() {
        for (millis, text) in [
            (0, "0 s"),
            (8_000, "8 s"),
            (1_500, "1.5 s"),
            (300_000, "5 min"),
            (310_000, "5 min 10 s"),
            (21_600_000, "6 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(about(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn times_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("00", 0),
            ("90s", 90),
            ("5m", 300),
            ("5min", 300),
            (" 5 min ", 300),
            ("1.5h", 5400),
            ("1h30m", 5400),
            ("1 h 30 min", 5400),
            ("1 hour, 30 minutes", 5400),
            ("30d", 30 * 86_400),
            ("30 d", 30 * 86_400),
            ("2 days", 2 * 86_400),
            ("2w", 14 * 86_400),
            ("0d", 0),
            ("366d", 366 * 86_400),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_examples() {
        let cases = [
            ("", "a number and a unit"),
            ("5x", "a number and a unit"),
            ("5M", "a number and a unit"),
            ("h", "a number and a unit"),
            ("NaN", "a number and a unit"),
            ("inf", "a number and a unit"),
            ("1e3s", "a number and a unit"),
            ("PT5M", "a number and a unit"),
            ("1.5", "a number and a unit"),
            ("1.5d", "only hours, minutes and seconds"),
            ("0,5 weeks", "only hours, minutes and seconds"),
            ("-5m", "can't be negative"),
            ("5m ago", "can't be negative"),
            ("1 month", "months and years differ in length"),
            ("1y", "months and years differ in length"),
            ("0.5s", "fractions of a second"),
            ("367d", "longer than 366 days"),
            ("7", "7 has no unit: is it 7s, or 7d? "),
            ("99999999999999999999", "has no unit"),
            ("99999999s", "longer than 366 days"),
            ("99999999999999999999h", "a number and a unit"),
        ];
        for (text, why) in cases {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(why) && error.contains("1.5h"), "{text}: {error}");
        }
        for text in ["5x", "3months", "1y", "500ms"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("s, min, h, d or w"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for seconds in [0, 1, 59, 60, 125, 3600, 11_520, 86_400, 183_600, 366 * 86_400] {
            let text = duration(Duration::from_secs(seconds));
            assert_eq!(parse_duration(&text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }
}
