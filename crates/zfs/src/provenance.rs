//! Which snapshots of the target zfsync has put there: noted on each dataset, told by guid.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::stable;
use crate::name::{Guid, RelPath, Txg};
use crate::{Note, Versions};

/// So many guids of what a first transfer brings have room in a property.
const MAX_CAME: usize = 450;

/// What zfsync has put into a dataset of the target, as a property of that dataset tells. Noted with the receive that makes the dataset
/// it names the snapshots that come. Once somebody has compared both sides it is shorter: all snapshots up to one of them, but for
/// those that the source hadn't got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Put {
    /// Which source it has come from: a hash of host and SOURCE.
    pub by: u32,
    /// Where below the target it was put: see [`place`]. Notes of older versions lack it.
    pub at: Option<u32>,
    /// The newest that has arrived.
    pub upto: Guid,
    /// Its createtxg there, once somebody has compared; it counts on when the snapshot itself is gone.
    pub txg: Option<Txg>,
    /// What came with the first transfer, as long as nobody has compared.
    pub came: Vec<Guid>,
    /// Snapshots that came from elsewhere.
    pub foreign: Vec<Guid>,
    /// Snapshots that are noted as missing at the source, by the lower halves of their guids, in order; `None`: too many
    /// for a property.
    pub missing: Option<Vec<u32>>,
}

/// Stands for a path below the target. A dataset that was renamed there since is none of ours any more.
#[must_use]
pub fn place(path: &RelPath) -> u32 {
    // The lower half is as good as any.
    half(Guid(stable(path.as_str())))
}

/// The lower half of a guid. Should two snapshots have the same, a note is looked for that isn't there.
fn half(guid: Guid) -> u32 {
    u32::try_from(guid.0 & u64::from(u32::MAX)).unwrap_or_default()
}

impl Put {
    /// For a receive that is about to make a dataset at this path below the target: it brings these snapshots. `None` if there are
    /// none. The newest are named, as far as there is room.
    #[must_use]
    pub fn new(by: u32, path: &RelPath, brings: &Versions) -> Option<Self> {
        let upto = brings.newest()?.guid;
        let came = brings.iter().rev().skip(1).take(MAX_CAME).map(|version| version.guid).collect();
        Some(Self { by, at: Some(place(path)), upto, txg: None, came, foreign: Vec::new(), missing: Some(Vec::new()) })
    }

    /// Whether a first transfer may have brought more than there was room for.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.came.len() >= MAX_CAME
    }

    /// The same, listing the snapshots that are noted as missing from now on, where all of them have room.
    #[must_use]
    pub fn with_missing(self, guids: impl IntoIterator<Item = Guid>) -> Self {
        let mut all: Vec<u32> = guids.into_iter().map(half).collect();
        all.sort_unstable();
        all.dedup();
        let put = Self { missing: Some(Vec::new()), ..self };
        let room = Note::MAX_VALUE.saturating_sub(put.to_string().len() + 1) / 8;
        Self { missing: (all.len() <= room).then_some(all), ..put }
    }

    /// Whether a snapshot may be noted as missing.
    #[must_use]
    pub fn may_miss(&self, guid: Guid) -> bool {
        self.missing.as_ref().is_none_or(|all| all.binary_search(&half(guid)).is_ok())
    }
}

impl From<Put> for String {
    fn from(put: Put) -> Self {
        put.to_string()
    }
}

impl TryFrom<String> for Put {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|()| "not a record of a received dataset")
    }
}

/// `BY.AT-UPTO@TXG,FOREIGN,FOREIGN!MISSINGMISSING`, or `BY.AT-UPTO+CAMECAME`. `!*`: there are too many.
impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.by)?;
        if let Some(at) = self.at {
            write!(f, ".{at:08x}")?;
        }
        write!(f, "-{:016x}", self.upto.0)?;
        if let Some(txg) = self.txg {
            write!(f, "@{}", txg.0)?;
        }
        self.foreign.iter().try_for_each(|guid| write!(f, ",{:016x}", guid.0))?;
        match &self.missing {
            None => f.write_str("!*")?,
            Some(all) if all.is_empty() => {}
            Some(all) => {
                f.write_str("!")?;
                all.iter().try_for_each(|half| write!(f, "{half:08x}"))?;
            }
        }
        if !self.came.is_empty() {
            f.write_str("+")?;
        }
        self.came.iter().try_for_each(|guid| write!(f, "{:016x}", guid.0))
    }
}

impl FromStr for Put {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, text) = text.split_once('-').ok_or(())?;
        let (by, at) = match from.split_once('.') {
            Some((by, at)) => (by, Some(u32::from_str_radix(at, 16).map_err(|_| ())?)),
            None => (from, None),
        };
        let by = u32::from_str_radix(by, 16).map_err(|_| ())?;
        let (text, came) = match text.split_once('+') {
            Some((_, "")) => return Err(()),
            Some((text, came)) => (text, came),
            None => (text, ""),
        };
        let came = came.as_bytes().chunks(16).map(|digits| guid(std::str::from_utf8(digits).map_err(|_| ())?));
        let came = came.collect::<Result<_, _>>()?;
        let (text, missing) = match text.split_once('!') {
            None => (text, Some(Vec::new())),
            Some((_, "")) => return Err(()),
            Some((text, "*")) => (text, None),
            Some((text, all)) => (text, Some(halves(all)?)),
        };
        let mut parts = text.split(',');
        let first = parts.next().ok_or(())?;
        let (upto, txg) = match first.split_once('@') {
            Some((upto, txg)) => (upto, Some(Txg(txg.parse().map_err(|_| ())?))),
            None => (first, None),
        };
        Ok(Self { by, at, upto: guid(upto)?, txg, came, foreign: parts.map(guid).collect::<Result<_, _>>()?, missing })
    }
}

fn guid(text: &str) -> Result<Guid, ()> {
    u64::from_str_radix(text, 16).map(Guid).map_err(|_| ())
}

fn halves(text: &str) -> Result<Vec<u32>, ()> {
    let half = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).map_err(|_| ())?, 16).map_err(|_| ());
    let mut all = text.as_bytes().chunks(8).map(half).collect::<Result<Vec<_>, ()>>()?;
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_can_be_read_again() {
        let put = Put {
            by: 0xab,
            at: Some(5),
            upto: Guid(0x1f),
            txg: Some(Txg(77)),
            came: vec![],
            foreign: vec![Guid(1), Guid(u64::MAX)],
            missing: Some(vec![]),
        };
        assert_eq!(put.to_string(), "000000ab.00000005-000000000000001f@77,0000000000000001,ffffffffffffffff");
        let first = Put { txg: None, came: vec![Guid(3), Guid(4)], foreign: vec![], at: None, ..put.clone() };
        assert_eq!(first.to_string(), "000000ab-000000000000001f+00000000000000030000000000000004");
        let misses = put.clone().with_missing([Guid(u64::MAX), Guid(2)]);
        assert_eq!(misses.to_string(), format!("{put}!00000002ffffffff"));
        let many = put.clone().with_missing((1..2000).map(Guid));
        assert_eq!(many.to_string(), format!("{put}!*"));
        for put in [put, first, misses, many] {
            assert_eq!(put.to_string().parse(), Ok(put));
        }
        for bad in [
            "",
            "-",
            "x",
            "1f",
            "1-",
            "1-1f@",
            "1-1f@x",
            "1-1f,",
            "1-1f,,2",
            "1-fffffffffffffffff",
            "1ffffffff-1",
            "x-1",
            "1.-1",
            "1.x-1",
            "1-1+",
            "1-1+x",
            "1-1+é",
            "1-1!",
            "1-1!x",
            "1-1!*1",
            "1-1!é",
        ] {
            assert!(bad.parse::<Put>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_missing_has_room_beside_what_is_foreign() {
        let put = Put {
            by: u32::MAX,
            at: Some(u32::MAX),
            upto: Guid(u64::MAX),
            txg: Some(Txg(u64::MAX)),
            came: vec![],
            foreign: vec![Guid(u64::MAX); 400],
            missing: None,
        };
        let few = put.clone().with_missing((1..=160).map(Guid));
        assert!(few.to_string().len() <= crate::Note::MAX_VALUE && few.missing.is_some());
        assert!(few.may_miss(Guid(160)) && !few.may_miss(Guid(161)));
        let many = put.with_missing((1..=200).map(Guid));
        assert!(
            many.to_string().len() <= crate::Note::MAX_VALUE && many.missing.is_none() && many.may_miss(Guid(9000))
        );
    }

    #[test]
    fn a_first_transfer_fits_into_a_property() {
        let mut brings = Versions::default();
        for number in 1..=2000 {
            brings.push(&format!("s{number}").parse().unwrap(), Guid(number), Txg(number));
        }
        let put = Put::new(u32::MAX, &RelPath::default(), &brings).unwrap();
        assert_eq!((put.upto, put.came.len(), put.came[0]), (Guid(2000), MAX_CAME, Guid(1999)));
        assert!(put.is_full() && !Put { came: vec![Guid(1)], ..put.clone() }.is_full());
        assert!(put.to_string().len() <= crate::Note::MAX_VALUE);
        assert_eq!(Put::new(1, &RelPath::default(), &Versions::default()), None);
    }
}
