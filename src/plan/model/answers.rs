//! What the model's sides answer when they are asked: listings, questions by name, facts.

use std::collections::HashMap;

use super::{Dataset, ModelHost, Report, versions};
use crate::plan::{Ask, Doubt, Negotiation, Notes, Proof, Proofs, SourceDataset, SourceFacts, TargetDataset};
use zfs::name::{DatasetName, Guid, RelPath, Txg};
use zfs::{BaseFacts, Encryption, Put};

/// Answers a question as `exec` does; `between` may change the target before each that goes there by name.
pub(super) fn answer(
    ask: Ask,
    negotiation: &mut Negotiation,
    source: &ModelHost,
    target: &mut ModelHost,
    between: &mut dyn FnMut(&mut ModelHost),
    report: &mut Report,
) {
    match ask {
        Ask::Names(names) => {
            report.rounds += 1;
            between(target);
            negotiation.answers(&target.answer(&names));
        }
        // The model's target is nobody's source.
        Ask::Origins(_) => {}
        Ask::OnlyThere => between(target),
        Ask::List(datasets) => {
            report.listed += datasets.len();
            let listed = datasets.into_iter().filter_map(|name| Some((name.clone(), target.list_target(&name)?)));
            negotiation.listed(listed.collect());
        }
        Ask::Proofs(doubts) => _ = negotiation.proofs(all_hold(doubts)),
        Ask::Below(asked) => {
            for top in asked {
                let names = target.datasets.keys().filter(|name| name.is_within(&top));
                negotiation.below(&top, &names.cloned().collect::<Vec<_>>());
            }
        }
        Ask::Records(datasets) => {
            // Nobody else replicates to the model's target.
            let came = target.datasets.iter().filter(|(_, dataset)| dataset.came);
            let put = |name: &DatasetName| {
                let at = name.below(&negotiation.target).map(|path| zfs::place(&path));
                Put { at, ..put() }
            };
            let notes: HashMap<_, _> =
                came.map(|(name, _)| (name.clone(), Notes { put: Some(put(name)), ..Notes::default() })).collect();
            let top = negotiation.source.clone();
            negotiation.records(datasets, &notes, |source| if *source == top { BY } else { !BY });
        }
        Ask::Vacancy(name) => negotiation.vacant(name.clone(), !target.datasets.contains_key(&name)),
        Ask::Facts { snapshots, .. } => {
            let encrypted = source.datasets.values().any(|dataset| dataset.raw);
            negotiation.facts(&source.facts(&negotiation.wants_facts(encrypted)));
            negotiation.written(&source.written(&snapshots));
        }
        Ask::MoreFacts(datasets) => negotiation.facts(&source.facts(&datasets)),
        Ask::Holders(holders) => {
            let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
            negotiation.holders(&holders, target.bases(&names));
        }
        Ask::Bases(wanted) => {
            let names: Vec<String> = wanted.iter().map(|(_, name)| name.clone()).collect();
            negotiation.bases(&wanted, target.bases(&names));
        }
        // The model has no IV sets.
        Ask::IvSets(_) => negotiation.iv_sets(&[]),
        Ask::SharersBelow(_) => negotiation.sharers_below(Some(target.datasets.keys().cloned().collect())),
        Ask::History(pairs) => negotiation.history(&pairs, &[], &[]),
    }
}

/// Stands in records for the model's only source.
const BY: u32 = 1;

/// What it leaves behind.
fn put() -> Put {
    Put { by: BY, at: None, upto: Guid(1), txg: None, came: Vec::new(), foreign: Vec::new(), missing: Some(Vec::new()) }
}

/// In the model no receive takes a source back behind its bookmarks.
pub(super) fn all_hold(doubts: Vec<Doubt>) -> Proofs {
    let hold = |doubt: Doubt| (doubt.index, doubt.marks.into_iter().map(|(guid, _)| (guid, Proof::Holds)).collect());
    doubts.into_iter().map(hold).collect()
}

impl ModelHost {
    /// What the source's listing gives, in an order that means nothing.
    pub fn list_source(&self, top: &DatasetName, selects: &dyn Fn(&RelPath) -> bool) -> Vec<SourceDataset> {
        let within = self.datasets.iter().rev().filter_map(|(name, dataset)| Some((name.below(top)?, dataset)));
        let selected = within.filter(|(path, _)| selects(path));
        let source = |(path, dataset): (RelPath, &Dataset)| SourceDataset {
            path,
            snapshots: versions(&dataset.snapshots),
            bookmarks: versions(&dataset.bookmarks),
            ..SourceDataset::default()
        };
        selected.map(source).collect()
    }

    /// The helper's answers to questions by name.
    pub fn answer(&self, names: &[String]) -> Vec<(u32, Guid, Txg)> {
        let find = |name: &str| {
            let (dataset, snapshot) = name.split_once('@').map_or((name, None), |(name, snap)| (name, Some(snap)));
            let found = self.datasets.get(&dataset.parse::<DatasetName>().unwrap())?;
            let Some(snapshot) = snapshot else { return Some((Guid(u64::MAX), Txg(1))) };
            let snap = found.snapshots.iter().find(|snap| snap.name == snapshot)?;
            Some((Guid(snap.guid), Txg(snap.txg)))
        };
        (0..).zip(names).filter_map(|(place, name)| find(name).map(|(guid, txg)| (place, guid, txg))).collect()
    }

    /// What the target's datasets say of these snapshots of theirs, or of themselves.
    pub fn bases(&self, names: &[String]) -> Vec<(u32, BaseFacts)> {
        let say = |name: &String| {
            let (dataset, snapshot) =
                name.split_once('@').map_or((name.as_str(), None), |(name, snap)| (name, Some(snap)));
            let name: DatasetName = dataset.parse().unwrap();
            let dataset = self.datasets.get(&name)?;
            let written = match snapshot {
                None => None,
                Some(snapshot) => {
                    let base = dataset.snapshots.iter().find(|snap| snap.name == snapshot)?;
                    Some(u64::from(base.data != dataset.data))
                }
            };
            let encryption_root = dataset.raw.then_some(name);
            Some(BaseFacts { written, iv_set: None, encryption_root, key_loaded: true })
        };
        (0..).zip(names).filter_map(|(place, name)| Some((place, say(name)?))).collect()
    }

    /// `written` of snapshots: that of the first is never 0, as it has what every dataset is born with.
    pub fn written(&self, names: &[String]) -> Vec<(String, u64)> {
        let written = |name: &String| {
            let (dataset, snapshot) = name.split_once('@').unwrap();
            let snapshots = &self.datasets[&dataset.parse::<DatasetName>().unwrap()].snapshots;
            let at = snapshots.iter().position(|snap| snap.name == snapshot)?;
            let changed = at.checked_sub(1).is_none_or(|before| snapshots[before].data != snapshots[at].data);
            Some((name.clone(), u64::from(changed)))
        };
        names.iter().filter_map(written).collect()
    }

    pub fn list_target(&self, name: &DatasetName) -> Option<TargetDataset> {
        let dataset = self.datasets.get(name)?;
        let (kind, partial, empty) = (dataset.kind, dataset.partial, dataset.is_empty());
        Some(TargetDataset {
            kind,
            partial,
            resume: None,
            unborn: false,
            empty,
            unsure: None,
            written: None,
            encryption: if dataset.raw { Encryption::Root } else { Encryption::Off },
            snapshots: versions(&dataset.snapshots),
        })
    }

    pub fn facts(&self, names: &[DatasetName]) -> HashMap<DatasetName, SourceFacts> {
        let fact = |name: &DatasetName| {
            let dataset = self.datasets.get(name)?;
            Some((name.clone(), SourceFacts { kind: dataset.kind, encrypted: dataset.raw, root_up: 0 }))
        };
        names.iter().filter_map(fact).collect()
    }
}
