//! `zfsync recv`: the receiving end, and what it may be allowed to do.

use clap::{Args, ValueEnum};

use crate::name::DatasetName;

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
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    pub allow: Vec<Allow>,
}

/// What a helper may do beside receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Allow {
    /// Roll a dataset back to a snapshot
    Rollback,
    /// Rename a dataset that is in the way
    Rename,
    /// Destroy snapshots and datasets
    Destroy,
    /// Let received volumes have device nodes (--volmode inherit)
    Volmode,
    /// Hand a package of several snapshots to one zfs receive: faster, and only for a sender that is trusted with all of the pool
    Packages,
    /// Store what arrives unencrypted below an encrypted dataset (--allow-unencrypted)
    Unencrypted,
    /// Let received datasets be writable and mountable (zfsync restore)
    Mountable,
    /// Read snapshots and tell checksums of what they hold (zfsync verify --content)
    Verify,
    /// Let a raw increment replace the wrapped encryption key of a copy (zfs change-key on the source)
    Rekey,
}

impl Allow {
    /// As it is written on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Rename => "rename",
            Self::Destroy => "destroy",
            Self::Volmode => "volmode",
            Self::Packages => "packages",
            Self::Unencrypted => "unencrypted",
            Self::Mountable => "mountable",
            Self::Verify => "verify",
            Self::Rekey => "rekey",
        }
    }
}
