//! What a helper destroys or moves for a sender goes into the system's log, in lines that name all of it: whoever watches over the
//! target need not ask the sender.

use std::collections::HashSet;

use crate::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::{Answer, Query, Receive, Refusal, Resolution};

/// So many bytes of names go into one line: what stands before them has room too.
const NAMES: usize = 600;

/// Something that may be destroyed or moved by a request.
#[derive(Debug)]
pub(super) enum Deed {
    Prune(DatasetName, Vec<(SnapshotName, Guid)>),
    Other(String),
}

impl Deed {
    /// What a request would do; `None` where nothing can be lost.
    pub(super) fn of(request: &Request) -> Option<Self> {
        Some(Self::Other(match request {
            Request::Prune { dataset, snapshots, dry_run: false, .. }
            | Request::Query { query: Query::Prune { dataset, snapshots, dry_run: false }, .. } => {
                return Some(Self::Prune(dataset.clone(), snapshots.clone()));
            }
            Request::Destroy { dataset, snapshots, .. } => {
                format!("destroyed {dataset} with its {} snapshots", snapshots.len())
            }
            Request::Clear { dataset, .. } => format!("discarded the partially received state of {dataset}"),
            Request::Rename { rename, .. } => format!("renamed {} to {}", rename.from, rename.to),
            Request::Resolve { resolution: Resolution::Rollback { dataset, to, loses, .. }, .. } => {
                format!("rolled {dataset} back to @{to}, which destroyed {} snapshots", loses.len())
            }
            Request::Resolve { resolution: Resolution::Replace { dataset, loses, .. }, .. } => {
                format!("destroyed {dataset}, or its content, with {} snapshots", loses.len())
            }
            Request::Resolve { resolution: Resolution::SetAside { dataset, aside, .. }, .. } => {
                format!("renamed {dataset} to {aside}")
            }
            _ => return None,
        }))
    }

    /// What a receive has taken the place of.
    pub(super) fn of_receive(receive: &Receive) -> Option<Self> {
        (receive.into_empty || receive.overwrite)
            .then(|| Self::Other(format!("replaced the content of {} (zfs receive -F)", receive.dataset)))
    }

    /// What is to be logged of it, by the answer.
    pub(super) fn lines(&self, reply: &Reply) -> Vec<String> {
        match (self, reply) {
            (_, Reply::Done { failure: Some(failure), .. }) if checked_before(failure.refusal) => Vec::new(),
            (
                Self::Prune(dataset, asked),
                Reply::Pruned { pruned, .. } | Reply::Answer { part: Answer::Pruned(pruned), .. },
            ) => {
                let stay: HashSet<&SnapshotName> =
                    pruned.pinned.iter().map(|(name, _)| name).chain(&pruned.absent).collect();
                let gone: Vec<&SnapshotName> =
                    asked.iter().map(|(name, _)| name).filter(|name| !stay.contains(name)).collect();
                snapshot_lines(dataset, &gone)
            }
            (Self::Prune(dataset, asked), Reply::Done { failure: Some(failure), .. }) => {
                let (count, words) = (asked.len(), &failure.words);
                vec![format!("destroyed not all of {count} snapshots of {dataset}, perhaps none: {words}")]
            }
            (Self::Other(text), Reply::Done { failure: None, .. }) => vec![text.clone()],
            // Several commands may stand behind one request.
            (Self::Other(text), Reply::Done { failure: Some(failure), .. }) => {
                vec![format!("a request failed that would have {text}: {}", failure.words)]
            }
            _ => Vec::new(),
        }
    }
}

/// Nothing was touched.
fn checked_before(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::NotAllowed | Refusal::Changed | Refusal::Held | Refusal::HasClones)
}

fn snapshot_lines(dataset: &DatasetName, gone: &[&SnapshotName]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut bytes = usize::MAX;
    for name in gone {
        if bytes.saturating_add(name.as_str().len()) > NAMES {
            lines.push(format!("destroyed of {dataset}:"));
            bytes = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(" @");
            line.push_str(name.as_str());
        }
        bytes += name.as_str().len() + 2;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::{Failure, Pruned};

    fn failed() -> Reply {
        let failure = Failure { refusal: Refusal::Busy, words: "dataset is busy".into() };
        Reply::Done { id: 1, failure: Some(failure), warning: None }
    }

    #[test]
    fn all_that_is_gone_is_named_and_nothing_else() {
        let names: Vec<SnapshotName> = (0..100).map(|at| format!("241101-{at:06}_D").parse().unwrap()).collect();
        let snapshots = names.iter().map(|name| (name.clone(), Guid(1))).collect();
        let prune = |dry_run| Request::Prune { id: 1, dataset: "b/x".parse().unwrap(), snapshots, dry_run };
        let deed = Deed::of(&prune(false)).unwrap();
        let pinned = vec![(names[3].clone(), "is held".to_owned())];
        let pruned = Pruned { destroyed: 98, pinned, absent: vec![names[5].clone()], ..Pruned::default() };
        let lines = deed.lines(&Reply::Pruned { id: 1, pruned });
        let told: Vec<&str> = lines.iter().flat_map(|line| line.split(" @").skip(1)).collect();
        let gone: Vec<&str> = (0..100).filter(|at| ![3, 5].contains(at)).map(|at| names[at].as_str()).collect();
        assert_eq!(told, gone);
        assert!(
            lines.len() > 2 && lines.iter().all(|line| line.starts_with("destroyed of b/x: @") && line.len() < 700)
        );
        assert!(deed.lines(&failed())[0].starts_with("destroyed not all of 100 snapshots of b/x"));
    }

    #[test]
    fn other_deeds_are_told_when_they_are_done() {
        let clear = Deed::of(&Request::Clear { id: 1, dataset: "b/x".parse().unwrap() }).unwrap();
        let done = Reply::Done { id: 1, failure: None, warning: None };
        assert_eq!(clear.lines(&done), ["discarded the partially received state of b/x"]);
        assert!(clear.lines(&failed())[0].ends_with(": dataset is busy"));
        assert!(Deed::of(&Request::Probe { id: 1, dataset: "b/x".parse().unwrap() }).is_none());
    }
}
