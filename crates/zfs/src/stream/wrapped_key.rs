//! The wrapped key of an encrypted dataset, as the BEGIN record of a raw stream carries it. A raw increment replaces that of the
//! dataset which it is received into (`dsl_crypto_recv_raw_key_sync` in `module/zfs/dsl_crypt.c`), for all snapshots there, and of
//! the old one ZFS compares nothing but its GUID.

use std::io::{self, Read};

use thiserror::Error;

use super::nvlist::{self, Order, Pairs, Value};
use super::record::{Begin, Features, RecordError, SIZE};
use crate::name::{DatasetName, SnapshotName};
use crate::{Call, Zfs};

/// The list in a BEGIN record's content.
const KEY_DATA: &str = "crypt_keydata";
/// What the kernel stores of it, and how long each one's bytes are; `None` for a number.
const FIELDS: [(&str, Option<usize>); 10] = [
    ("DSL_CRYPTO_SUITE", None),
    ("DSL_CRYPTO_GUID", None),
    ("DSL_CRYPTO_VERSION", None),
    ("DSL_CRYPTO_MASTER_KEY_1", Some(32)),
    ("DSL_CRYPTO_HMAC_KEY_1", Some(64)),
    ("DSL_CRYPTO_IV", Some(12)),
    ("DSL_CRYPTO_MAC", Some(16)),
    ("keyformat", None),
    ("pbkdf2iters", None),
    ("pbkdf2salt", None),
];
/// Longer contents of BEGIN records aren't read.
const MAX_CONTENT: u32 = 1 << 20;

/// A dataset's master key, wrapped with the user's, and how that one is made from a passphrase. Equal ones are opened by the same
/// key; different ones may be, too, as wrapping is salted.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey([Value; FIELDS.len()]);

/// Why there is no key to be read.
#[derive(Debug, Error)]
pub enum WrappedKeyError {
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It doesn't begin with a BEGIN record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is no raw stream, or its description isn't as `zfs send` of this machine's byte order packs it.
    #[error("the description of its encryption key can't be read")]
    Description,
}

impl WrappedKey {
    /// The key in the content of a raw stream's BEGIN record. Strict: what could be read in two ways is read in none, as the kernel
    /// reads it on its own.
    pub fn read(content: &[u8]) -> Result<Self, WrappedKeyError> {
        // The kernel takes no list of the other byte order.
        let list = nvlist::decode(content, Order::NATIVE).map_err(|_| WrappedKeyError::Description)?;
        let Some(Value::List(fields)) = unique(&list, KEY_DATA) else { return Err(WrappedKeyError::Description) };
        let values = FIELDS.map(|(name, len)| match (unique(fields, name), len) {
            (Some(Value::U64(number)), None) => Some(Value::U64(*number)),
            (Some(Value::Bytes(bytes)), Some(len)) if bytes.len() == len => Some(Value::Bytes(bytes.clone())),
            _ => None,
        });
        let values: Option<Vec<Value>> = values.into_iter().collect();
        values.and_then(|values| values.try_into().ok()).map(Self).ok_or(WrappedKeyError::Description)
    }

    /// The key in the BEGIN record of [`Zfs::send_raw`], of whose stream nothing more is read.
    pub fn read_first(input: &mut impl Read) -> Result<Self, WrappedKeyError> {
        let mut record = [0; SIZE];
        input.read_exact(&mut record)?;
        let begin = Begin::read(&record)?;
        if !begin.features.any(Features::RAW) || begin.content > MAX_CONTENT {
            return Err(WrappedKeyError::Description);
        }
        let mut content = vec![0; begin.content as usize];
        input.read_exact(&mut content)?;
        Self::read(&content)
    }

    /// Whether both are wrapped with what the same passphrase makes: each `zfs change-key` takes another salt, and a raw stream brings
    /// that of the encryption root. Without a passphrase there is none, and it can't be told.
    #[must_use]
    pub fn is_salted_as(&self, other: &Self) -> bool {
        let [.., salt] = &self.0;
        matches!(salt, Value::U64(1..)) && other.0.ends_with(std::slice::from_ref(salt))
    }
}

/// The only value of this name.
fn unique<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a Value> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}

impl Zfs {
    /// A raw stream of a snapshot, whose BEGIN record tells how the dataset's key is wrapped now. Read it with
    /// [`WrappedKey::read_first`].
    #[must_use]
    pub fn send_raw(&self, dataset: &DatasetName, snapshot: &SnapshotName) -> Call {
        let mut command = self.command(["send", "-w"]);
        command.arg(dataset.at(snapshot.as_str()));
        command
    }
}

/// Content for tests, here and in other crates.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::super::nvlist::{self, Order, Pairs, Value};
    use super::{FIELDS, KEY_DATA};

    /// The content of a raw stream's BEGIN record whose wrapped key is made of this byte.
    #[must_use]
    pub fn content(byte: u8) -> Vec<u8> {
        salted(byte, byte)
    }

    /// The same with another salt; 0 is none.
    #[must_use]
    pub fn salted(byte: u8, salt: u8) -> Vec<u8> {
        let mut fields = fields(byte);
        fields
            .iter_mut()
            .filter(|(name, _)| name == "pbkdf2salt")
            .for_each(|(_, value)| *value = Value::U64(salt.into()));
        packed(&[(KEY_DATA.into(), Value::List(fields))])
    }

    pub(super) fn fields(byte: u8) -> Pairs {
        let mut fields: Pairs = FIELDS
            .iter()
            .map(|(name, len)| {
                let value = len.map_or(Value::U64(byte.into()), |len| Value::Bytes(vec![byte; len]));
                ((*name).to_owned(), value)
            })
            .collect();
        // As there are in a true one, and don't count.
        fields.insert(3, ("portable_mac".into(), Value::Bytes(vec![9; 32])));
        fields.push(("to_ivset_guid".into(), Value::U64(77)));
        fields
    }

    pub(super) fn packed(pairs: &[(String, Value)]) -> Vec<u8> {
        let pairs: Vec<(&str, Value)> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        nvlist::encode(&pairs, Order::NATIVE)
    }
}

#[cfg(test)]
#[path = "wrapped_key_tests.rs"]
mod tests;
