//! What is known of the host that a connection leads to: all of its sessions are on the same one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Sessions;

/// What sessions have found out, for those that come later.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// It has no zfsync that can be used: the next session needn't look for it.
    no_helper: AtomicBool,
    /// It runs no helper at all, not even one that is sent.
    zfs_alone: AtomicBool,
    /// What it has told of itself where that is so.
    told: OnceLock<String>,
}

impl Sessions {
    /// Whether it is known that no zfsync of use is installed there.
    #[must_use]
    pub fn without_helper(&self) -> bool {
        self.known.no_helper.load(Ordering::Relaxed)
    }

    /// No zfsync of use is installed there.
    pub fn has_no_helper(&self) {
        self.known.no_helper.store(true, Ordering::Relaxed);
    }

    /// Whether it is known that no helper can run there.
    #[must_use]
    pub fn runs_zfs_alone(&self) -> bool {
        self.known.zfs_alone.load(Ordering::Relaxed)
    }

    /// No helper can run there; whether that is news.
    #[must_use]
    pub fn has_zfs_alone(&self) -> bool {
        !self.known.zfs_alone.swap(true, Ordering::Relaxed)
    }

    /// What it tells of itself, once somebody has asked.
    #[must_use]
    pub fn told(&self) -> &OnceLock<String> {
        &self.known.told
    }
}
