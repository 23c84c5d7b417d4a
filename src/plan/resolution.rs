//! What can be done about a conflict when the user says so, and what it costs. Deciding is pure; the helper carries it out,
//! if its own command line allows that.

use std::collections::BTreeSet;

use super::{Conflict, Plan, Step, Verdict};
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

impl Resolutions {
    /// What `--replace` names and will not be replaced, in words: by a slip another dataset may have been meant.
    #[must_use]
    pub fn idle(&self, plan: &Plan) -> Vec<String> {
        let idle = |name: &DatasetName| {
            let planned = plan.datasets.iter().find(|planned| planned.target == *name);
            match planned.map(|planned| &planned.verdict) {
                None | Some(Verdict::NoSnapshots | Verdict::InSync) => {
                    Some(format!("--replace '{name}': no such dataset is in conflict; ignored"))
                }
                Some(Verdict::Send(_) | Verdict::FillEmpty(_)) => Some(format!(
                    "--replace '{name}': it is not in conflict, and ignored unless the receive is refused"
                )),
                // It is used, or something else is told of the dataset.
                _ => None,
            }
        };
        self.replace.iter().filter_map(idle).collect()
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
