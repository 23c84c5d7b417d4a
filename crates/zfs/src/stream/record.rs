//! The records of a `zfs send` stream, as far as they must be understood to know what the stream would do: where it begins
//! and ends, what it is made for, and how many bytes follow each record.
//!
//! Source: `dmu_replay_record_t` in OpenZFS `include/sys/zfs_ioctl.h` (unchanged from 2.0 to 2.4), `receive_read_record` in
//! `module/zfs/dmu_recv.c`. A record has [`SIZE`] bytes; its numbers are in the sender's byte order, which its magic tells.

use thiserror::Error;

use crate::Kind;
use crate::name::Guid;

/// Bytes of a record without what follows it.
pub const SIZE: usize = 312;
/// The longest content that a record can have: `SPA_MAXBLOCKSIZE`.
const MAX_CONTENT: u64 = 16 << 20;
/// `SPA_MINBLOCKSIZE`.
const MIN_BLOCK: u64 = 512;
/// `DN_MAX_OBJECT`.
const MAX_OBJECT: u64 = 1 << 48;
/// What the largest dnode has room for behind its header (`DNODE_MAX_SIZE`), its block pointers included.
const MAX_BONUS: u32 = 16384 - 64;
/// `DNODE_MAX_SIZE` in slots of 512 bytes.
const MAX_SLOTS: u8 = 32;
/// `ZIO_COMPRESS_ZSTD`, the last one up to OpenZFS 2.4.
const MAX_COMPRESSION: u8 = 16;
/// `BPE_PAYLOAD_SIZE`.
const MAX_EMBEDDED: u32 = 112;
/// `BP_EMBEDDED_TYPE_REDACTED`.
const MAX_EMBEDDED_TYPE: u8 = 2;
/// `DMU_BACKUP_MAGIC`.
const MAGIC: u64 = 0x0002_f5ba_cbac;
/// Where `drr_toname` begins in a BEGIN record; it goes to the record's end.
const NAME: usize = 56;

/// What a stream needs of its receiver (`DMU_BACKUP_FEATURE_*`). Those that are not named here are ZFS's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(u64);

impl Features {
    /// Deduplicated, of the kind that OpenZFS takes no more (`DEDUP`, `DEDUPPROPS`).
    pub const DEDUP: Self = Self(0b11);
    /// Blocks that live inside their pointers (`zfs send -e`).
    pub const EMBED_DATA: Self = Self(1 << 16);
    /// Blocks compressed with LZ4 (`zfs send -c`).
    pub const LZ4: Self = Self(1 << 17);
    /// Blocks above 128 KiB (`zfs send -L`).
    pub const LARGE_BLOCKS: Self = Self(1 << 19);
    /// It goes on where an earlier stream was cut.
    pub const RESUMING: Self = Self(1 << 20);
    /// Parts of its contents are left out on purpose (zfs-redact(8)).
    pub const REDACTED: Self = Self(1 << 21);
    /// Objects with more room for their attributes than 512 bytes.
    pub const LARGE_DNODE: Self = Self(1 << 23);
    /// Blocks as they are stored, encrypted.
    pub const RAW: Self = Self(1 << 24);
    /// Blocks compressed with ZSTD (`zfs send -c`).
    pub const ZSTD: Self = Self(1 << 25);
    /// Names of files above 255 bytes.
    pub const LONGNAME: Self = Self(1 << 28);
    /// Directories of a form that older versions can't read.
    pub const LARGE_MICROZAP: Self = Self(1 << 29);
    /// It brings holds (`zfs send -h`).
    pub const HOLDS: Self = Self(1 << 26);

    /// Whether it needs any of these.
    #[must_use]
    pub fn any(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    /// As a number, and back.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The other way round.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a BEGIN record opens (`drr_headertype_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderType {
    /// One snapshot (`DMU_SUBSTREAM`).
    Substream,
    /// A package of several streams, with or without a list of what else is to be done (`DMU_COMPOUNDSTREAM`).
    Package,
}

/// The order of the bytes in a record's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The least significant first, as on x86 and ARM.
    Little,
    /// The most significant first.
    Big,
}

/// A BEGIN record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// How its numbers, and those of all records up to its END, are written.
    pub order: ByteOrder,
    /// What it opens.
    pub header: HeaderType,
    /// What its receiver must know.
    pub features: Features,
    /// Filesystem or volume; `None` for anything else, as in a package's header.
    pub kind: Option<Kind>,
    /// It makes a clone of the snapshot that it starts from (`DRR_FLAG_CLONE`).
    pub clone: bool,
    /// The snapshot that it brings.
    pub to: Guid,
    /// What it starts from; `None` for a full stream.
    pub from: Option<Guid>,
    /// The name of its dataset and snapshot on the sender, up to the first zero byte.
    pub name: Vec<u8>,
    /// So many bytes follow, before the next record.
    pub content: u32,
}

/// Any record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A stream or a package begins.
    Begin(Begin),
    /// A stream, a package's header, or a package ends.
    End,
    /// Contents, with so many bytes behind it.
    Content(u64),
}

/// A record that makes no sense, or that no OpenZFS since 2.0 takes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// It should be a BEGIN record.
    #[error("it is not a zfs send stream")]
    Magic,
    /// The kind of header is neither of the two.
    #[error("its header is of an unknown type")]
    Header,
    /// The record's type.
    #[error("it has a record of type {0}, which this version of zfsync doesn't know")]
    Type(u32),
    /// The record's length.
    #[error("one of its records claims {0} bytes")]
    TooLong(u64),
    /// Numbers that no dataset has, in a record of this type.
    #[error(
        "one of its {0} records has invalid sizes or numbers, or a compression that this version of zfsync doesn't know"
    )]
    Senseless(&'static str),
}

/// The numbers in a record.
pub(super) struct Fields<'a> {
    pub bytes: &'a [u8; SIZE],
    pub order: ByteOrder,
}

impl Fields<'_> {
    pub fn u32(&self, at: usize) -> u32 {
        let bytes = self.bytes[at..at + 4].try_into().unwrap_or_default();
        match self.order {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        }
    }

    pub fn u64(&self, at: usize) -> u64 {
        let bytes = self.bytes[at..at + 8].try_into().unwrap_or_default();
        match self.order {
            ByteOrder::Little => u64::from_le_bytes(bytes),
            ByteOrder::Big => u64::from_be_bytes(bytes),
        }
    }
}

impl Begin {
    /// Reads the first record of a stream or of a package; its magic tells the byte order.
    pub fn read(bytes: &[u8; SIZE]) -> Result<Self, RecordError> {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let fields = Fields { bytes, order };
            if fields.u64(8) == MAGIC && fields.u32(0) == 0 {
                return Self::of(&fields);
            }
        }
        Err(RecordError::Magic)
    }

    fn of(fields: &Fields<'_>) -> Result<Self, RecordError> {
        let version = fields.u64(16);
        let header = match version & 3 {
            1 => HeaderType::Substream,
            2 => HeaderType::Package,
            _ => return Err(RecordError::Header),
        };
        let name = &fields.bytes[NAME..];
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        Ok(Self {
            order: fields.order,
            header,
            features: Features((version >> 2) & 0x3fff_ffff),
            kind: match fields.u32(32) {
                2 => Some(Kind::Filesystem),
                3 => Some(Kind::Volume),
                _ => None,
            },
            clone: fields.u32(36) & 1 != 0,
            to: Guid(fields.u64(40)),
            from: Some(Guid(fields.u64(48))).filter(|guid| guid.0 != 0),
            name,
            content: fields.u32(4),
        })
    }

    /// The record as `zfs send` would write it: for tests and for those who play a sender.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut put = |at: usize, value: u64, width: usize| {
            let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
            bytes[at..at + width].copy_from_slice(match self.order {
                ByteOrder::Little => &little[..width],
                ByteOrder::Big => &big[8 - width..],
            });
        };
        let header = if self.header == HeaderType::Substream { 1 } else { 2 };
        let kind = match self.kind {
            Some(Kind::Filesystem) => 2,
            Some(Kind::Volume) => 3,
            None => 0,
        };
        put(4, self.content.into(), 4);
        put(8, MAGIC, 8);
        put(16, self.features.0 << 2 | header, 8);
        put(32, kind, 4);
        put(36, self.clone.into(), 4);
        put(40, self.to.0, 8);
        put(48, self.from.map_or(0, |from| from.0), 8);
        let len = self.name.len().min(SIZE - NAME);
        bytes[NAME..NAME + len].copy_from_slice(&self.name[..len]);
        bytes
    }
}

impl Record {
    /// Reads a record that is not the first one.
    pub fn read(bytes: &[u8; SIZE], order: ByteOrder) -> Result<Self, RecordError> {
        let fields = Fields { bytes, order };
        let content = match fields.u32(0) {
            0 => return Begin::read(bytes).map(Self::Begin),
            5 => return Ok(Self::End),
            // OBJECT: `DRR_OBJECT_PAYLOAD_SIZE`.
            1 => match u64::from(fields.u32(36)) {
                0 => u64::from(fields.u32(28)).next_multiple_of(8),
                raw => raw,
            },
            // WRITE: `DRR_WRITE_PAYLOAD_SIZE`.
            3 if fields.bytes[50] != 0 => fields.u64(96),
            3 => fields.u64(32),
            // SPILL: `DRR_SPILL_PAYLOAD_SIZE`.
            7 => match fields.u64(40) {
                0 => fields.u64(16),
                compressed => compressed,
            },
            // WRITE_EMBEDDED.
            8 => u64::from(fields.u32(52)).next_multiple_of(8),
            // FREEOBJECTS, FREE, OBJECT_RANGE, REDACT.
            2 | 4 | 9 | 10 => 0,
            // WRITE_BYREF (6) belongs to deduplicated streams.
            other => return Err(RecordError::Type(other)),
        };
        if content > MAX_CONTENT {
            return Err(RecordError::TooLong(content));
        }
        fields.check()?;
        Ok(Self::Content(content))
    }
}

impl Fields<'_> {
    /// What a kernel that takes it unread stumbles over, up to a panic (OpenZFS 2.3.9, tried); newer ones check the same and more
    /// (`recv_check_drr_*` in `module/zfs/dmu_recv.c`). The bounds are those of the on-disk format.
    fn check(&self) -> Result<(), RecordError> {
        let blocks = |size: u64| (MIN_BLOCK..=MAX_CONTENT).contains(&size) && size.is_multiple_of(MIN_BLOCK);
        let known = |compression: u8| compression <= MAX_COMPRESSION;
        let object = |number: u64| number != 0 && number < MAX_OBJECT;
        let (kind, sane) = match self.u32(0) {
            1 => {
                let (bonus, raw) = (self.u32(28), self.u32(36));
                let fits =
                    bonus <= MAX_BONUS && (raw == 0 || (bonus..=MAX_BONUS).contains(&raw) && raw.is_multiple_of(8));
                let slots = self.bytes[34] <= MAX_SLOTS;
                ("OBJECT", object(self.u64(8)) && blocks(self.u32(24).into()) && fits && slots && known(self.bytes[33]))
            }
            3 => {
                let (size, compressed, compression) = (self.u64(32), self.u64(96), self.bytes[50]);
                let fits = compression == 0 || (1..=size).contains(&compressed);
                ("WRITE", object(self.u64(8)) && blocks(size) && fits && known(compression))
            }
            7 => {
                let (size, compressed) = (self.u64(16), self.u64(40));
                ("SPILL", object(self.u64(8)) && blocks(size) && compressed <= size && known(self.bytes[33]))
            }
            8 => {
                let (compression, kind, psize) = (self.bytes[40], self.bytes[41], self.u32(52));
                let fits = (1..=MAX_EMBEDDED).contains(&psize) && (1..=MAX_CONTENT).contains(&self.u32(48).into());
                ("WRITE_EMBEDDED", object(self.u64(8)) && fits && known(compression) && kind <= MAX_EMBEDDED_TYPE)
            }
            _ => return Ok(()),
        };
        if sane { Ok(()) } else { Err(RecordError::Senseless(kind)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin() -> Begin {
        Begin {
            order: ByteOrder::Little,
            header: HeaderType::Substream,
            features: Features::RAW.with(Features::RESUMING),
            kind: Some(Kind::Volume),
            clone: true,
            to: Guid(0x1234_5678_9abc_def0),
            from: Some(Guid(7)),
            name: b"tank/a b@s".to_vec(),
            content: 4711,
        }
    }

    /// A record of this type with numbers at these places: (place, width, value).
    fn record(kind: u32, order: ByteOrder, numbers: &[(usize, usize, u64)]) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (at, width, value) in [(0, 4, u64::from(kind))].iter().chain(numbers) {
            match order {
                ByteOrder::Little => bytes[*at..at + width].copy_from_slice(&value.to_le_bytes()[..*width]),
                ByteOrder::Big => bytes[*at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]),
            }
        }
        bytes
    }

    #[test]
    fn a_begin_record_is_read_in_either_byte_order() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for kind in [Some(Kind::Filesystem), Some(Kind::Volume), None] {
                for header in [HeaderType::Substream, HeaderType::Package] {
                    let begin = Begin { order, header, kind, ..begin() };
                    assert_eq!(Begin::read(&begin.to_bytes()), Ok(begin.clone()));
                    assert_eq!(Record::read(&begin.to_bytes(), order), Ok(Record::Begin(begin)));
                }
            }
        }
    }

    #[test]
    fn what_is_no_begin_record_is_told() {
        assert_eq!(Begin::read(&[0; SIZE]), Err(RecordError::Magic));
        assert_eq!(Begin::read(&[b'x'; SIZE]), Err(RecordError::Magic));
        let mut bytes = begin().to_bytes();
        bytes[16] &= !3;
        assert_eq!(Begin::read(&bytes), Err(RecordError::Header));
        bytes[16] |= 3;
        assert_eq!(Begin::read(&bytes), Err(RecordError::Header));
        // An END record that has the magic in the place of its checksum.
        let end = record(5, ByteOrder::Little, &[(8, 8, MAGIC)]);
        assert_eq!(Begin::read(&end), Err(RecordError::Magic));
    }

    #[test]
    fn the_length_of_each_kind_of_content_is_known() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for (kind, numbers, expected) in [
                (1, &[(8, 8, 1), (24, 4, 512), (28, 4, 13)][..], 16),
                (1, &[(8, 8, 1), (24, 4, 512), (28, 4, 13), (36, 4, 320)], 320),
                (2, &[(16, 8, 99)], 0),
                (3, &[(8, 8, 1), (32, 8, 131_072)], 131_072),
                (3, &[(8, 8, 1), (32, 8, 131_072), (50, 1, 15), (96, 8, 4096)], 4096),
                (4, &[(24, 8, u64::MAX)], 0),
                (7, &[(8, 8, 1), (16, 8, 512)], 512),
                (7, &[(8, 8, 1), (16, 8, 512), (40, 8, 100)], 100),
                (8, &[(8, 8, 1), (48, 4, 512), (52, 4, 17)], 24),
                (9, &[], 0),
                (10, &[(24, 8, 5)], 0),
            ] {
                assert_eq!(Record::read(&record(kind, order, numbers), order), Ok(Record::Content(expected)), "{kind}");
            }
            assert_eq!(Record::read(&record(5, order, &[]), order), Ok(Record::End));
            assert_eq!(Record::read(&record(6, order, &[]), order), Err(RecordError::Type(6)));
            assert_eq!(Record::read(&record(11, order, &[]), order), Err(RecordError::Type(11)));
            let long = record(3, order, &[(32, 8, u64::MAX)]);
            assert_eq!(Record::read(&long, order), Err(RecordError::TooLong(u64::MAX)));
        }
    }

    #[test]
    fn numbers_that_a_kernel_stumbles_over_are_refused() {
        let object: &[(usize, usize, u64)] = &[(8, 8, 1), (24, 4, 512), (28, 4, 16)];
        let write: &[(usize, usize, u64)] = &[(8, 8, 1), (32, 8, 512)];
        let spill: &[(usize, usize, u64)] = &[(8, 8, 1), (16, 8, 512)];
        let embedded: &[(usize, usize, u64)] = &[(8, 8, 1), (48, 4, 512), (52, 4, 17)];
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for (kind, good, bad) in [
                (1, object, &[(8, 8, 0), (8, 8, 1 << 48), (24, 4, 0), (24, 4, 511), (24, 4, 32 << 20)][..]),
                (1, object, &[(28, 4, 17_000), (36, 4, 8), (36, 4, 255), (36, 4, 17_000), (34, 1, 33), (33, 1, 17)]),
                (3, write, &[(8, 8, 0), (32, 8, 0), (32, 8, 1000), (50, 1, 127), (50, 1, 15)]),
                (7, spill, &[(8, 8, 0), (16, 8, 0), (16, 8, 700), (40, 8, 513), (33, 1, 255)]),
                (8, embedded, &[(8, 8, 0), (52, 4, 0), (52, 4, 113), (48, 4, 0), (40, 1, 17), (41, 1, 3)]),
            ] {
                assert!(Record::read(&record(kind, order, good), order).is_ok(), "{kind}");
                for change in bad {
                    let record = record(kind, order, &[good, &[*change]].concat());
                    assert!(
                        matches!(Record::read(&record, order), Err(RecordError::Senseless(_))),
                        "{kind}: {change:?}"
                    );
                }
            }
        }
    }
}
