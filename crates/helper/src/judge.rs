//! Judges the records of an incoming stream before `zfs recv` sees them: only plain streams of one snapshot each reach it,
//! and only of the kind that the request spoke of. Pure: is given bytes, says what to do with them.
//!
//! `zfs recv` does what a stream says: one with a list in its package header renames, destroys, sets properties, and looks
//! for its datasets anywhere in the pool by guid. Even in a package without a list, each stream in it names the dataset
//! that it is for, and a receive that fails with EEXIST or ENOENT in its middle reads on at a place that only the sender
//! knows (`recv_skip` in `lib/libzfs/libzfs_sendrecv.c`). So a package is taken apart here, and each stream in it gets a
//! `zfs recv DATASET@SNAPSHOT` of its own, which ends with that stream whatever it holds. Only for a sender that is
//! trusted anyway a judged package goes to one `zfs recv` as it is: that is several times as fast.

use zfs::name::{Guid, SnapshotName};
use zfs::record::{Begin, ByteOrder, Features, HeaderType, Record, SIZE};
use zfs::{Brings, Kind, Receive};

/// The longest content of a BEGIN record that is taken: keys, the place to go on at, names of redaction snapshots.
const MAX_BEGIN: u32 = 1 << 20;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// So many bytes at most, to be read by [`Judge::read`].
    Bytes(usize),
    /// So many bytes at most go to the receive unread; to be told by [`Judge::passed`].
    Pass(u64),
    /// All that comes goes to the receive unread.
    Rest,
    /// Nothing may come any more.
    Nothing,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// A stream that may be received begins: its receive is started if it isn't yet, and gets these bytes.
    Begin {
        /// What the snapshot is called, where the request didn't say that.
        snapshot: Option<SnapshotName>,
        /// Its BEGIN record and that one's content.
        bytes: Vec<u8>,
    },
    /// These bytes go to the receive.
    Forward(Vec<u8>),
    /// These go to the receive, and are the last that it gets: another one follows, or what is there is replaced now.
    End(Vec<u8>),
}

/// What becomes of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packages {
    /// Each of its streams is received alone.
    Apart,
    /// One receive gets all of it.
    Whole,
}

/// Where in the stream it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Before the first record.
    Start,
    /// Within the content of a BEGIN record, of so many bytes.
    BeginContent(usize),
    /// Behind the BEGIN record of a plain stream.
    Plain,
    /// Before the END record of a package's header.
    PackageEnd,
    /// In a package, before the next stream or the END record of it all.
    Between,
    /// In a stream of a package, before its next record.
    Records,
    /// In a stream of a package, with so many bytes of a record's content to come.
    Content(u64),
    /// Behind the end of a package.
    Over,
}

/// A stream under judgement.
#[derive(Debug)]
pub(super) struct Judge {
    brings: Brings,
    packages: Packages,
    kind: Kind,
    /// Whether the receive makes a dataset or replaces one, and so needs a full stream.
    full: bool,
    /// Whether it replaces one (`recv -F`).
    replaces: bool,
    place: Place,
    /// What is read of the current record.
    bytes: Vec<u8>,
    /// The package's dataset, in the sender's words.
    dataset: Vec<u8>,
    /// Its header, until that is complete.
    header: Vec<u8>,
    order: ByteOrder,
    /// What the next stream must start from, as far as that is known.
    base: Option<Guid>,
    /// The snapshot that must come, or the last of several.
    to: Option<Guid>,
    /// The name that the current BEGIN record gives its snapshot.
    snapshot: Option<SnapshotName>,
    /// What its streams need so far.
    features: Features,
}

impl Judge {
    pub(super) fn new(receive: &Receive, packages: Packages) -> Self {
        let replaces = receive.into_empty || receive.overwrite;
        Self {
            brings: receive.brings.clone(),
            packages,
            kind: receive.kind,
            full: receive.create || replaces,
            replaces,
            place: Place::Start,
            bytes: Vec::new(),
            dataset: Vec::new(),
            header: Vec::new(),
            order: ByteOrder::Little,
            base: receive.from_guid,
            to: receive.to_guid,
            snapshot: None,
            features: Features::default(),
        }
    }

    /// What its streams need so far.
    pub(super) fn features(&self) -> Features {
        self.features
    }

    /// What comes next.
    pub(super) fn wants(&self) -> Wants {
        match self.place {
            Place::Plain => Wants::Rest,
            Place::Content(left) => Wants::Pass(left),
            Place::Over => Wants::Nothing,
            Place::BeginContent(len) => Wants::Bytes(SIZE + len - self.bytes.len()),
            Place::Start | Place::PackageEnd | Place::Between | Place::Records => Wants::Bytes(SIZE - self.bytes.len()),
        }
    }

    /// Whether each of several streams gets a receive of its own.
    pub(super) fn is_apart(&self) -> bool {
        self.brings == Brings::Snapshots && !self.whole()
    }

    /// Whether the stream may end here, as far as is known.
    pub(super) fn may_end(&self) -> bool {
        matches!(self.place, Place::Plain | Place::Over)
    }

    /// So many bytes went to the receive unread.
    pub(super) fn passed(&mut self, bytes: u64) {
        if let Place::Content(left) = &mut self.place {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.place = Place::Records;
            }
        }
    }

    /// Takes the bytes that were wanted, or some of them; an error says why the stream is refused.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<Act>, String> {
        self.bytes.extend_from_slice(bytes);
        if let Wants::Bytes(1..) = self.wants() {
            return Ok(None);
        }
        let bytes = std::mem::take(&mut self.bytes);
        if let Place::BeginContent(_) = self.place {
            return Ok(Some(self.begun(bytes)));
        }
        let record: &[u8; SIZE] = bytes.as_slice().try_into().map_err(|_| "a record is incomplete".to_owned())?;
        match self.place {
            Place::Start => self.start(record),
            Place::PackageEnd => match Record::read(record, self.order) {
                Ok(Record::End) => {
                    self.place = Place::Between;
                    let bytes = [std::mem::take(&mut self.header).as_slice(), record].concat();
                    Ok(self.whole().then_some(Act::Begin { snapshot: None, bytes }))
                }
                _ => Err("its package header doesn't end".into()),
            },
            Place::Between => self.between(record),
            _ => self.record(record),
        }
    }

    fn start(&mut self, record: &[u8; SIZE]) -> Result<Option<Act>, String> {
        let begin = Begin::read(record).map_err(|error| error.to_string())?;
        match (&self.brings, begin.header) {
            (Brings::Snapshots, HeaderType::Package) => {
                if begin.content > 0 {
                    return Err("it is a replication package, with a list of properties, renames and snapshots".into());
                }
                check_features(begin.features)?;
                self.dataset = split(&begin.name)?.0.to_vec();
                self.header = record.to_vec();
                self.order = begin.order;
                self.place = Place::PackageEnd;
                Ok(None)
            }
            (Brings::Snapshot(_), HeaderType::Package) => {
                Err("it is a package of several streams, but one snapshot was announced".into())
            }
            (Brings::Snapshots, HeaderType::Substream) => {
                Err("it is a stream of one snapshot, but several were announced".into())
            }
            (Brings::Snapshot(_), HeaderType::Substream) => {
                self.check(&begin)?;
                if self.base.is_some_and(|base| begin.from != Some(base)) {
                    return Err("it starts from a different snapshot than announced".into());
                }
                if self.to.is_some_and(|to| begin.to != to) {
                    return Err("it has a different snapshot than announced".into());
                }
                // It goes into partially received state, and from there into a terminal over here.
                split(&begin.name)?;
                self.order = begin.order;
                Ok(self.begin(&begin, record))
            }
        }
    }

    fn between(&mut self, record: &[u8; SIZE]) -> Result<Option<Act>, String> {
        match Record::read(record, self.order).map_err(|error| error.to_string())? {
            Record::End => {
                if self.to.is_some() && self.base != self.to {
                    return Err("its last snapshot is a different one than announced".into());
                }
                self.place = Place::Over;
                Ok(self.whole().then(|| Act::Forward(record.to_vec())))
            }
            Record::Content(_) => Err("there are records between its streams".into()),
            Record::Begin(begin) => {
                if begin.header == HeaderType::Package {
                    return Err("it is a package within a package".into());
                }
                self.check(&begin)?;
                if begin.features.any(Features::RESUMING) {
                    return Err("it resumes in the middle of a package".into());
                }
                let (dataset, snapshot) = split(&begin.name)?;
                if dataset != self.dataset {
                    return Err("it is a package with streams of several datasets".into());
                }
                if self.base.is_some_and(|base| begin.from != Some(base)) {
                    return Err("its streams don't follow each other".into());
                }
                self.snapshot = Some(snapshot);
                self.base = Some(begin.to);
                self.order = begin.order;
                Ok(self.begin(&begin, record))
            }
        }
    }

    /// What holds for the BEGIN record of each stream, alone or in a package.
    fn check(&self, begin: &Begin) -> Result<(), String> {
        check_features(begin.features)?;
        match begin.kind {
            None => return Err("it is neither of a filesystem nor of a volume".into()),
            // What exists is what it is, and the sender needn't know that.
            Some(kind) if self.full && kind != self.kind => {
                return Err(format!("it is of a {kind}, but a {} was announced", self.kind));
            }
            Some(_) => {}
        }
        if begin.clone {
            return Err("it creates a clone".into());
        }
        let resumes = begin.features.any(Features::RESUMING);
        match (self.full, begin.from) {
            (true, Some(_)) => return Err("it is an incremental stream, but a full stream was announced".into()),
            (false, None) if !resumes => {
                return Err("it is a full stream, but an incremental stream was announced".into());
            }
            (true, None) if resumes && !self.replaces => {
                return Err("it resumes a stream, but a new one was announced".into());
            }
            _ => {}
        }
        if begin.content > MAX_BEGIN {
            return Err(format!("its description has {} bytes", begin.content));
        }
        Ok(())
    }

    fn begin(&mut self, begin: &Begin, record: &[u8; SIZE]) -> Option<Act> {
        self.features = self.features.with(begin.features);
        let bytes = record.to_vec();
        if begin.content == 0 {
            return Some(self.begun(bytes));
        }
        self.bytes = bytes;
        self.place = Place::BeginContent(begin.content as usize);
        None
    }

    fn begun(&mut self, bytes: Vec<u8>) -> Act {
        // Of one that replaces something, the end must be known too; and where anybody may send, no record reaches the kernel
        // that it could stumble over.
        let plain = self.brings != Brings::Snapshots && !self.replaces && self.whole();
        self.place = if plain { Place::Plain } else { Place::Records };
        let snapshot = self.snapshot.take();
        if self.brings == Brings::Snapshots && self.whole() {
            return Act::Forward(bytes);
        }
        Act::Begin { snapshot, bytes }
    }

    fn whole(&self) -> bool {
        self.packages == Packages::Whole
    }

    fn record(&mut self, record: &[u8; SIZE]) -> Result<Option<Act>, String> {
        match Record::read(record, self.order).map_err(|error| error.to_string())? {
            Record::Begin(_) => Err("a stream begins within another".into()),
            Record::End => {
                let several = self.brings == Brings::Snapshots;
                self.place = if several { Place::Between } else { Place::Over };
                let bytes = record.to_vec();
                Ok(Some(if several && self.whole() { Act::Forward(bytes) } else { Act::End(bytes) }))
            }
            Record::Content(len) => {
                if len > 0 {
                    self.place = Place::Content(len);
                }
                Ok(Some(Act::Forward(record.to_vec())))
            }
        }
    }
}

fn check_features(features: Features) -> Result<(), String> {
    if features.any(Features::DEDUP) {
        return Err("it is deduplicated".into());
    }
    if features.any(Features::HOLDS) {
        return Err("it contains holds".into());
    }
    Ok(())
}

/// Dataset and snapshot of a name in a stream; the snapshot's part must be a legal one, as it becomes one here.
fn split(name: &[u8]) -> Result<(&[u8], SnapshotName), String> {
    let at = name.iter().position(|byte| *byte == b'@').ok_or("it names no snapshot")?;
    let snapshot = std::str::from_utf8(&name[at + 1..]).ok().and_then(|snapshot| snapshot.parse().ok());
    Ok((&name[..at], snapshot.ok_or("the name of its snapshot is not valid")?))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
