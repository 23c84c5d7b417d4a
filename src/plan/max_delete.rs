//! How much of a target may be destroyed in one run.

use std::fmt;
use std::str::FromStr;

/// So much always may go without `--max-delete`.
const FEW: usize = 10;
/// Per cent of the target's datasets, and of its snapshots, that may go without `--max-delete`.
const PERCENT: u8 = 25;

/// How much may go in one run, of the target's datasets and of its snapshots (`--max-delete`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MaxDelete {
    /// A quarter, but always ten.
    #[default]
    Cautious,
    /// So many datasets, and so many snapshots.
    Number(usize),
    /// So many per cent of the datasets, and of the snapshots.
    Percent(u8),
}

impl MaxDelete {
    /// How many of `total` may go.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        let part = |percent: u8| {
            let part = total as u128 * u128::from(percent) / 100;
            usize::try_from(part).unwrap_or(usize::MAX)
        };
        match self {
            Self::Cautious => part(PERCENT).max(FEW),
            Self::Number(number) => number,
            Self::Percent(percent) => part(percent),
        }
    }
}

impl fmt::Display for MaxDelete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cautious => write!(f, "{PERCENT}%, at least {FEW}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for MaxDelete {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number nor a percentage (100, 30%)");
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Self::Number).map_err(|_| wrong()),
        }
    }
}

/// In a configuration file: a number, or a text with a percentage.
impl<'de> serde::Deserialize<'de> for MaxDelete {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl serde::de::Visitor<'_> for Read {
    type Value = MaxDelete;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a percentage in quotes: 100 or \"30%\"")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<MaxDelete, E> {
        let unexpected = serde::de::Unexpected::Signed(number);
        usize::try_from(number).map(MaxDelete::Number).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<MaxDelete, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        usize::try_from(number).map(MaxDelete::Number).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MaxDelete, E> {
        text.parse().map_err(E::custom)
    }
}
