//! Names of targets and datasets as names of files: every one has its own, none is hidden, none is too long, and it can be
//! read back.

use std::fmt::Write as _;

use crate::state::record;
use zfs::hash;

/// What this file's name means is no dataset.
pub(super) const RUN: &str = "run";
/// File systems take 255 bytes; the ending and temporary names need some.
const LONGEST: usize = 200;
/// Stands before the hash of a shortened name, and in no other.
const SHORTENED: char = '=';

/// The name of the file: letters, digits, `-`, `_` and `.` as they are, all else as `%2F`. What would be too long ends in a
/// hash.
pub(super) fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // A dot in front would hide the file.
        let odd = at == 0 && (byte == b'.' || name == RUN || name == record::NAME);
        if plain && !odd {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    if text.len() > LONGEST {
        text.truncate(LONGEST - 17);
        let _ = write!(text, "{SHORTENED}{:016x}", hash::stable(name));
    }
    text
}

/// The name that was encoded so; `None` for a shortened one, and for what never was encoded.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = rest.get(2..)?;
    }
    String::from_utf8(bytes).ok().filter(|name| encode(name) == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_can_be_read() {
        for (name, text) in [
            ("tank/data", "tank%2Fdata"),
            ("me@[fe80::1%eth0]:tank/a b", "me%40%5Bfe80%3A%3A1%25eth0%5D%3Atank%2Fa%20b"),
            ("run", "%72un"),
            ("run/a", "run%2Fa"),
            ("..:x", "%2E.%3Ax"),
            ("a=b", "a%3Db"),
            ("d\u{f6}", "d%C3%B6"),
        ] {
            assert_eq!(encode(name), text);
            assert_eq!(decode(text).as_deref(), Some(name));
        }
        for text in ["%", "%2", "%zz", "%+1", "%2f", "%41", "run", "%C3", ".x", "a=0123456789abcdef"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn long_names_are_shortened_and_differ() {
        let name = |end: &str| format!("p/{}{end}", "x/".repeat(125));
        let (one, other) = (encode(&name("a")), encode(&name("b")));
        assert!(one.len() <= LONGEST && one != other && one.starts_with("p%2Fx%2F"), "{one} {other}");
        assert_eq!(decode(&one), None);
        // A name without odd bytes can be longer.
        let long = "y".repeat(LONGEST);
        assert_eq!(decode(&encode(&long)), Some(long));
    }

    proptest! {
        #[test]
        fn every_name_has_its_own(names in proptest::collection::hash_set("[a-z./%=: @A-Z0-9]{1,12}", 2)) {
            let encoded: std::collections::HashSet<String> = names.iter().map(|name| encode(name)).collect();
            prop_assert_eq!(encoded.len(), names.len());
            for name in &names {
                let text = encode(name);
                prop_assert!(!text.starts_with('.') && !text.contains('/') && text != RUN, "{}", text);
                prop_assert_eq!(&decode(&text).unwrap(), name);
            }
        }

        #[test]
        fn any_name_fits(name in "\\PC{0,255}", text in "\\PC{0,20}") {
            prop_assert!(encode(&name).len() <= LONGEST);
            let _ = decode(&text);
        }
    }
}
