//! The `zfs` command line: the only place that builds its arguments and reads what it prints.

mod away;
mod base;
mod bookmarks;
mod call;
mod change;
mod delegated;
mod estimate;
mod examine;
mod features;
mod history;
mod limits;
mod marked;
mod note;
mod parse;
pub mod permission;
mod session;
#[cfg(test)]
mod session_tests;
mod snapshot;
mod turns;
mod zfs;

pub use away::Away;
pub use base::{BaseFacts, feature_is_active, read_base_facts, read_iv_sets};
pub use bookmarks::{NewBookmark, Origin, read_failed_bookmarks, read_marks};
pub use call::Call;
pub use change::{Pinned, read_creations, read_names, read_pinned, read_reclaimed};
pub use delegated::Receivers;
pub use estimate::{Estimate, Report, report};
pub use examine::{read_place, read_pool, read_pools, read_versions};
pub use features::{Lacking, lacking};
pub use history::{Happened, Record, Traces, read_history, read_sources, read_values};
pub use limits::Limits;
pub(crate) use marked::Marked;
pub use note::{
    Note, Noted, genuine, read_note_names, read_notes, read_settings, read_target_records, tells_of_a_receive,
};
pub use parse::{
    Encryption, Facts, Listed, Mark, Most, ParseError, disabled_features, read_facts, read_listed, read_source,
    read_source_within, user_objects,
};
pub use session::session_line;
pub(crate) use session::{Session, Stdin};
pub use snapshot::{SnapshotState, TAKEN_HERE, read_states, read_written, without_usage};
pub use turns::{Few, Lane, STREAMS, Turns};
pub(crate) use turns::{Probed, Turn};
pub use zfs::{PLACEHOLDER, Zfs, find_zfs};
