//! What is to be done for one dataset. Each case has a name: neither "nothing to send" nor "not known" is an empty list of steps.

use std::ops::Deref;

use super::blocked::Blocked;
use super::contact::Withheld;
use super::{Conflict, Solvable, Step};
use zfs::Resolution;

/// What is said of a dataset whose verdict is still [`Verdict::Unresolved`] when the run begins. No negotiation that was gone through
/// ends so.
pub const UNRESOLVED: &str = "its state on the target could not be compared with the source: run again; if this happens again, it is a bug in zfsync";

/// What is to be done for one dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too little is known of the target: more must be asked, and until then nothing can be claimed.
    Unresolved,
    /// The source has nothing to send.
    NoSnapshots,
    /// The target has the source's newest snapshot.
    InSync,
    /// These steps, in this order.
    Send(Steps),
    /// These steps, the first a full stream into an existing dataset that is empty.
    FillEmpty(Steps),
    /// These steps, the first a full stream in place of what `--replace` has given up.
    Overwrite(Steps),
    /// Nothing can be done without losing something.
    Conflict(Conflict),
    /// The same, and the user has said how to get it out of the way.
    Resolve(Box<Solvable>),
    /// Nothing can be received, though nothing is in the way.
    Blocked(Blocked),
    /// Nothing is sent as TARGET may have been named by mistake.
    Withheld(Withheld),
}

impl Verdict {
    /// These steps by one of the cases that have some; unresolved if there are none.
    pub(super) fn with(case: impl FnOnce(Steps) -> Self, steps: Vec<Step>) -> Self {
        Steps::new(steps).map_or(Self::Unresolved, case)
    }

    /// The steps as far as they are known, those that follow on a resolution too; none where nothing will be sent.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::Send(steps) | Self::FillEmpty(steps) | Self::Overwrite(steps) => steps,
            Self::Resolve(solvable) => &solvable.then,
            Self::Unresolved
            | Self::NoSnapshots
            | Self::InSync
            | Self::Conflict(_)
            | Self::Blocked(_)
            | Self::Withheld(_) => &[],
        }
    }

    /// What is done about a conflict before these steps.
    pub(super) fn resolution(&self) -> Option<&Resolution> {
        match self {
            Self::Resolve(solvable) => Some(&solvable.resolution),
            _ => None,
        }
    }
}

/// The steps of one dataset in their order, one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps(Vec<Step>);

impl Steps {
    /// `None` if there are none.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self(steps))
    }
}

impl Deref for Steps {
    type Target = [Step];

    fn deref(&self) -> &[Step] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{self, placed as versions};
    use crate::plan::{Negotiation, SourceDataset, diff};

    use zfs::Kind;

    #[test]
    fn nothing_is_claimed_before_the_target_has_answered() {
        let source = SourceDataset { snapshots: versions(&[("a", 1, 1)]), ..SourceDataset::default() };
        let mut talk = Negotiation::new(&"p/s".parse().unwrap(), &"p/t".parse().unwrap(), vec![source], false);
        assert_eq!(talk.plan().datasets[0].verdict, Verdict::Unresolved, "nothing was asked yet");
        talk.relist(0, None);
        assert_eq!(talk.plan().datasets[0].verdict, Verdict::Unresolved, "it must be listed");
        assert_eq!(talk.plan().steps(), 0);
    }

    /// No dataset gets two snapshots in one transaction group; whatever claims so is not in sync.
    #[test]
    fn no_way_from_the_base_is_not_in_sync() {
        let source = SourceDataset {
            snapshots: versions(&[("new", 9, 5)]),
            bookmarks: versions(&[("mark", 5, 5)]),
            ..SourceDataset::default()
        };
        let target = fixture::target(versions(&[("old", 5, 1)]));
        assert_eq!(diff(&source, Kind::Filesystem, &target, None, false), Verdict::Unresolved);
    }
}
