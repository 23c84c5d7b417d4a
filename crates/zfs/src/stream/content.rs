//! What a snapshot holds, as checksums: read from a full `zfs send` of it, so that nothing has to be mounted, no device node
//! made and nothing cleared away afterwards, and that whoever may send may read. Filesystems and volumes alike, files with all
//! that belongs to them; and encrypted ones without their keys, as they are stored, where both sides store the same.
//!
//! The checksums go by what is stored and not by how: block sizes, compression and holes don't count (except in raw streams,
//! whose receiver has to store them just so). Where a record has its numbers: see [`super::record`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::record::{Begin, Fields, Record, RecordError, SIZE};
use crate::name::{DatasetName, Guid, SnapshotName};
use crate::{Call, Zfs};

/// Objects a part, unless single ones are wanted. A multiple of 32: so many dnodes are in a block, and come together.
pub const PART: u64 = 1024;
/// Contents are taken in pieces of so many bytes; zeros at the end of one don't count, as a hole has none.
const PIECE: usize = 4096;
/// So many bytes of a SHA-256 are kept: 128 bits.
const KEPT: usize = 16;

/// Which snapshot is read, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its snapshot.
    pub snapshot: SnapshotName,
    /// The snapshot's identity.
    pub guid: Guid,
    /// As it is stored, encrypted.
    pub raw: bool,
    /// Only these objects, from the first up to before the second, each on its own; else all, in parts of [`PART`].
    #[serde(default)]
    pub only: Option<(u64, u64)>,
}

impl Reading {
    /// The part that an object belongs to, by its first object; `None` for one that isn't wanted.
    fn part_of(&self, object: u64) -> Option<u64> {
        match self.only {
            None => Some(object - object % PART),
            Some((first, end)) => (first..end).contains(&object).then_some(object),
        }
    }
}

impl Zfs {
    /// The whole of a snapshot, to be read with [`read_content`]. Without `-c` and `-e`: what is compared is what is stored,
    /// and not how two pools have packed it.
    #[must_use]
    pub fn send_content(&self, reading: &Reading) -> Call {
        let mut command = self.command(["send"]);
        command.arg(if reading.raw { "-w" } else { "-L" });
        command.arg(reading.dataset.at(reading.snapshot.as_str()));
        command
    }
}

/// The checksum of some objects: the first of them, and 32 hexadecimal digits.
pub type Part = (u64, String);

/// Why a stream can't be read.
#[derive(Debug, Error)]
pub enum ContentError {
    /// It broke off, or whoever takes the parts is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its records make no sense.
    #[error("the output of zfs send can't be read: {0}")]
    Record(#[from] RecordError),
    /// It is a stream of another snapshot: a name can change hands.
    #[error("the snapshot of this name now has the GUID {0}")]
    Other(Guid),
}

/// Reads a stream of [`Zfs::send_content`]. `tell` gets the bytes that have been read so far and the parts that are through,
/// again and again; an error of its own ends it.
pub fn read_content(
    input: &mut impl Read,
    reading: &Reading,
    tell: &mut dyn FnMut(u64, Option<Part>) -> io::Result<()>,
) -> Result<(), ContentError> {
    let mut record = [0; SIZE];
    let mut content = Vec::new();
    input.read_exact(&mut record)?;
    let begin = Begin::read(&record)?;
    if begin.to != reading.guid {
        return Err(ContentError::Other(begin.to));
    }
    let mut bytes = SIZE as u64 + u64::from(begin.content);
    skip(input, begin.content.into())?;
    let mut sums = Sums::default();
    loop {
        input.read_exact(&mut record)?;
        let Record::Content(len) = Record::read(&record, begin.order)? else { break };
        content.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        input.read_exact(&mut content)?;
        bytes += SIZE as u64 + len;
        let fields = Fields { bytes: &record, order: begin.order };
        let Some(part) = fields.object().and_then(|object| reading.part_of(object)) else {
            tell(bytes, None)?;
            continue;
        };
        // Objects come in ascending order, those of one block of dnodes at a time.
        if let Some(through) = sums.before(part) {
            tell(bytes, Some(through))?;
        }
        sums.add(&fields, &content, reading.raw);
        tell(bytes, None)?;
    }
    if let Some(through) = sums.before(u64::MAX) {
        tell(bytes, Some(through))?;
    }
    Ok(())
}

fn skip(input: &mut impl Read, len: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.take(len), &mut io::sink())?;
    if skipped == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl Fields<'_> {
    /// The object that has what this record brings: an OBJECT, WRITE, SPILL or WRITE_EMBEDDED. The others bring nothing.
    fn object(&self) -> Option<u64> {
        matches!(self.u32(0), 1 | 3 | 7 | 8).then(|| self.u64(8))
    }
}

/// The checksums of the objects of a part that isn't through yet.
#[derive(Default)]
struct Sums {
    part: u64,
    objects: BTreeMap<u64, Sha256>,
}

impl Sums {
    /// Begins with `part`; the one before it, if that is through now.
    fn before(&mut self, part: u64) -> Option<Part> {
        let before = std::mem::replace(&mut self.part, part);
        if before == part || self.objects.is_empty() {
            return None;
        }
        let mut whole = Sha256::new();
        for (object, sum) in std::mem::take(&mut self.objects) {
            whole.update(object.to_le_bytes());
            whole.update(sum.finalize());
        }
        Some((before, hex(&whole.finalize()[..KEPT])))
    }

    fn add(&mut self, fields: &Fields<'_>, content: &[u8], raw: bool) {
        let Some(object) = fields.object() else { return };
        let sum = self.objects.entry(object).or_default();
        let kind = fields.u32(0);
        // Not for plain contents: they may come in any number of records.
        if kind != 3 || raw {
            sum.update(kind.to_le_bytes());
        }
        match kind {
            // What it is, and its bonus: owner, mode, times, size.
            1 => {
                for at in [16, 20, 28] {
                    sum.update(fields.u32(at).to_le_bytes());
                }
                sum.update(content);
            }
            3 if raw => {
                for at in [24, 32, 96] {
                    sum.update(fields.u64(at).to_le_bytes());
                }
                // How it is compressed; salt, IV and MAC.
                sum.update(&fields.bytes[50..51]);
                sum.update(&fields.bytes[104..140]);
                sum.update(content);
            }
            3 => pieces(sum, fields.u64(24), content),
            7 if raw => {
                for at in [16, 40] {
                    sum.update(fields.u64(at).to_le_bytes());
                }
                sum.update(&fields.bytes[33..34]);
                sum.update(&fields.bytes[48..84]);
                sum.update(content);
            }
            7 => sum.update(content),
            _ => {
                for at in [16, 24] {
                    sum.update(fields.u64(at).to_le_bytes());
                }
                for at in [48, 52] {
                    sum.update(fields.u32(at).to_le_bytes());
                }
                sum.update(content);
            }
        }
    }
}

/// Takes content at this offset, whatever blocks it comes in.
fn pieces(sum: &mut Sha256, offset: u64, content: &[u8]) {
    for (place, piece) in (0_u64..).zip(content.chunks(PIECE)) {
        let Some(last) = piece.iter().rposition(|byte| *byte != 0) else { continue };
        sum.update((offset + place * PIECE as u64).to_le_bytes());
        sum.update((last as u64 + 1).to_le_bytes());
        sum.update(&piece[..=last]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Features, HeaderType};

    fn begin(guid: u64) -> Vec<u8> {
        let begin = Begin {
            order: super::super::record::ByteOrder::Little,
            header: HeaderType::Substream,
            features: Features::default(),
            kind: Some(crate::Kind::Filesystem),
            clone: false,
            to: Guid(guid),
            from: None,
            name: b"p/a@s".to_vec(),
            content: 8,
        };
        [&begin.to_bytes()[..], &[7; 8]].concat()
    }

    fn record(kind: u8, numbers: &[(usize, u64)], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        bytes[0] = kind;
        for (at, value) in numbers {
            bytes[*at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        [bytes, content.to_vec()].concat()
    }

    fn object(number: u64, owner: u8) -> Vec<u8> {
        let mut bytes = record(1, &[(8, number)], &[owner; 8]);
        (bytes[25], bytes[28]) = (2, 8);
        bytes
    }

    fn write(object: u64, offset: u64, content: &[u8]) -> Vec<u8> {
        record(3, &[(8, object), (24, offset), (32, content.len() as u64)], content)
    }

    fn reading(raw: bool, only: Option<(u64, u64)>) -> Reading {
        Reading { dataset: "p/a".parse().unwrap(), snapshot: "s".parse().unwrap(), guid: Guid(5), raw, only }
    }

    fn parts(records: &[Vec<u8>], reading: &Reading) -> Result<Vec<Part>, ContentError> {
        let stream = [begin(5), records.concat(), record(5, &[], &[])].concat();
        let mut parts = Vec::new();
        read_content(&mut stream.as_slice(), reading, &mut |_, part| {
            parts.extend(part);
            Ok(())
        })?;
        Ok(parts)
    }

    #[test]
    fn how_content_is_stored_does_not_count() {
        let all = reading(false, None);
        let data = [vec![1; 5000], vec![0; 20_000], vec![2; 7768]].concat();
        let whole = parts(&[object(7, 1), write(7, 0, &data)], &all).unwrap();
        let cut =
            [object(7, 1), write(7, 0, &data[..8192]), write(7, 24_576, &data[24_576..]), record(4, &[(8, 7)], &[])];
        assert_eq!(parts(&cut, &all).unwrap(), whole);
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].0, whole[0].1.len()), (0, 2 * KEPT));
    }

    #[test]
    fn whatever_differs_changes_its_part_alone() {
        let all = reading(false, None);
        let data = vec![3; 4096];
        let same = [object(7, 1), write(7, 0, &data), object(2000, 1), write(2000, 0, &data)];
        let first = parts(&same, &all).unwrap();
        assert_eq!(first.iter().map(|part| part.0).collect::<Vec<_>>(), [0, 1024]);
        let mut bit = data.clone();
        bit[4095] ^= 1;
        for (other, what) in [
            (write(2000, 0, &bit), "a bit"),
            (write(2000, 4096, &data), "an offset"),
            (write(2001, 0, &data), "an object"),
            (object(2000, 2), "an owner"),
        ] {
            let mut changed = same.to_vec();
            changed[3] = other;
            let second = parts(&changed, &all).unwrap();
            assert_eq!(first[0], second[0], "{what}");
            assert_ne!(first[1], second[1], "{what}");
        }
    }

    #[test]
    fn single_objects_are_told_where_they_are_wanted() {
        let records = [object(7, 1), object(8, 1), object(9, 1), object(2000, 1)];
        let told = parts(&records, &reading(false, Some((8, 1024)))).unwrap();
        assert_eq!(told.iter().map(|part| part.0).collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn a_raw_stream_counts_as_it_is() {
        let raw = reading(true, None);
        let plain = parts(&[write(7, 0, &[1; 512])], &raw).unwrap();
        let mut other_mac = write(7, 0, &[1; 512]);
        other_mac[130] = 1;
        assert_ne!(parts(&[other_mac], &raw).unwrap(), plain);
    }

    #[test]
    fn another_snapshot_and_a_cut_stream_are_errors() {
        let other = Reading { guid: Guid(6), ..reading(false, None) };
        assert!(matches!(parts(&[], &other), Err(ContentError::Other(Guid(5)))));
        let stream = [begin(5), object(7, 1)].concat();
        for len in [0, 100, SIZE + 4, stream.len() - 3, stream.len()] {
            let cut = read_content(&mut &stream[..len], &reading(false, None), &mut |_, _| Ok(()));
            assert!(matches!(cut, Err(ContentError::Io(_))), "{len}");
        }
    }

    #[test]
    fn the_command() {
        let zfs = Zfs::at("zfs");
        let words = |raw| {
            let command = zfs.send_content(&reading(raw, None));
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(words(false), ["send", "-L", "p/a@s"]);
        assert_eq!(words(true), ["send", "-w", "p/a@s"]);
    }
}
