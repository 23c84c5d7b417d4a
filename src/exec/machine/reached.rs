//! How far a stream that was cut has got: what tells whether another try got further.

use zfs::Token;
use zfs::name::{Guid, ResumeToken};

/// The place from which a stream goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// The snapshot, the object, and the byte in it. The bytes that a token counts grow with each try, whether or not it got further.
    At(Guid, u64, u64),
    /// Of a token that can't be read.
    Unread(ResumeToken),
}

impl Reached {
    pub(super) fn of(token: &ResumeToken) -> Self {
        let unread = |_| Self::Unread(token.clone());
        Token::decode(token).map_or_else(unread, |at| Self::At(at.to_guid, at.object, at.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_alone_are_no_progress() {
        let of = |object, offset, bytes| {
            let token = Token {
                to_guid: Guid(1),
                to_name: "p/s@1".into(),
                from_guid: None,
                object,
                offset,
                bytes,
                large_blocks: false,
                embedded: false,
                compressed: false,
                raw: false,
            };
            Reached::of(&token.encode("p/s@1"))
        };
        assert_eq!(of(5, 0, 25_840), of(5, 0, 27_008));
        assert_ne!(of(5, 0, 25_840), of(5, 131_072, 27_008));
        assert_ne!(of(5, 0, 25_840), of(6, 0, 27_008));
        let unread = |text: &str| Reached::of(&ResumeToken(text.into()));
        assert_ne!(unread("1"), unread("2"));
        assert_eq!(unread("1"), unread("1"));
    }
}
