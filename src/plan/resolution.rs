//! What can be done about a conflict when the user says so, and what it costs. Deciding is pure; the helper carries it out,
//! if its own command line allows that.

use std::collections::BTreeSet;

use super::{Conflict, Step};
use zfs::Resolution;
use zfs::name::DatasetName;

/// What the user allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolutions {
    /// `--rollback`.
    pub rollback: bool,
    /// `--set-aside`.
    pub set_aside: bool,
    /// `--replace`: these datasets of the target.
    pub replace: BTreeSet<DatasetName>,
}

impl Resolutions {
    /// Whether anything is allowed.
    #[must_use]
    pub fn any(&self) -> bool {
        self.rollback || self.set_aside || !self.replace.is_empty()
    }

    /// Whether a resolution can move or destroy what lies below the dataset in conflict, so that datasets have to wait for
    /// those above them.
    #[must_use]
    pub fn touch_below(&self) -> bool {
        self.set_aside || !self.replace.is_empty()
    }
}

/// A conflict that the user has allowed to be solved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solvable {
    /// The conflict.
    pub conflict: Conflict,
    /// What is done about it.
    pub resolution: Resolution,
    /// The steps that will follow, as far as can be told before; only for showing.
    pub then: Vec<Step>,
}
