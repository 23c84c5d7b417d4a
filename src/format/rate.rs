//! Rates as people write them. Pure functions.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Ends each error about a rate.
const EXAMPLES: &str = "such as 500K, 50M or 1.5GiB (units of 1024), or 50MB (units of 1000)";
/// A lower one is a mistake, most likely of the unit.
const LEAST: u64 = 1024;
const PREFIXES: &str = "kmgt";

/// Bytes per second: `50M`, `50MiB`, `1.5 GiB/s`, `50MB`. As in rsync, `K`, `M`, `G` and `T` are units of 1024, and `KB`, `MB`, `GB` and
/// `TB` of 1000. A unit must be there: one tool counts a number alone as bytes, another as KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// So many bytes per second.
    pub fn new(per_second: u64) -> Result<Self, String> {
        match NonZeroU64::new(per_second) {
            None => {
                Err(format!("nothing could be sent at a rate of 0: leave the limit out, or write a rate {EXAMPLES}"))
            }
            Some(_) if per_second < LEAST => Err(format!("less than 1 KiB per second: write a rate {EXAMPLES}")),
            Some(per_second) => Ok(Self(per_second)),
        }
    }

    /// How many bytes.
    #[must_use]
    pub fn per_second(self) -> NonZeroU64 {
        self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::rate(self.0.get()))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unreadable = || format!("expected bytes per second, {EXAMPLES}");
        let text = text.trim();
        let end = text.find(|ch: char| !ch.is_ascii_digit() && ch != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: f64 = number.parse().map_err(|_| unreadable())?;
        let unit = unit.trim();
        let unit = unit.strip_suffix("/s").unwrap_or(unit);
        let Some(factor) = factor(unit) else {
            return Err(match unit {
                "" if number == 0.0 => return Self::new(0),
                "" => format!("the unit is missing: write a rate {EXAMPLES}"),
                unit if is_bits(unit) => format!("rates are in bytes, not in bits: write a rate {EXAMPLES}"),
                _ => unreadable(),
            });
        };
        let bytes = number * factor;
        if bytes >= 1e18 {
            return Err(format!("too large for a rate: write one {EXAMPLES}"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is neither negative nor too large"
        )]
        Self::new(bytes.round() as u64)
    }
}

/// How many bytes a unit has.
fn factor(unit: &str) -> Option<f64> {
    if unit == "B" {
        return Some(1.0);
    }
    let prefix = unit.chars().next()?.to_ascii_lowercase();
    let power = i32::try_from(PREFIXES.find(prefix)? + 1).ok()?;
    match &unit[1..] {
        "" | "i" | "iB" | "ib" => Some(1024_f64.powi(power)),
        "B" => Some(1000_f64.powi(power)),
        _ => None,
    }
}

/// `Mbit`, `Mbps`, `Mb`, `mb`: with a small b it may be either, and eight times too much is no slip.
fn is_bits(unit: &str) -> bool {
    let unit = unit.strip_prefix(|ch: char| PREFIXES.contains(ch.to_ascii_lowercase())).unwrap_or(unit);
    let unit = unit.strip_prefix('i').unwrap_or(unit);
    matches!(unit, "b" | "bit" | "bits" | "bps" | "Bit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        for (text, bytes) in [
            ("50M", 50 << 20),
            ("50m", 50 << 20),
            ("100MiB", 100 << 20),
            ("100 MiB/s", 100 << 20),
            ("100mib", 100 << 20),
            ("100Mi", 100 << 20),
            ("50MB", 50_000_000),
            ("50 MB/s", 50_000_000),
            ("1.5G", 3 << 29),
            (" 1.5 GiB ", 3 << 29),
            ("1K", 1024),
            ("2kB", 2000),
            ("5000B", 5000),
            ("2T/s", 2 << 40),
        ] {
            assert_eq!(text.parse(), Rate::new(bytes), "{text}");
        }
        assert_eq!("50M".parse::<Rate>().unwrap().to_string(), "50.0 MiB/s");
    }

    #[test]
    fn what_is_no_rate_is_told_with_examples() {
        for (text, why) in [
            ("", "expected bytes per second"),
            ("M", "expected bytes per second"),
            ("fast", "expected bytes per second"),
            ("-5M", "expected bytes per second"),
            ("5,5M", "expected bytes per second"),
            ("1.2.3M", "expected bytes per second"),
            ("5Mx", "expected bytes per second"),
            ("5ä", "expected bytes per second"),
            ("5M/min", "expected bytes per second"),
            ("5e6B", "expected bytes per second"),
            ("infM", "expected bytes per second"),
            ("0", "leave the limit out"),
            ("0M", "leave the limit out"),
            ("5000", "the unit is missing"),
            ("100B", "less than 1 KiB"),
            ("0.5K", "less than 1 KiB"),
            ("100Mbit", "in bytes, not in bits"),
            ("100Mbit/s", "in bytes, not in bits"),
            ("100 mbps", "in bytes, not in bits"),
            ("100Mb", "in bytes, not in bits"),
            ("100mb/s", "in bytes, not in bits"),
            ("99999999999T", "too large"),
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains(why) && error.contains("50M"), "{text}: {error}");
        }
    }
}
