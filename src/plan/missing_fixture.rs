//! What tests of what is missing at the source are made of: a source, and what the target has with its notes.

use std::collections::HashMap;

use super::fixture::{self, numbered as versions};
use super::missing::{Missing, MissingPolicy, Notes, When};
use super::{Filter, Negotiation, NotDestroyed, SourceDataset, TargetDataset};
use zfs::name::{DatasetName, Guid};
use zfs::{Tags, Versions};

pub fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

pub fn negotiation(source: &[(&str, &[(&str, u64)])], exclude: &[&str]) -> Negotiation {
    negotiation_with(source, exclude, &HashMap::new())
}

/// With the copies that these are.
pub fn negotiation_with(
    source: &[(&str, &[(&str, u64)])],
    exclude: &[&str],
    there: &HashMap<DatasetName, TargetDataset>,
) -> Negotiation {
    let top = name("a/s");
    let filter = Filter::new(None, &[], &exclude.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let dataset = |(path, snapshots): &(&str, &[(&str, u64)])| SourceDataset {
        path: name(&format!("a/s{path}")).below(&top).unwrap(),
        snapshots: versions(snapshots),
        bookmarks: Versions::default(),
        ..SourceDataset::default()
    };
    let (selected, unselected): (Vec<_>, Vec<_>) =
        source.iter().map(dataset).partition(|dataset| filter.selects(&dataset.path));
    let all = 0..selected.len();
    let mut negotiation = Negotiation::new(&top, &name("b/t"), selected, false)
        .with_tags(Tags::new("beta:22", Guid(1)))
        .with_surroundings(&filter, unselected);
    for index in all {
        // That nothing is in the way.
        negotiation.relist(index, None);
        let copy = negotiation.names(index).and_then(|(_, target)| there.get(target)).cloned();
        negotiation.relisted(index, copy);
    }
    negotiation
}

pub type Row<'a> = (&'a str, &'a [(&'a str, u64)], &'a str);
pub type There<'a> = &'a [Row<'a>];

/// The target's datasets with their snapshots, and what is noted: a [`Put`], or `p` for a placeholder. Behind `~` it is that of a first
/// receive that was cut.
pub fn there(all: There<'_>) -> (HashMap<DatasetName, TargetDataset>, HashMap<DatasetName, Notes>) {
    let (mut datasets, mut notes) = (HashMap::new(), HashMap::new());
    for (path, snapshots, note) in all {
        let full = name(&format!("b/t{path}"));
        let (unborn, note) = (note.starts_with('~'), note.trim_start_matches('~'));
        let empty = snapshots.is_empty() && !unborn;
        let dataset = TargetDataset { empty, unborn, partial: unborn, ..fixture::target(versions(snapshots)) };
        datasets.insert(full.clone(), dataset);
        let put = if note.contains('-') { note.parse() } else { format!("0-{note}").parse() };
        notes.insert(full, Notes { put: put.ok(), since: None, placeholder: note == "p" });
    }
    (datasets, notes)
}

pub fn both() -> MissingPolicy {
    MissingPolicy { datasets: true, snapshots: true, ..MissingPolicy::default() }
}

pub fn missing(source: &[(&str, &[(&str, u64)])], exclude: &[&str], target: There<'_>) -> Missing {
    let (datasets, notes) = there(target);
    negotiation_with(source, exclude, &datasets).missing(&datasets, &notes, &both(), When::Before)
}

pub fn goes(missing: &Missing) -> Vec<&str> {
    missing.datasets.iter().map(|doomed| doomed.dataset.as_str()).collect()
}

pub fn stay(missing: &Missing) -> Vec<(&str, &NotDestroyed)> {
    missing.stay.iter().map(|(name, why)| (name.as_str(), why)).collect()
}
