//! What a push does about datasets and snapshots that the source has no more, or under another name.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::duration;
use crate::plan::MaxDelete;

/// How closely the target follows.
#[derive(Debug, Clone, Default, Args)]
pub struct Missing {
    /// Destroy on the target what zfsync has put there and the source has no more; foreign, held and cloned things stay
    #[arg(long, value_name = "WHAT", help_heading = "Gone at the source")]
    pub delete_missing: Option<DeleteMissing>,
    /// Only so long after it was first found missing (7d); 0 at once
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "delete_missing", help_heading = "Gone at the source")]
    pub grace: Option<Duration>,
    /// Destroy nothing if it would be more datasets, or more snapshots, of the target than N or N% (25%, at least 10)
    #[arg(long, value_name = "N|N%", requires = "delete_missing", help_heading = "Gone at the source")]
    pub max_delete: Option<MaxDelete>,
    /// Rename on the target what was renamed at the source, in place of sending it anew
    #[arg(long, help_heading = "Gone at the source")]
    pub follow_renames: bool,
}

/// What of the missing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteMissing {
    /// Whole datasets
    Datasets,
    /// Snapshots of datasets that are on both sides
    Snapshots,
    /// Both of them
    Both,
}
