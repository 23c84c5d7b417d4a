//! Streams of `zfs send`: records, resume tokens, what a stream holds.

mod content;
mod nvlist;
pub mod record;
mod token;
mod wrapped_key;

pub use content::{ContentError, PART, Part, Reading, read_content};
pub use token::{Token, TokenError};
#[cfg(any(test, feature = "testing"))]
pub use wrapped_key::testing::{content as wrapped_key_content, salted as wrapped_key_salted};
pub use wrapped_key::{WrappedKey, WrappedKeyError};
