//! `zfsync helper`: what stays on another host.

use clap::{Args, Subcommand};

use super::Ssh;

/// `zfsync helper`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync helper install root@backup --system   install the helper as /usr/local/bin/zfsync on backup
  zfsync helper remove backup                  remove the helpers that earlier runs have left in the cache on backup

A run needs neither: where no zfsync is installed, it sends a helper along and leaves it in a cache. Install the helper for a \
restricted key, for sudo, or for a host without a writable directory.

Exit codes: 0 done, 1 something else is installed there, and was kept, 2 usage error, 3 can't connect, or it could not be done, \
130/143 interrupted.")]
pub struct Helper {
    /// What to do.
    #[command(subcommand)]
    pub what: HelperWhat,
}

/// What to do with helpers.
#[derive(Debug, Subcommand)]
pub enum HelperWhat {
    /// Install the helper on HOST as ~/.local/bin/zfsync, and print the line for a restricted key
    Install(HelperInstall),
    /// Remove the helpers that earlier runs have left in the cache on HOST
    Remove(HelperRemove),
}

/// `zfsync helper install`.
#[derive(Debug, Args)]
pub struct HelperInstall {
    /// The host
    #[arg(value_name = "[USER@]HOST")]
    pub host: String,
    /// Install it as /usr/local/bin/zfsync, for all users; needs root there
    #[arg(long)]
    pub system: bool,
    /// Replace a newer helper
    #[arg(long)]
    pub force: bool,
    /// The way to the host.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// `zfsync helper remove`.
#[derive(Debug, Args)]
pub struct HelperRemove {
    /// The host
    #[arg(value_name = "[USER@]HOST")]
    pub host: String,
    /// The way to the host.
    #[command(flatten)]
    pub ssh: Ssh,
}
