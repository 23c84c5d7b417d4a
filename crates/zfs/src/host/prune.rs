//! Destroys snapshots that nobody needs any more: only those that were named, are still the same, and that nothing pins.

use std::collections::{HashMap, HashSet};

use super::records::Records;
use super::run::{read, run, run_listing};
use crate::name::{DatasetName, Guid, RelPath, SnapshotName, Txg};
use crate::{Failure, Pruned, has_clones};
use crate::{Inventory, KnownTarget, Tag, is_our_bookmark, known_targets};
use crate::{Pinned, Refusal, Zfs, read_marks, read_pinned, read_reclaimed, read_source};

/// Most snapshots in one call.
pub const MAX_PRUNE: usize = 2000;

/// Begins the reason why a copy's snapshot stays for the sake of a target of its own; what tells of that target follows.
pub const NEEDED_FURTHER: &str = "may be needed by the target of its ";

/// So many bytes of names go into one command.
const BATCH: usize = 64 * 1024;

/// Destroys those of these snapshots that are still the same and have neither holds nor clones; or (`dry_run`) tells what
/// that would free. One that is gone already counts for nothing.
pub fn prune(
    zfs: &Zfs,
    dataset: &DatasetName,
    snapshots: &[(SnapshotName, Guid)],
    dry_run: bool,
) -> Result<Pruned, Failure> {
    if snapshots.len() > MAX_PRUNE {
        return Err(Failure::new(Refusal::Other, &format!("more than {MAX_PRUNE} snapshots in one request")));
    }
    let mut pruned = Pruned::default();
    let mut rest = snapshots;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|(name, _)| {
            bytes += dataset.as_str().len() + name.as_str().len() + 2;
            bytes <= BATCH
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let free = unpinned(zfs, dataset, now, &mut pruned)?;
        destroy(zfs, dataset, &free, dry_run, &mut pruned)?;
        rest = later;
    }
    Ok(pruned)
}

/// The same on a copy, which may be the source of another: what its own targets lack stays, as its bookmarks and records tell.
pub(super) fn prune_copy(
    zfs: &Zfs,
    records: &Records,
    dataset: &DatasetName,
    snapshots: &[(SnapshotName, Guid)],
    dry_run: bool,
) -> Result<Pruned, Failure> {
    let needed = needed_further(zfs, records, dataset)?;
    let Some((kept, by)) = needed else { return prune(zfs, dataset, snapshots, dry_run) };
    let (stay, go): (Vec<_>, Vec<_>) = snapshots.iter().cloned().partition(|(_, guid)| kept.contains(guid));
    let mut pruned = prune(zfs, dataset, &go, dry_run)?;
    let why = format!("{NEEDED_FURTHER}{by}");
    pruned.pinned.extend(stay.into_iter().map(|(name, _)| (name, why.clone())));
    Ok(pruned)
}

/// The snapshots of a dataset that a target of its own may lack, and what tells so.
fn needed_further(
    zfs: &Zfs,
    records: &Records,
    dataset: &DatasetName,
) -> Result<Option<(HashSet<Guid>, String)>, Failure> {
    let marks = read(zfs.list_bookmarks(dataset), |output| read_marks(output, dataset))?;
    let records = records.of(zfs, dataset)?;
    if records.is_empty() && !marks.iter().any(|mark| is_our_bookmark(mark.as_str())) {
        return Ok(None);
    }
    let listed = read(zfs.list_source(dataset, Some(0)), |output| read_source(output, dataset))?;
    let listed = listed.into_iter().find(|one| one.path == RelPath::default());
    let Some(Inventory { snapshots, bookmarks, .. }) = listed else { return Ok(None) };
    // Nobody can tell whether a bookmark whose snapshot is gone still belongs to the history: it speaks for all of them.
    let place = |known: &KnownTarget<'_>| {
        let has = known.has.filter(|mark| snapshots.iter().any(|snapshot| snapshot.guid == mark.guid));
        has.map_or(Txg(0), |mark| mark.txg)
    };
    let known = known_targets(&bookmarks);
    let by_mark =
        known.iter().map(|known| (place(known), format!("bookmark #{}", known.has.unwrap_or(known.newest).name)));
    // A rollback destroys bookmarks, and leaves records.
    let has_mark = |tag: &Tag| known.iter().any(|known| tag.is(&known.tag));
    let lost = records.iter().filter(|(_, tag)| !tag.as_ref().is_some_and(has_mark));
    let by_record = lost.map(|(property, _)| (Txg(0), format!("record {property}")));
    let Some((since, by)) = by_mark.chain(by_record).min_by_key(|(since, _)| *since) else { return Ok(None) };
    let kept = snapshots.iter().filter(|snapshot| snapshot.txg >= since).map(|snapshot| snapshot.guid).collect();
    Ok(Some((kept, by)))
}

/// Those that can go; the others are taken note of.
fn unpinned<'a>(
    zfs: &Zfs,
    dataset: &DatasetName,
    snapshots: &'a [(SnapshotName, Guid)],
    pruned: &mut Pruned,
) -> Result<Vec<&'a SnapshotName>, Failure> {
    let names: Vec<String> = snapshots.iter().map(|(name, _)| dataset.at(name.as_str())).collect();
    let listed = run_listing(zfs.pins_of(&names), read_pinned)?;
    let listed: HashMap<&str, &Pinned> = listed.iter().map(|pinned| (pinned.name.as_str(), pinned)).collect();
    let mut free = Vec::with_capacity(snapshots.len());
    for (name, guid) in snapshots {
        let Some(there) = listed.get(name.as_str()).filter(|there| there.guid == *guid) else {
            pruned.absent.push(name.clone());
            continue;
        };
        match (there.holds, &there.clones) {
            (0, None) => free.push(name),
            (0, Some(clones)) => pruned.pinned.push((name.clone(), has_clones(clones))),
            _ => pruned.pinned.push((name.clone(), "is held (see zfs holds)".into())),
        }
    }
    Ok(free)
}

/// All in one transaction; when that fails, because one of them has come into use meanwhile, one by one.
fn destroy(
    zfs: &Zfs,
    dataset: &DatasetName,
    names: &[&SnapshotName],
    dry_run: bool,
    pruned: &mut Pruned,
) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    match run(zfs.reclaim_snapshots(dataset, names, dry_run), read_reclaimed) {
        Ok(freed) => {
            pruned.destroyed += names.len();
            pruned.freed += freed;
            Ok(())
        }
        Err(why) if matches!(why.refusal, Refusal::Permission | Refusal::ReadOnly | Refusal::Suspended) => Err(why),
        Err(why) if names.len() == 1 => {
            // Gone is what was wanted.
            if why.refusal == Refusal::Missing {
                pruned.absent.push(names[0].clone());
            } else {
                pruned.pinned.push((names[0].clone(), why.words));
            }
            Ok(())
        }
        Err(_) => names.iter().try_for_each(|name| destroy(zfs, dataset, &[name], dry_run, pruned)),
    }
}
