//! Reads what `zfs list` and its like print with `-H -p`: fields between TABs, one object a line.

use std::collections::HashMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::{DatasetName, Guid, RelPath, ResumeToken, SnapshotName, Txg};
use crate::{Inventory, Kind};

/// The longest line that can be right; a longer one is damage, and must not fill the memory.
const MAX_LINE: u64 = 64 * 1024;
/// So many bytes of an offending line are quoted.
const QUOTED: usize = 200;

/// Features of a pool that a stream may need, as `zpool get` names them behind `feature@`.
pub(super) const STREAM_FEATURES: [&str; 5] =
    ["large_blocks", "embedded_data", "lz4_compress", "zstd_compress", "encryption"];

/// What can be wrong with a listing.
#[derive(Debug, Error)]
pub enum ParseError {
    /// The pipe from `zfs` broke.
    #[error("reading the output of zfs failed: {}", crate::text::os_words(.0))]
    Io(#[from] io::Error),
    /// A line is not what was asked for.
    #[error("zfs printed an unexpected line ({what}): {line:?}")]
    Line {
        /// What is wrong with it.
        what: &'static str,
        /// The line, cut when long.
        line: String,
    },
    /// The last line has no line feed: what is missing may be a part of a number.
    #[error("the output of zfs ends within a line: {0:?}")]
    Cut(String),
}

impl ParseError {
    pub(super) fn line(what: &'static str, line: &str) -> Self {
        Self::Line { what, line: Self::quoted(line) }
    }

    fn quoted(line: &str) -> String {
        let mut end = line.len().min(QUOTED);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < line.len() { "..." } else { "" };
        format!("{}{cut}", &line[..end])
    }
}

/// What a listed object is, told by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A filesystem or volume.
    Dataset,
    /// `@name`.
    Snapshot(SnapshotName),
    /// `#name`.
    Bookmark(SnapshotName),
}

/// One line with the columns name, guid, createtxg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The dataset, or the one that a snapshot or bookmark belongs to.
    pub dataset: DatasetName,
    /// Which of the three.
    pub mark: Mark,
    /// Its identity.
    pub guid: Guid,
    /// Its place in the order.
    pub txg: Txg,
}

impl Listed {
    /// Reads one line without its line feed; `None` for what belongs to ZFS itself (`%recv` and the like).
    fn from_line(line: &str) -> Result<Option<Self>, ParseError> {
        let wrong = |what| ParseError::line(what, line);
        let mut fields = line.split('\t');
        let (Some(name), Some(guid), Some(txg), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong("not three fields"));
        };
        if name.contains('%') {
            return Ok(None);
        }
        let (dataset, mark) = split_mark(name).ok_or_else(|| wrong("the name is not valid"))?;
        let guid = Guid(guid.parse().map_err(|_| wrong("the GUID is not a number"))?);
        let txg = Txg(txg.parse().map_err(|_| wrong("createtxg is not a number"))?);
        Ok(Some(Self { dataset, mark, guid, txg }))
    }
}

fn split_mark(name: &str) -> Option<(DatasetName, Mark)> {
    let Some(at) = name.find(['@', '#']) else { return Some((name.parse().ok()?, Mark::Dataset)) };
    let (dataset, rest) = (name[..at].parse().ok()?, name[at + 1..].parse().ok()?);
    Some((dataset, if name.as_bytes()[at] == b'@' { Mark::Snapshot(rest) } else { Mark::Bookmark(rest) }))
}

/// The lines of an output that are whole: one without its line feed at the end may lack more than that.
pub(super) fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// Calls `each` with every line, without its line feed.
pub(super) fn for_lines<E: From<ParseError>>(
    mut input: impl BufRead,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut input, MAX_LINE).read_until(b'\n', &mut line).map_err(ParseError::Io)?;
        if read == 0 {
            return Ok(());
        }
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            let text = String::from_utf8_lossy(&line);
            let long = read as u64 == MAX_LINE;
            let why = if long {
                ParseError::line("it is too long", &text)
            } else {
                ParseError::Cut(ParseError::quoted(&text))
            };
            return Err(why.into());
        }
        match std::str::from_utf8(&line) {
            Ok(line) => each(line)?,
            Err(_) => return Err(ParseError::line("it is not UTF-8", &String::from_utf8_lossy(&line)).into()),
        }
    }
}

/// Reads a listing of name, guid, createtxg ([`super::Zfs::list_names`], [`super::Zfs::list_snapshots`]) line by line.
pub fn read_listed<E: From<ParseError>>(
    input: impl BufRead,
    mut each: impl FnMut(Listed) -> Result<(), E>,
) -> Result<(), E> {
    for_lines(input, |line| Listed::from_line(line)?.map_or(Ok(()), &mut each))
}

/// Reads [`super::Zfs::list_source`] into one entry for each dataset, sorted so that parents come before their children.
///
/// The lines of a dataset may lie apart: `zfs` sorts whole names, and a blank or `#` sorts before `/`.
pub fn read_source(input: impl BufRead, source: &DatasetName) -> Result<Vec<Inventory>, ParseError> {
    read_source_within(input, source, Most { datasets: usize::MAX, marks: usize::MAX, text: usize::MAX })
}

/// What a listing may have.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// So many datasets.
    pub datasets: usize,
    /// So many snapshots and bookmarks.
    pub marks: usize,
    /// Names of this length together.
    pub text: usize,
}

impl Most {
    /// What one of another host may have: nobody has counted them, and it must not fill the memory.
    pub const ANYWHERE: Self = Self { datasets: 500_000, marks: 5_000_000, text: 320_000_000 };
}

/// The same of a listing that has at most so much.
pub fn read_source_within(input: impl BufRead, source: &DatasetName, most: Most) -> Result<Vec<Inventory>, ParseError> {
    let mut gathered = Gathered::default();
    let (mut marks, mut text) = (0_usize, 0_usize);
    read_listed(input, |listed| {
        if let Mark::Snapshot(name) | Mark::Bookmark(name) = &listed.mark {
            marks += 1;
            text += name.as_str().len();
        }
        if gathered.datasets.len() >= most.datasets || marks > most.marks || text > most.text {
            return Err(ParseError::line("the listing is too long", listed.dataset.as_str()));
        }
        gathered.add(source, listed)
    })?;
    gathered.finish()
}

/// The datasets read so far, and which of them the last line belonged to.
#[derive(Default)]
struct Gathered {
    datasets: Vec<Inventory>,
    places: HashMap<DatasetName, usize>,
    current: Option<(DatasetName, usize)>,
}

impl Gathered {
    fn add(&mut self, source: &DatasetName, listed: Listed) -> Result<(), ParseError> {
        let Listed { dataset, mark, guid, txg } = listed;
        let place = match &self.current {
            Some((current, place)) if *current == dataset => *place,
            _ => self.turn_to(source, dataset)?,
        };
        let entry = &mut self.datasets[place];
        match mark {
            Mark::Dataset => {}
            Mark::Snapshot(name) => entry.snapshots.push(&name, guid, txg),
            Mark::Bookmark(name) => entry.bookmarks.push(&name, guid, txg),
        }
        Ok(())
    }

    fn turn_to(&mut self, source: &DatasetName, dataset: DatasetName) -> Result<usize, ParseError> {
        self.leave()?;
        let place = if let Some(&place) = self.places.get(&dataset) {
            place
        } else {
            let path = dataset
                .below(source)
                .ok_or_else(|| ParseError::line("it is not below the source", dataset.as_str()))?;
            self.datasets.push(Inventory { path, ..Inventory::default() });
            self.places.insert(dataset.clone(), self.datasets.len() - 1);
            self.datasets.len() - 1
        };
        self.current = Some((dataset, place));
        Ok(place)
    }

    /// Sorts the dataset that was read last, which also gives back its spare memory.
    fn leave(&mut self) -> Result<(), ParseError> {
        let Some((dataset, place)) = self.current.take() else { return Ok(()) };
        let Inventory { snapshots, bookmarks, .. } = &mut self.datasets[place];
        let twice = [snapshots.sort(), bookmarks.sort()].contains(&true);
        if twice { Err(ParseError::line("a snapshot or bookmark is listed twice", dataset.as_str())) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Vec<Inventory>, ParseError> {
        self.leave()?;
        // Component by component: as whole strings, "a b" would come between "a" and "a/c".
        self.datasets.sort_by(|a, b| components(&a.path).cmp(components(&b.path)));
        Ok(self.datasets)
    }
}

fn components(path: &RelPath) -> impl Iterator<Item = &str> {
    path.as_str().split('/').filter(|part| !part.is_empty())
}

/// How a dataset is encrypted, as its `encryptionroot` tells (zfsprops(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Not at all.
    #[default]
    Off,
    /// With the key of a dataset above it.
    Inherited,
    /// It is an encryption root: the key is its own.
    Root,
}

impl Encryption {
    fn new(root: &str, name: &str) -> Self {
        match root {
            "-" | "" => Self::Off,
            root if root == name => Self::Root,
            _ => Self::Inherited,
        }
    }

    /// Whether what it holds is stored encrypted.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// One line of [`super::Zfs::facts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The dataset.
    pub name: DatasetName,
    /// Filesystem or volume.
    pub kind: Kind,
    /// A receive into it was cut and can be resumed.
    pub token: Option<ResumeToken>,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// How many levels above it its encryption root is; 0 for one that is its own, and where it isn't encrypted.
    pub root_up: usize,
    /// A filesystem that is mounted right now, in our view of the mounts.
    pub mounted: bool,
    /// It is but the rest of its own first receive, which was cut (`inconsistent`).
    pub unborn: bool,
    /// How many bytes were written to it since its newest snapshot.
    pub written: Option<u64>,
}

impl Facts {
    fn from_line(line: &str) -> Result<Option<Self>, ParseError> {
        let wrong = |what| ParseError::line(what, line);
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, kind, token, root, mounted, inconsistent, written] = fields[..] else {
            return Err(wrong("not seven fields"));
        };
        if name.contains('%') {
            return Ok(None);
        }
        let kind = match kind {
            "filesystem" => Kind::Filesystem,
            "volume" => Kind::Volume,
            _ => return Err(wrong("the type is neither filesystem nor volume")),
        };
        let encryption = Encryption::new(root, name);
        let depth = |name: &str| name.matches('/').count();
        let root_up = if encryption == Encryption::Inherited { depth(name).saturating_sub(depth(root)) } else { 0 };
        let name = name.parse().map_err(|_| wrong("the name is not valid"))?;
        let token = (token != "-").then(|| ResumeToken(token.to_owned()));
        let (mounted, unborn) = (mounted == "yes", inconsistent == "1");
        let written = written.parse().ok();
        Ok(Some(Self { name, kind, token, encryption, root_up, mounted, unborn, written }))
    }
}

/// Reads [`super::Zfs::facts`].
pub fn read_facts(input: impl BufRead) -> Result<Vec<Facts>, ParseError> {
    let mut all = Vec::new();
    for_lines(input, |line| {
        all.extend(Facts::from_line(line)?);
        Ok::<_, ParseError>(())
    })?;
    Ok(all)
}

/// Reads [`super::Zfs::pool_features`]: those of the features a stream can need that this pool has not got.
pub fn disabled_features(input: impl BufRead) -> Result<Vec<String>, ParseError> {
    let mut usable = Vec::new();
    for_lines(input, |line| {
        let Some((property, value)) = line.split_once('\t') else { return Err(ParseError::line("no TAB", line)) };
        if let Some(feature) = property.strip_prefix("feature@").filter(|_| matches!(value, "enabled" | "active")) {
            usable.push(feature.to_owned());
        }
        Ok(())
    })?;
    let missing = STREAM_FEATURES.iter().filter(|feature| !usable.iter().any(|usable| usable == *feature));
    Ok(missing.map(|feature| (*feature).to_owned()).collect())
}

/// Reads [`super::Zfs::userspace`]: the user ids that own something, each with the number of its objects. `None` where
/// the pool doesn't count objects.
pub fn user_objects(input: impl BufRead) -> Result<Option<Vec<(u64, u64)>>, ParseError> {
    let mut all = Some(Vec::new());
    for_lines(input, |line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, user, objects] = fields[..] else { return Err(ParseError::line("not three fields", line)) };
        match (user.parse(), objects.parse(), &mut all) {
            (Ok(user), Ok(objects), Some(all)) => all.push((user, objects)),
            _ => all = None,
        }
        Ok(())
    })?;
    Ok(all)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
