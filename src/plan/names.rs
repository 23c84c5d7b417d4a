//! Names that are fine at the source and too long on the target, which has a longer one above them.

use super::SourceDataset;
use super::blocked::Blocked;
use super::item::Item;
use super::step::{BaseKind, Step};
use super::verdict::Verdict;
use zfs::name::{DatasetName, MAX_NAME};

/// A dataset of the source that can't be called so on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The source's dataset.
    pub source: DatasetName,
    /// What it would be called.
    pub target: String,
    /// Whether it has no snapshot, and so needn't be there.
    pub without_snapshots: bool,
}

impl Misfit {
    pub(super) fn new(source: DatasetName, target: &DatasetName, dataset: &SourceDataset) -> Self {
        let target = format!("{target}/{}", dataset.path.as_str());
        Self { source, target, without_snapshots: dataset.snapshots.is_empty() }
    }

    /// Why it can't be received.
    #[must_use]
    pub fn why(&self) -> Blocked {
        Blocked::NameTooLong { name: self.target.clone() }
    }
}

impl Item {
    /// Whether one of the snapshots that would arrive has a name that is too long. Before anything is given up for it.
    pub(super) fn name_too_long(&self, verdict: &Verdict) -> Option<Blocked> {
        let room = MAX_NAME.saturating_sub(self.target_name.as_str().len() + 1);
        let mut arriving = verdict.steps().iter().flat_map(|step| self.arriving(step));
        let long = arriving.find(|name| name.len() > room)?;
        Some(Blocked::NameTooLong { name: self.target_name.at(long) })
    }

    /// The names of the snapshots that a step brings.
    fn arriving(&self, step: &Step) -> impl Iterator<Item = &str> {
        let snapshots = &self.source.snapshots;
        let to = snapshots.iter().position(|version| version.guid == step.to_guid);
        let base = step.base.as_ref().filter(|base| step.intermediates && base.kind == BaseKind::Snapshot);
        let base = base.and_then(|base| snapshots.iter().position(|version| version.guid == base.guid));
        let first = base.map(|base| base + 1).or(to);
        let range = first.zip(to).map_or(0..0, |(first, to)| first..to + 1);
        range.filter_map(|at| snapshots.get(at).map(|version| version.name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::plan::Negotiation;
    use zfs::name::{Guid, Txg};

    fn dataset(path: &str, snapshots: &[&str]) -> SourceDataset {
        let top: DatasetName = "s".parse().unwrap();
        let name = if path.is_empty() { "s".to_owned() } else { format!("s/{path}") };
        let path = name.parse::<DatasetName>().unwrap().below(&top).unwrap();
        let mut dataset = SourceDataset { path, ..SourceDataset::default() };
        for (txg, name) in (1..).zip(snapshots) {
            dataset.snapshots.push(&name.parse().unwrap(), Guid(txg), Txg(txg));
        }
        dataset
    }

    fn verdicts(target: &str, datasets: Vec<SourceDataset>, newest_only: bool) -> Vec<Verdict> {
        let (source, target) = ("s".parse().unwrap(), target.parse().unwrap());
        let mut talk = Negotiation::new(&source, &target, datasets, newest_only);
        while !talk.questions().is_empty() {
            talk.answers(&[]);
        }
        talk.listed(HashMap::new());
        talk.plan().datasets.into_iter().map(|planned| planned.verdict).collect()
    }

    #[test]
    fn one_too_long_name_stops_itself_alone() {
        let (long, target) = ("x".repeat(200), format!("t/{}", "y".repeat(60)));
        let datasets = vec![
            dataset("", &["a"]),
            dataset(&long, &["a"]),
            dataset(&format!("{long}/k"), &[]),
            dataset("ok", &["a"]),
        ];
        let talk = Negotiation::new(&"s".parse().unwrap(), &target.parse().unwrap(), datasets.clone(), false);
        let plan = talk.plan();
        assert_eq!(plan.datasets.len(), 2);
        let told: Vec<(&str, bool)> =
            plan.misfits.iter().map(|one| (one.source.as_str(), one.without_snapshots)).collect();
        assert_eq!(told, [(&*format!("s/{long}"), false), (&*format!("s/{long}/k"), true)]);
        let why = plan.misfits[0].why().to_string();
        assert!(why.contains(&format!("{target}/{long}")) && why.contains("has 263 bytes; ZFS allows 255"), "{why}");
        assert!(verdicts(&target, datasets, false).iter().all(|verdict| matches!(verdict, Verdict::Send(_))));
    }

    #[test]
    fn only_a_snapshot_that_would_arrive_counts() {
        let (long, target) = ("z".repeat(200), format!("t/{}", "y".repeat(60)));
        let blocked = |snapshots: &[&str], newest_only| matches!(&verdicts(&target, vec![dataset("", snapshots)], newest_only)[..], [Verdict::Blocked(Blocked::NameTooLong { name })] if name.ends_with(&long));
        assert!(blocked(&["a", &long], false));
        assert!(blocked(&[&long], false));
        assert!(blocked(&["a", &long, "b"], false));
        assert!(!blocked(&["a", &long, "b"], true));
        assert!(!blocked(&["a", "b"], false));
    }
}
