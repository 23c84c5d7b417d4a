//! What a push does about datasets and snapshots that the source has no more, or under another name.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::format::parse_duration;
use crate::plan::MaxDelete;

/// How closely the target follows.
#[derive(Debug, Clone, Default, Args)]
pub struct Missing {
    /// Destroy datasets or snapshots that zfsync has received on the target and that no longer exist on the source; others, and those with holds or clones, are kept
    #[arg(long, value_name = "WHAT", help_heading = "Deleted or renamed on the source")]
    pub delete_missing: Option<DeleteMissing>,
    /// Time from when something is first found missing until it is destroyed (default: 7d); 0 destroys it at once
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "delete_missing", help_heading = "Deleted or renamed on the source")]
    pub grace: Option<Duration>,
    /// Destroy nothing if more than N, or N%, of the target's datasets or snapshots would be destroyed (default: 25%, at least 10)
    #[arg(long, value_name = "N|N%", requires = "delete_missing", help_heading = "Deleted or renamed on the source")]
    pub max_delete: Option<MaxDelete>,
    /// Rename on the target what was renamed on the source, instead of sending it in full
    #[arg(long, help_heading = "Deleted or renamed on the source")]
    pub follow_renames: bool,
}

/// What is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteMissing {
    /// Datasets
    Datasets,
    /// Snapshots of datasets that exist on both sides
    Snapshots,
    /// Datasets and snapshots
    Both,
}
