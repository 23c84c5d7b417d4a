//! What the other host is to do: a push, with those of its options that can be meant there. What isn't here can't be ordered: no file of
//! either host, no option of ssh, no command but the one that starts the target's helper.

use serde::{Deserialize, Serialize};

use crate::remote::bootstrap::HelperFrom;

/// Tree, target and options of a push, as the command line has them; times in seconds. All is parsed and checked where it is carried out,
/// exactly as a command line there would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Order {
    /// A dataset of the host that gets the order.
    pub source: String,
    /// `[USER@]HOST:DATASET`.
    pub target: String,
    /// `--depth`.
    pub depth: Option<usize>,
    /// `--include`.
    pub include: Vec<String>,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--newest-only`.
    pub newest_only: bool,
    /// `--skip-empty`.
    pub skip_empty: bool,
    /// `--decrypt`.
    pub decrypt: bool,
    /// `--volmode`.
    pub volmode: zfs::Volmode,
    /// `--allow-unencrypted`.
    pub allow_unencrypted: bool,
    /// `--allow-key-mismatch`.
    pub allow_key_mismatch: bool,
    /// `--allow-rekey`.
    pub allow_rekey: bool,
    /// `--allow-unproven-bookmarks`.
    pub allow_unproven_bookmarks: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--channels`.
    pub channels: u16,
    /// `--connections`.
    pub connections: Option<u16>,
    /// `--bwlimit`, in bytes per second. A host that doesn't know it refuses the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bwlimit: Option<u64>,
    /// `--no-resume`.
    pub no_resume: bool,
    /// `--no-bookmark`.
    pub no_bookmark: bool,
    /// `--rollback`.
    pub rollback: bool,
    /// `--set-aside`.
    pub set_aside: bool,
    /// `--replace`.
    pub replace: Vec<String>,
    /// `--delete-missing datasets`.
    pub delete_datasets: bool,
    /// `--delete-missing snapshots`.
    pub delete_snapshots: bool,
    /// `--grace`.
    pub grace: u64,
    /// `--max-delete`; `None` for its default.
    pub max_delete: Option<String>,
    /// `--follow-renames`.
    pub follow_renames: bool,
    /// What own snapshots are called.
    pub format: String,
    /// `--retries`.
    pub retries: u32,
    /// `--retry-max-wait`.
    pub retry_max_wait: u64,
    /// `--stall-timeout`.
    pub stall_timeout: u64,
    /// `--wait-lock`.
    pub wait_lock: u64,
    /// `--remote-zfsync`: how the target's host calls zfsync.
    pub remote_zfsync: Option<String>,
    /// `--helper`: where the helper on the target's host is taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<HelperFrom>,
    /// `--remote-zfs`: how zfs is called on the target's host where that alone is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_zfs: Option<String>,
    /// How much is looked for what only the target has.
    pub only_there: Look,
    /// Whether somebody wants the end of each dataset.
    pub ends: bool,
}

/// How much is looked for what only the target has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Not at all.
    #[default]
    No,
    /// For how many datasets.
    Count,
    /// For all names.
    Names,
}
