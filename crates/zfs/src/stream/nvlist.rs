//! Name-value lists as OpenZFS packs them (`NV_ENCODE_NATIVE` in `module/nvpair/nvpair.c`): as much of it as resume tokens and
//! the BEGIN records of raw streams need. Every length in them was chosen by somebody else: each is checked before it is believed.

/// Bytes before the version: encoding, byte order, two that are reserved.
const HEADER: usize = 4;
/// Bytes of a pair before its name: size, size of the name, reserved, number of elements, type.
const PAIR: usize = 16;
/// `NV_UNIQUE_NAME`.
const UNIQUE_NAME: u32 = 1;
/// No list with more pairs than this is read.
const MAX_PAIRS: usize = 64;

const BOOLEAN: u32 = 1;
const UINT64: u32 = 8;
const STRING: u32 = 9;
const NVLIST: u32 = 19;
const UINT8_ARRAY: u32 = 26;
/// Bytes of an `nvlist_t`, which stands for a list within a list; its pairs follow behind.
const EMBEDDED: usize = 24;
/// No list lies deeper in others.
const MAX_DEPTH: usize = 4;

/// In which order the bytes of a number lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// This machine's.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    fn bytes(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn code(self) -> u8 {
        u8::from(self == Self::Little)
    }
}

/// A value, as far as resume tokens and BEGIN records have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// There or not there.
    Boolean,
    U64(u64),
    String(String),
    Bytes(Vec<u8>),
    List(Pairs),
    /// Of another type.
    Other(u32),
}

/// The pairs of a list in their order.
pub(super) type Pairs = Vec<(String, Value)>;

/// The bytes are no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// All pairs in their order. Names and strings are UTF-8 without zeros; nothing else is said about them.
pub(super) fn decode(bytes: &[u8], order: Order) -> Result<Pairs, Damaged> {
    let (header, rest) = split::<HEADER>(bytes)?;
    if header != [0, order.code(), 0, 0] {
        return Err(Damaged);
    }
    let (version, rest) = split::<4>(rest)?;
    let (_flags, rest) = split::<4>(rest)?;
    if version != [0; 4] {
        return Err(Damaged);
    }
    let (pairs, behind) = decode_pairs(rest, order, MAX_DEPTH)?;
    // Nothing comes behind the end.
    if behind.is_empty() { Ok(pairs) } else { Err(Damaged) }
}

/// The pairs up to the end of their list, and what lies behind that.
fn decode_pairs(mut rest: &[u8], order: Order, depth: usize) -> Result<(Pairs, &[u8]), Damaged> {
    let mut pairs = Vec::new();
    loop {
        let (size, behind) = split::<4>(rest)?;
        let size = order.u32(size) as usize;
        if size == 0 {
            return Ok((pairs, behind));
        }
        if size < PAIR || size > rest.len() || pairs.len() == MAX_PAIRS || depth == 0 {
            return Err(Damaged);
        }
        let (pair, behind) = rest.split_at(size);
        let (name, mut value) = decode_pair(pair, order)?;
        rest = behind;
        if let Value::List(list) = &mut value {
            (*list, rest) = decode_pairs(rest, order, depth - 1)?;
        }
        pairs.push((name, value));
    }
}

/// A pair; of a list that is its value nothing yet.
fn decode_pair(pair: &[u8], order: Order) -> Result<(String, Value), Damaged> {
    let (_size, rest) = split::<4>(pair)?;
    let (name_size, rest) = split::<2>(rest)?;
    let (reserved, rest) = split::<2>(rest)?;
    let (elements, rest) = split::<4>(rest)?;
    let (kind, rest) = split::<4>(rest)?;
    let name_size = usize::from(order.u16(name_size));
    let name = string(rest.get(..name_size).ok_or(Damaged)?)?;
    let value = pair.get(aligned(PAIR + name_size)..).ok_or(Damaged)?;
    if reserved != [0; 2] || name.is_empty() {
        return Err(Damaged);
    }
    let value = match (order.u32(kind), order.u32(elements)) {
        (BOOLEAN, 0) if value.is_empty() => Value::Boolean,
        (UINT64, 1) => Value::U64(order.u64(value.try_into().map_err(|_| Damaged)?)),
        (STRING, 1) => {
            let end = value.iter().position(|byte| *byte == 0).ok_or(Damaged)? + 1;
            let (text, padding) = value.split_at(end);
            if aligned(end) != value.len() || padding.iter().any(|byte| *byte != 0) {
                return Err(Damaged);
            }
            Value::String(string(text)?)
        }
        (UINT8_ARRAY, elements) => {
            let elements = elements as usize;
            let padding = value.get(elements..).ok_or(Damaged)?;
            if aligned(elements) != value.len() || padding.iter().any(|byte| *byte != 0) {
                return Err(Damaged);
            }
            Value::Bytes(value[..elements].to_vec())
        }
        (NVLIST, 1) if value.len() == EMBEDDED => Value::List(Vec::new()),
        (BOOLEAN | UINT64 | STRING | NVLIST, _) => return Err(Damaged),
        (other, _) => Value::Other(other),
    };
    Ok((name, value))
}

/// The bytes of a list, as this machine's ZFS would pack it. [`Value::Other`] is left out.
pub(super) fn encode(pairs: &[(&str, Value)], order: Order) -> Vec<u8> {
    let mut bytes = vec![0, order.code(), 0, 0];
    bytes.extend(order.bytes(0));
    bytes.extend(order.bytes(UNIQUE_NAME));
    for (name, value) in pairs {
        encode_pair(name, value, order, &mut bytes);
    }
    bytes.extend([0; 4]);
    bytes
}

fn encode_pair(name: &str, value: &Value, order: Order, bytes: &mut Vec<u8>) {
    let count = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0);
    let (kind, elements, packed) = match value {
        Value::Boolean => (BOOLEAN, 0, Vec::new()),
        Value::U64(value) => {
            let bytes = if order == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() };
            (UINT64, 1, bytes.to_vec())
        }
        Value::String(text) => (STRING, 1, [text.as_bytes(), &[0]].concat()),
        Value::Bytes(bytes) => (UINT8_ARRAY, count(bytes), bytes.clone()),
        Value::List(_) => (NVLIST, 1, [[0; 4], order.bytes(UNIQUE_NAME), [0; 4], [0; 4], [0; 4], [0; 4]].concat()),
        Value::Other(_) => return,
    };
    let start = bytes.len();
    let before_value = aligned(PAIR + name.len() + 1);
    let size = before_value + aligned(packed.len());
    // Both are short: names are ours, strings are names of datasets.
    bytes.extend(order.bytes(u32::try_from(size).unwrap_or(0)));
    let name_size = u16::try_from(name.len() + 1).unwrap_or(0);
    bytes.extend(if order == Order::Little { name_size.to_le_bytes() } else { name_size.to_be_bytes() });
    bytes.extend([0; 2]);
    bytes.extend(order.bytes(elements));
    bytes.extend(order.bytes(kind));
    bytes.extend(name.as_bytes());
    bytes.resize(start + before_value, 0);
    bytes.extend(packed);
    bytes.resize(start + size, 0);
    if let Value::List(pairs) = value {
        for (name, value) in pairs {
            encode_pair(name, value, order, bytes);
        }
        bytes.extend([0; 4]);
    }
}

fn aligned(size: usize) -> usize {
    size.next_multiple_of(8)
}

fn split<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Damaged> {
    bytes.split_first_chunk::<N>().map(|(first, rest)| (*first, rest)).ok_or(Damaged)
}

/// The text of bytes that end with their only zero.
fn string(bytes: &[u8]) -> Result<String, Damaged> {
    let (last, text) = bytes.split_last().ok_or(Damaged)?;
    if *last != 0 || text.contains(&0) {
        return Err(Damaged);
    }
    std::str::from_utf8(text).map(ToOwned::to_owned).map_err(|_| Damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Boolean),
            any::<u64>().prop_map(Value::U64),
            "[^\0]{0,40}".prop_map(Value::String),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes)
        ];
        leaf.prop_recursive(2, 12, 4, |value| {
            proptest::collection::vec(("[^\0]{1,20}", value), 0..4).prop_map(Value::List)
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_again(
            pairs in proptest::collection::vec(("[^\0]{1,20}", value()), 0..20), big: bool
        ) {
            let order = if big { Order::Big } else { Order::Little };
            let named: Vec<(&str, Value)> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let bytes = encode(&named, order);
            prop_assert_eq!(decode(&bytes, order), Ok(pairs));
            // No prefix of a list is one, nor is one with something behind it.
            for end in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..end], order), Err(Damaged));
            }
            prop_assert_eq!(decode(&[&bytes[..], &[0]].concat(), order), Err(Damaged));
        }

        #[test]
        fn damage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, Order::Little);
            let _ = decode(&[&[0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &bytes[..]].concat(), Order::Little);
        }

        #[test]
        fn changed_bytes_are_never_a_panic(at in 0_usize..200, to: u8) {
            let mut bytes = encode(
                &[("toguid", Value::U64(7)), ("toname", Value::String("p/a@s".into())), ("rawok", Value::Boolean)],
                Order::Little,
            );
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(pairs) = decode(&bytes, Order::Little) {
                prop_assert_eq!(pairs.len(), 3);
            }
        }
    }

    #[test]
    fn other_types_are_told_and_skipped() {
        let mut bytes = encode(&[("snaps", Value::U64(1)), ("x", Value::Boolean)], Order::Little);
        // The first pair's type becomes DATA_TYPE_UINT64_ARRAY.
        bytes[HEADER + 8 + 12] = 16;
        let pairs = decode(&bytes, Order::Little).unwrap();
        assert_eq!(pairs, [("snaps".to_owned(), Value::Other(16)), ("x".to_owned(), Value::Boolean)]);
    }

    #[test]
    fn a_list_has_a_limit() {
        let many: Vec<(&str, Value)> = vec![("x", Value::Boolean); MAX_PAIRS + 1];
        assert_eq!(decode(&encode(&many, Order::Little), Order::Little), Err(Damaged));
        assert!(decode(&encode(&many[1..], Order::Little), Order::Little).is_ok());
        let nested = |depth: usize| {
            let list = (0..depth).fold(Value::U64(7), |value, _| Value::List(vec![("in".into(), value)]));
            decode(&encode(&[("out", list)], Order::Little), Order::Little)
        };
        assert!(nested(MAX_DEPTH - 1).is_ok());
        assert_eq!(nested(MAX_DEPTH), Err(Damaged));
    }
}
