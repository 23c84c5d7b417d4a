//! The dates of the snapshots in conflicts: asked for only where a conflict is shown, as `creation` is a slow column.

use std::collections::HashMap;
use std::time::Duration;

use super::ask::Asker;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Conflict, PlannedDataset, Verdict};
use zfs::name::SnapshotName;

fn conflict(planned: &PlannedDataset) -> Option<&Conflict> {
    match &planned.verdict {
        Verdict::Conflict(conflict) => Some(conflict),
        Verdict::Resolve(solvable) => Some(&solvable.conflict),
        _ => None,
    }
}

fn conflict_mut(planned: &mut PlannedDataset) -> Option<&mut Conflict> {
    match &mut planned.verdict {
        Verdict::Conflict(conflict) => Some(conflict),
        Verdict::Resolve(solvable) => Some(&mut solvable.conflict),
        _ => None,
    }
}

/// Fills in the dates of this machine's snapshots; without them a conflict is told all the same.
pub async fn here(sender: &Endpoint, stall: Option<Duration>, datasets: &mut [PlannedDataset]) {
    let wanted = |planned: &PlannedDataset| {
        let names = conflict(planned).map(|conflict| conflict.wants_dates().0);
        names.unwrap_or_default().into_iter().map(|name| planned.source.at(name.as_str())).collect::<Vec<_>>()
    };
    let names: Vec<String> = datasets.iter().flat_map(wanted).collect();
    if names.is_empty() {
        return;
    }
    let dates: HashMap<String, i64> = sender.dates(&names, stall).await.unwrap_or_default().into_iter().collect();
    for planned in datasets {
        let source = planned.source.clone();
        let Some(conflict) = conflict_mut(planned) else { continue };
        let found = conflict
            .wants_dates()
            .0
            .into_iter()
            .filter_map(|name| dates.get(&source.at(name.as_str())).map(|date| (name.clone(), *date)));
        conflict.dates_here = found.collect();
    }
}

/// The target's snapshots whose dates are to be asked for.
pub fn wanted_there(planned: &PlannedDataset) -> Vec<SnapshotName> {
    conflict(planned).map(|conflict| conflict.wants_dates().1.into_iter().cloned().collect()).unwrap_or_default()
}

/// Takes the target's answer, by the place in `names`.
pub fn there(planned: &mut PlannedDataset, names: &[SnapshotName], found: &[(u32, i64)]) {
    let Some(conflict) = conflict_mut(planned) else { return };
    let found = found.iter().filter_map(|(place, date)| Some((names.get(*place as usize)?.clone(), *date)));
    conflict.dates_there = found.collect();
}

/// Fills in all dates of the conflicts that are known before the run, with one question to each side.
pub async fn fill(sender: &Endpoint, asker: &mut Asker<'_>, datasets: &mut [PlannedDataset]) -> Result<(), StartError> {
    here(sender, asker.stall(), datasets).await;
    let wanted: Vec<(usize, SnapshotName)> = datasets
        .iter()
        .enumerate()
        .flat_map(|(at, planned)| wanted_there(planned).into_iter().map(move |name| (at, name)))
        .collect();
    let names: Vec<String> = wanted.iter().map(|(at, name)| datasets[*at].target.at(name.as_str())).collect();
    for (place, date) in asker.dates(&names).await? {
        let Some((at, name)) = wanted.get(place as usize) else { continue };
        if let Some(conflict) = conflict_mut(&mut datasets[*at]) {
            conflict.dates_there.insert(name.clone(), date);
        }
    }
    Ok(())
}
