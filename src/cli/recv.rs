//! `zfsync recv` and `zfsync send`: the ends that are started over ssh, and what they may be allowed to do.

use clap::Args;
use zfs::Allow;
use zfs::name::DatasetName;

use super::value;

/// `zfsync recv`.
#[derive(Debug, Args)]
pub struct Recv {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Touch only this dataset and those below it; can be given several times
    #[arg(long, value_name = "DATASET")]
    pub root: Vec<DatasetName>,
    /// What a sender may ask for beside receiving; nothing by default, so that no snapshot and no dataset can be lost
    #[arg(long, value_delimiter = ',', value_name = "WHAT", value_parser = value::allow())]
    pub allow: Vec<Allow>,
}

/// `zfsync send`.
#[derive(Debug, Args)]
pub struct Send {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Tell of and send only this dataset and those below it; can be given several times
    #[arg(long, value_name = "DATASET")]
    pub root: Vec<DatasetName>,
    /// What may be asked for beside sending and zfsync's own bookmarks and notes: snapshot, destroy (of snapshots), verify; nothing by
    /// default
    #[arg(long, value_delimiter = ',', value_name = "WHAT", value_parser = value::allow_of_a_source())]
    pub allow: Vec<Allow>,
}
