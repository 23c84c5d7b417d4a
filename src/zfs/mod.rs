//! The `zfs` command line: the only place that builds its arguments and reads what it prints.

mod base;
mod bookmarks;
mod change;
mod command;
mod content;
mod delegated;
mod estimate;
mod features;
mod history;
mod mirror;
mod nvlist;
mod parse;
pub mod permission;
pub mod record;
mod refusal;
mod snapshot;
mod token;
mod volmode;
mod wrapped_key;

pub use base::{BaseFacts, feature_is_active, read_base_facts, read_iv_sets};
pub use bookmarks::{NewBookmark, Origin, read_marks};
pub use change::{Pinned, read_creations, read_names, read_pinned, read_reclaimed};
pub use command::{PLACEHOLDER, SendBase, SendFlags, SendSpec, Zfs, find_zfs};
pub use content::{ContentError, PART, Part, Reading, read_content};
pub use delegated::Receivers;
pub use estimate::{Estimate, Report, report};
pub use features::{Lacking, lacking};
pub use history::{Happened, Record, Traces, read_history, read_sources, read_values};
pub use mirror::{Note, Noted, read_notes, read_settings};
pub use parse::{
    Encryption, Facts, Listed, Mark, ParseError, disabled_features, read_facts, read_listed, read_source, user_objects,
};
pub use refusal::Refusal;
pub use snapshot::{read_states, read_written, without_usage};
pub use token::{Token, TokenError};
pub use volmode::Volmode;
#[cfg(test)]
pub(crate) use wrapped_key::tests::content as wrapped_key_content;
pub use wrapped_key::{WrappedKey, WrappedKeyError};
