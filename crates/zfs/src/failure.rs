//! Why something that a host was asked for has failed.

use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::text::os_words;

/// So much of ZFS's words is kept.
pub const MAX_WORDS: usize = 8 * 1024;

/// Why a request failed on the helper's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The case, as far as ZFS's words tell it.
    pub refusal: Refusal,
    /// ZFS's own words, cut to a sane length.
    pub words: String,
}

impl Failure {
    /// A failure with its words, cut to a sane length.
    #[must_use]
    pub fn new(refusal: Refusal, words: &str) -> Self {
        let words = os_words(&words);
        let mut end = words.len().min(MAX_WORDS);
        while !words.is_char_boundary(end) {
            end -= 1;
        }
        Self { refusal, words: words[..end].trim().to_owned() }
    }
}
