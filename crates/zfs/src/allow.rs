//! What a helper may be allowed to do.

/// What a helper may do beside receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allow {
    /// Roll a dataset back to a snapshot
    Rollback,
    /// Rename a dataset that is in the way
    Rename,
    /// Destroy snapshots and datasets
    Destroy,
    /// Take snapshots of a source (zfsync cron)
    Snapshot,
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
    /// What a helper may that sends.
    pub const OF_A_SOURCE: [Self; 3] = [Self::Snapshot, Self::Destroy, Self::Verify];

    /// What a helper may that receives.
    pub const OF_A_TARGET: [Self; 9] = [
        Self::Rollback,
        Self::Rename,
        Self::Destroy,
        Self::Volmode,
        Self::Packages,
        Self::Unencrypted,
        Self::Mountable,
        Self::Verify,
        Self::Rekey,
    ];

    /// As it is written on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
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
