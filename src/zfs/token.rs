//! What `zfs send -nvP -t TOKEN` tells of a resume token.

use crate::name::Guid;

/// A cut stream, as its token describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// The snapshot that it brings.
    pub to_guid: Guid,
    /// That snapshot's full name on the host that sent it.
    pub to_name: String,
    /// Whether it was sent raw (`rawok`; set only for an encrypted dataset).
    pub raw: bool,
}

/// Reads the name-value list that zfs prints (`zfs_send_resume` in OpenZFS `lib/libzfs/libzfs_sendrecv.c`); `None` when it
/// has no snapshot in it.
#[must_use]
pub fn read_token(said: &str) -> Option<TokenFacts> {
    let value = |name: &str| {
        said.lines().find_map(|line| {
            let (key, value) = line.split_once(" = ")?;
            (key.trim() == name).then_some(value)
        })
    };
    let guid = value("toguid")?.trim();
    let to_guid = match guid.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => guid.parse().ok()?,
    };
    Some(TokenFacts { to_guid: Guid(to_guid), to_name: value("toname")?.to_owned(), raw: value("rawok").is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_zfs_prints() {
        let said = "resume token contents:\nnvlist version: 0\n\tobject = 0x2\n\toffset = 0x40000\n\tbytes = 0x55f8\n\
                    \ttoguid = 0x71d3bcb83ee8f1c5\n\ttoname = p/a b@s  1\n\tcompressok = 1\n\trawok = 1\nsize\t123\n";
        let facts = read_token(said).unwrap();
        assert_eq!(
            (facts.to_guid, facts.to_name.as_str(), facts.raw),
            (Guid(0x71d3_bcb8_3ee8_f1c5), "p/a b@s  1", true)
        );
        assert_eq!(read_token("cannot resume send: resume token is corrupt\n"), None);
    }
}
