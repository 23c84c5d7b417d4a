//! Resume tokens. What comes from the other host is taken apart strictly, and what `zfs send -t` gets is put together anew
//! from the fields that were checked: none of the other host's bytes reach it.
//!
//! A token is `1-CHECKSUM-SIZE-HEX`: the packed name-value list, compressed, with the first word of its fletcher4 sum
//! (`get_receive_resume_token_impl` in OpenZFS `module/zfs/dsl_dataset.c`, `zfs_send_resume_token_to_nvlist` in
//! `lib/libzfs/libzfs_sendrecv.c`).

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use thiserror::Error;

use super::nvlist::{self, Order, Value};
use crate::name::{Guid, ResumeToken};

/// The only version that there is (`ZFS_SEND_RESUME_TOKEN_VERSION`).
const VERSION: &str = "1";
/// No longer token, and no longer list in it, is looked at. Those of our streams have some 300 bytes and a name.
const MAX_SIZE: usize = 16 * 1024;
/// The level that the kernel uses.
const LEVEL: u8 = 6;

/// A cut stream, as its token describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the list")]
pub struct Token {
    /// The snapshot that it brings.
    pub to_guid: Guid,
    /// That snapshot's full name when it was sent, in the other host's words.
    pub to_name: String,
    /// What it starts from; `None` for a full stream.
    pub from_guid: Option<Guid>,
    /// Where to go on: the object.
    pub object: u64,
    /// The byte in it.
    pub offset: u64,
    /// How much has been received.
    pub bytes: u64,
    /// `largeblockok`.
    pub large_blocks: bool,
    /// `embedok`.
    pub embedded: bool,
    /// `compressok`.
    pub compressed: bool,
    /// `rawok`: it was sent raw (set only for an encrypted dataset).
    pub raw: bool,
}

/// Why a token is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// No `zfs` would take it.
    #[error("its resume token is damaged: {0}")]
    Damaged(&'static str),
    /// It may be good for something, but not for this zfsync.
    #[error("{0}, which this version of zfsync doesn't know")]
    Unknown(String),
}

use TokenError::{Damaged, Unknown};

impl Token {
    /// Takes a token apart. Each key must be known, of its type, and there but once.
    pub fn decode(token: &ResumeToken) -> Result<Self, TokenError> {
        let (list, order) = unpack(&token.0)?;
        let pairs = nvlist::decode(&list, order).map_err(|_| Damaged("its list can't be read"))?;
        Fields::collect(pairs)?.complete()
    }

    /// The token for `zfs send -t` on this machine. The snapshot's name is the present one on this host.
    #[must_use]
    pub fn encode(&self, to_name: &str) -> ResumeToken {
        let number = |key, number| Some((key, Value::U64(number)));
        let flag = |key, set: bool| set.then_some((key, Value::Boolean));
        let pairs: Vec<(&str, Value)> = [
            self.from_guid.map(|guid| ("fromguid", Value::U64(guid.0))),
            number("object", self.object),
            number("offset", self.offset),
            number("bytes", self.bytes),
            number("toguid", self.to_guid.0),
            Some(("toname", Value::String(to_name.to_owned()))),
            flag("largeblockok", self.large_blocks),
            flag("embedok", self.embedded),
            flag("compressok", self.compressed),
            flag("rawok", self.raw),
        ]
        .into_iter()
        .flatten()
        .collect();
        pack(&nvlist::encode(&pairs, Order::NATIVE), Order::NATIVE)
    }
}

/// What has been found in a list so far.
#[derive(Default)]
struct Fields {
    numbers: [Option<u64>; NUMBERS.len()],
    flags: [bool; FLAGS.len()],
    to_name: Option<String>,
}

const NUMBERS: [&str; 5] = ["fromguid", "object", "offset", "bytes", "toguid"];
const FLAGS: [&str; 4] = ["largeblockok", "embedok", "compressok", "rawok"];
/// Of streams that zfsync never sends: redacted ones, and those of what a cut receive has left.
const FOREIGN: [&str; 3] = ["redact_snaps", "book_redact_snaps", "savedok"];

impl Fields {
    fn collect(pairs: Vec<(String, Value)>) -> Result<Self, TokenError> {
        let mut fields = Self::default();
        for (key, value) in pairs {
            let place = |keys: &[&str]| keys.iter().position(|known| *known == key);
            let fresh = match (place(&NUMBERS), place(&FLAGS), value) {
                (Some(at), _, Value::U64(value)) => fields.numbers[at].replace(value).is_none(),
                (_, Some(at), Value::Boolean) => !std::mem::replace(&mut fields.flags[at], true),
                (None, None, Value::String(name)) if key == "toname" => fields.to_name.replace(name).is_none(),
                (None, None, _) if FOREIGN.contains(&key.as_str()) => {
                    return Err(Unknown(format!("its resume token is of a stream with {key}")));
                }
                (None, None, _) if key != "toname" => {
                    return Err(Unknown(format!("its resume token has the key {key:?}")));
                }
                _ => return Err(Damaged("a key has a value of another type")),
            };
            if !fresh {
                return Err(Damaged("a key occurs twice"));
            }
        }
        Ok(fields)
    }

    fn complete(self) -> Result<Token, TokenError> {
        let [from_guid, Some(object), Some(offset), Some(bytes), Some(to_guid)] = self.numbers else {
            return Err(Damaged("a key is missing"));
        };
        let [large_blocks, embedded, compressed, raw] = self.flags;
        let to_name = self.to_name.ok_or(Damaged("a key is missing"))?;
        // Zero stands for none, as in the stream's header.
        let from_guid = from_guid.filter(|guid| *guid != 0).map(Guid);
        let to_guid = Guid(to_guid);
        Ok(Token { to_guid, to_name, from_guid, object, offset, bytes, large_blocks, embedded, compressed, raw })
    }
}

/// The packed list, and how numbers lie in it.
fn unpack(token: &str) -> Result<(Vec<u8>, Order), TokenError> {
    let mut parts = token.splitn(4, '-');
    let mut part = || parts.next().ok_or(Damaged("it doesn't have four parts"));
    let (version, sum, size, hex) = (part()?, part()?, part()?, part()?);
    if version != VERSION {
        let digits = !version.is_empty() && version.len() < 5 && version.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if digits {
            Unknown(format!("its resume token has the version {version}"))
        } else {
            Damaged("its version is not a number")
        });
    }
    let number = |digits: &str| {
        // `from_str_radix` takes a sign too.
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or(Damaged("a number in it is invalid"))
    };
    let (sum, size) = (number(sum)?, number(size)?);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if hex.len() > 2 * MAX_SIZE || size > MAX_SIZE {
        return Err(Unknown(format!("its resume token stands for {size} bytes")));
    }
    let compressed = from_hex(hex).ok_or(Damaged("it has characters other than hexadecimal digits"))?;
    // The sum, like the list, is in the byte order of the machine that made it.
    let order =
        [Order::NATIVE, Order::Little, Order::Big].into_iter().find(|order| fletcher(&compressed, *order) == sum);
    let order = order.ok_or(Damaged("its checksum is wrong"))?;
    Ok((inflate(&compressed, size).ok_or(Damaged("it can't be decompressed"))?, order))
}

fn pack(list: &[u8], order: Order) -> ResumeToken {
    let compressed = compress_to_vec_zlib(list, LEVEL);
    let sum = fletcher(&compressed, order);
    let hex: String = compressed.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect();
    ResumeToken(format!("{VERSION}-{sum:x}-{:x}-{hex}", list.len()))
}

fn digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0')
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some((nibble(*high)? << 4) | nibble(*low)?)).collect()
}

/// The first word of a fletcher4 sum; what is left over behind the last whole word doesn't count
/// (`fletcher_4_native_varsize`).
fn fletcher(bytes: &[u8], order: Order) -> u64 {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(order.u32(*word).into()))
}

/// All of the bytes make one zlib stream of just this size.
fn inflate(compressed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut list = vec![0; size];
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut DecompressorOxide::new(), compressed, &mut list, 0, flags);
    (status == TINFLStatus::Done && read == compressed.len() && written == size).then_some(list)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
