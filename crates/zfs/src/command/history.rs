//! The pool's internal history (`zpool history -i`): what was made, destroyed, renamed and swapped in which transaction group. Only
//! root may read it, and the oldest records are overwritten when its space is used up (zpool-history(8)).

use std::collections::HashMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::parse::{for_lines, whole_lines};
use super::{Call, Note, ParseError, Zfs};
use crate::name::{DatasetName, SnapshotName, Txg};

/// One record, of those that tell whether a dataset went back behind a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it happened.
    pub txg: Txg,
    /// What happened.
    pub what: Happened,
}

/// What happened, by the names of that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// A snapshot came into being, taken or received.
    Snapshot {
        /// Its dataset.
        dataset: String,
        /// Its object in the pool: no other had this number while it existed.
        object: u64,
    },
    /// A snapshot was destroyed.
    Destroyed {
        /// Its object in the pool.
        object: u64,
    },
    /// A dataset got the content of a clone of one of its snapshots: at the end of each receive into an existing dataset, and when it
    /// is rolled back (`dsl_dataset_clone_swap_sync_impl` in `module/zfs/dsl_dataset.c`).
    Swapped {
        /// The dataset.
        dataset: String,
    },
    /// A dataset and all that lies below it got another name.
    Renamed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
}

impl Happened {
    /// How long its names are together.
    #[must_use]
    pub fn text(&self) -> usize {
        match self {
            Self::Snapshot { dataset, .. } | Self::Swapped { dataset } => dataset.len(),
            Self::Destroyed { .. } => 0,
            Self::Renamed { from, to } => from.len() + to.len(),
        }
    }
}

impl Zfs {
    /// The internal history of a pool. Read it with [`read_history`].
    #[must_use]
    pub fn history(&self, pool: &str) -> Call {
        let mut command = self.zpool();
        command.args(["history", "-i", pool]);
        command.passing()
    }

    /// What the snapshots of these datasets say by a user property that was set on themselves. Read it with [`read_values`].
    #[must_use]
    pub fn notes_of_snapshots(&self, property: &str, datasets: &[DatasetName]) -> Call {
        let mut command =
            self.command(["get", "-Hp", "-d", "1", "-t", "snapshot", "-s", "local", "-o", "name,value", property]);
        command.args(datasets.iter().map(DatasetName::as_str));
        command
    }

    /// Sets a user property of a snapshot.
    #[must_use]
    pub fn note_snapshot(&self, property: &str, value: &str, dataset: &DatasetName, snapshot: &SnapshotName) -> Call {
        self.command(["set".to_owned(), format!("{property}={value}"), dataset.at(snapshot.as_str())])
    }

    /// All properties of these datasets and where they come from; values, which may have TABs and line feeds, are the last column. Read
    /// it with [`read_sources`].
    #[must_use]
    pub fn property_sources(&self, datasets: &[DatasetName]) -> Call {
        let mut command =
            self.command(["get", "-Hp", "-t", "filesystem,volume", "-o", "name,property,source,value", "all"]);
        command.args(datasets.iter().map(DatasetName::as_str));
        command
    }
}

/// Reads [`Zfs::history`] from a transaction group on; `each` gets one record after the other. They come in the order in which things
/// happened; where they don't, a line was forged (values of user properties are printed as they are), and that is an error.
pub fn read_history(
    input: impl BufRead,
    since: Txg,
    mut each: impl FnMut(Record) -> io::Result<()>,
) -> Result<(), ParseError> {
    let mut last = Txg(0);
    for_lines(input, |line| {
        let Some((txg, rest)) = txg_of(line) else { return Ok(()) };
        if txg < last {
            return Err(ParseError::line("the records are out of order", line));
        }
        last = txg;
        match happened(rest).filter(|_| txg >= since) {
            Some(what) => Ok(each(Record { txg, what })?),
            None => Ok(()),
        }
    })
}

/// Reads [`Zfs::notes_of_snapshots`]: values by full names. A line that makes no sense says nothing.
#[must_use]
pub fn read_values(output: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(output);
    whole_lines(&text)
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What tells whether something is received into a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traces {
    /// It has properties that came with a stream.
    pub received: bool,
    /// zfsync has noted that it put it there.
    pub noted: bool,
    /// A receive into it was cut.
    pub partial: bool,
    /// When it was made, in seconds since 1970.
    pub creation: Option<i64>,
}

/// Reads [`Zfs::property_sources`], by dataset. A line that makes no sense says nothing.
#[must_use]
pub fn read_sources(output: &[u8]) -> HashMap<String, Traces> {
    let mut all: HashMap<String, Traces> = HashMap::new();
    for line in whole_lines(&String::from_utf8_lossy(output)) {
        let fields: Vec<&str> = line.splitn(4, '\t').collect();
        let [name, property, source, value] = fields[..] else { continue };
        let traces = all.entry(name.to_owned()).or_default();
        match property {
            "creation" => traces.creation = value.parse().ok(),
            "receive_resume_token" => traces.partial |= value != "-",
            _ if property == Note::Received.property() && source == "local" => traces.noted = true,
            _ => traces.received |= source == "received",
        }
    }
    all
}

/// The transaction group of a record, and what follows it: `2026-11-28.14:57:50 [txg:26] destroy p/a@s (140)`.
fn txg_of(line: &str) -> Option<(Txg, &str)> {
    let (date, rest) = line.split_once(" [txg:")?;
    let is_date = date.bytes().all(|byte| byte.is_ascii_digit() || b"-.:".contains(&byte));
    let (txg, rest) = rest.split_once("] ")?;
    Some((Txg(txg.parse().ok()?), rest)).filter(|_| is_date)
}

fn happened(record: &str) -> Option<Happened> {
    if let Some(rest) = record.strip_prefix("snapshot ") {
        let (name, object, _) = subject(rest)?;
        let (dataset, _) = name.split_once('@')?;
        return Some(Happened::Snapshot { dataset: dataset.to_owned(), object });
    }
    if let Some(rest) = record.strip_prefix("destroy ") {
        let (name, object, _) = subject(rest)?;
        return name.contains('@').then_some(Happened::Destroyed { object });
    }
    if let Some(rest) = record.strip_prefix("clone swap ") {
        // The clone is called as its dataset, and `%recv` or `%rollback` below it.
        let (name, ..) = subject(rest)?;
        let (dataset, _) = name.rsplit_once('/')?;
        return Some(Happened::Swapped { dataset: dataset.to_owned() });
    }
    let (from, _, to) = subject(record.strip_prefix("rename ")?)?;
    let to = to.strip_prefix("-> ")?;
    // A snapshot keeps its number.
    (!from.contains('@')).then(|| Happened::Renamed { from: from.to_owned(), to: to.to_owned() })
}

/// Name, object and the rest of `p/a@s (140) rest`. No name has a parenthesis in it.
fn subject(text: &str) -> Option<(&str, u64, &str)> {
    let (name, rest) = text.split_once(" (")?;
    let (object, rest) = rest.split_once(')')?;
    Some((name, object.parse().ok()?, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, since: u64) -> Result<Vec<Record>, ParseError> {
        let mut all = Vec::new();
        read_history(text.as_bytes(), Txg(since), |record| {
            all.push(record);
            Ok(())
        })?;
        Ok(all)
    }

    /// From OpenZFS 2.3.
    const REAL: &str = "\
History for 'apool':
2026-11-28.14:57:50 zpool create apool
2026-11-28.14:57:50 [txg:16] receive apool/B/%recv (115)  
2026-11-28.14:57:50 [txg:17] finish receiving apool/B/%recv (115) snap=2
2026-11-28.14:57:50 [txg:17] clone swap apool/B/%recv (115) parent=B
2026-11-28.14:57:50 [txg:17] snapshot apool/B@2 x (124)  
2026-11-28.14:57:50 [txg:17] destroy apool/B/%recv (115) (bptree, mintxg=13)
2026-11-28.14:57:50 zfs recv -uF apool/B
2026-11-28.14:57:50 [txg:20] bookmark apool/B (99) name=m 3 creation_txg=19 target_snap=140 redact_obj=0
2026-11-28.14:57:50 (1ms) ioctl bookmark
    input:
        apool/B#m 3: 'apool/B@3'

2026-11-28.14:57:50 [txg:23] clone swap apool/A c/%rollback (151) parent=A c
2026-11-28.14:57:50 [txg:27] rename apool/B (99) -> apool/N/B 2
2026-11-28.14:57:50 [txg:34] rename apool/N/B 2@r (201) -> @rr
2026-11-28.14:57:50 [txg:36] defer_destroy apool/N/B 2@rr (201)  
2026-11-28.14:57:50 [txg:37] destroy apool/N/B 2@rr (201)  
2026-11-28.14:57:51 [txg:38] destroy begin apool/N (181)  
";

    #[test]
    fn reads_what_zpool_prints() {
        let read = read_all(REAL, 0).unwrap();
        let read: Vec<(u64, Happened)> = read.into_iter().map(|record| (record.txg.0, record.what)).collect();
        let swapped = |dataset: &str| Happened::Swapped { dataset: dataset.into() };
        assert_eq!(
            read,
            [
                (17, swapped("apool/B")),
                (17, Happened::Snapshot { dataset: "apool/B".into(), object: 124 }),
                (23, swapped("apool/A c")),
                (27, Happened::Renamed { from: "apool/B".into(), to: "apool/N/B 2".into() }),
                (37, Happened::Destroyed { object: 201 }),
            ]
        );
        assert_eq!(read_all(REAL, 24).unwrap().len(), 2);
    }

    #[test]
    fn traces_of_receives_are_seen() {
        let text = "p/a\ttype\t-\tfilesystem\np/a\tcreation\t-\t17\np/a\tatime\treceived\toff\np/b\tatime\tinherited from p\toff\n\
                    p/b\tzfsync:received\tinherited from p\tx\np/c\tzfsync:received\tlocal\tx\np/d\treceive_resume_token\t-\t1-x\n\
                    p/b\treceive_resume_token\t-\t-\nodd\np/e\tuser:a\treceived\tb\tc\np/f\tuser:a\treceived\tb\nc\n";
        let all = read_sources(text.as_bytes());
        let none = Traces::default();
        assert_eq!(all["p/a"], Traces { received: true, creation: Some(17), ..none.clone() });
        assert_eq!(all["p/b"], none);
        assert_eq!(all["p/c"], Traces { noted: true, ..none.clone() });
        assert_eq!(all["p/d"], Traces { partial: true, ..none.clone() });
        // Values with a TAB and with a line feed.
        assert_eq!(["p/e", "p/f"].map(|name| &all[name]), [&Traces { received: true, ..none }; 2]);
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn what_is_out_of_order_is_forged() {
        let forged = format!("{REAL}2026-11-28.14:57:52 [txg:19] snapshot apool/B@3 (140)  \n");
        assert!(read_all(&forged, 30).unwrap_err().to_string().contains("out of order"));
        // Not a record.
        let harmless =
            format!("{REAL}        user:note: '[txg:19] snapshot apool/B@3 (140)'\n x [txg:1] snapshot b@c (1)\n");
        assert!(read_all(&harmless, 0).is_ok());
    }

    #[test]
    fn whoever_wants_no_more_gets_no_more() {
        let mut seen = 0;
        let stopped = read_history(REAL.as_bytes(), Txg(0), |_| {
            seen += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        });
        assert!(stopped.is_err());
        assert_eq!(seen, 1);
    }
}
