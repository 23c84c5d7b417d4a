//! Gets a conflict out of the way, as the user has said. Everything is checked again right before: the plan is some
//! moments old, and what goes here is gone.

use std::io::{BufRead, Read};

use super::query::properties;
use super::run::{read, run};
use super::whole::{check_mounts, destroy_snapshots, destroy_whole};
use crate::name::{DatasetName, Guid, SnapshotName};
use crate::{Facts, Note, Pinned, Property, Refusal, Zfs, read_facts, read_marks, read_pinned};
use crate::{Failure, has_clones};
use crate::{Resolution, Restore};

/// Carries a resolution out, or only checks whether that can be done (`dry_run`); the warning says what is not as it should be although
/// nothing is lost.
pub(super) fn carry_out(zfs: &Zfs, resolution: &Resolution, dry_run: bool) -> Result<Option<String>, Failure> {
    match resolution {
        Resolution::Rollback { dataset, to, to_guid, loses } => {
            can_roll_back(zfs, dataset, to, *to_guid, loses)?;
            if !dry_run {
                clear_partial(zfs, dataset)?;
                run(zfs.rollback(dataset, to), |_| Ok(()))?;
            }
            Ok(None)
        }
        Resolution::SetAside { dataset, aside, restore, top } => {
            can_set_aside(zfs, restore)?;
            if dry_run { Ok(None) } else { set_aside(zfs, dataset, aside, restore, *top) }
        }
        Resolution::Replace { dataset, loses, whole } => {
            let all = can_replace(zfs, dataset, loses, *whole)?;
            if !dry_run {
                replace(zfs, dataset, &all)?;
            }
            Ok(None)
        }
    }
}

fn can_roll_back(
    zfs: &Zfs,
    dataset: &DatasetName,
    to: &SnapshotName,
    guid: Guid,
    loses: &[Guid],
) -> Result<(), Failure> {
    let all = pinned(zfs, dataset)?;
    let Some(base) = all.iter().find(|snapshot| snapshot.name == *to && snapshot.guid == guid) else {
        return Err(changed(&format!("'{dataset}' no longer has the snapshot @{to} to roll back to")));
    };
    let newer: Vec<&Pinned> = all.iter().filter(|snapshot| snapshot.txg > base.txg).collect();
    check_losses(zfs, dataset, &newer, loses)
}

fn can_set_aside(zfs: &Zfs, restore: &[Restore]) -> Result<(), Failure> {
    for one in restore {
        let there = pinned(zfs, &one.dataset)?;
        if !there.iter().any(|snapshot| snapshot.name == one.snapshot && snapshot.guid == one.guid) {
            return Err(changed(&format!("'{}' no longer has the snapshot @{}", one.dataset, one.snapshot)));
        }
    }
    Ok(())
}

fn set_aside(
    zfs: &Zfs,
    dataset: &DatasetName,
    aside: &DatasetName,
    restore: &[Restore],
    top: bool,
) -> Result<Option<String>, Failure> {
    run(zfs.rename(dataset, aside), |_| Ok(())).map_err(with_mounts)?;
    // From here on nothing can be lost; what can't be cloned is received in full.
    let mut warnings = Vec::new();
    for one in restore {
        let Some(rest) = one.dataset.below(dataset) else { continue };
        let restored = aside.join(&rest).map_err(|error| Failure::new(Refusal::Other, &error.to_string()));
        let restored = restored.and_then(|from| bring_back(zfs, &from, one, top && one.dataset == *dataset));
        match restored {
            Ok(None) => {}
            Ok(Some((lacks, Failure { words, .. }))) => {
                warnings.push(format!("{} has come back without {lacks}, which {aside} has: {words}", one.dataset));
            }
            Err(Failure { words, .. }) => {
                warnings.push(format!("{} could not be brought back from {aside}: {words}", one.dataset));
            }
        }
    }
    Ok(Some(warnings.join("\n")).filter(|text| !text.is_empty()))
}

/// Says what to do where something can't be unmounted: it is in use, or a mount over it hides it.
fn with_mounts(mut why: Failure) -> Failure {
    let named = why.words.split_once("cannot unmount '").and_then(|(_, rest)| rest.split_once('\''));
    if let Some((place, _)) = named {
        let hint = match why.refusal {
            Refusal::Busy => {
                format!("; end what uses it on its host first: fuser -vm '{place}' and lsof '{place}' list that")
            }
            _ => {
                format!("; unmount it on its host first: zfs unmount '{place}' (and before it what is mounted over it)")
            }
        };
        why.words += &hint;
    }
    why
}

/// The clone comes first; promoted it has the snapshots, and what was set aside depends on it and not the other way round. Returns what
/// it lacks of what it had, and why.
fn bring_back(
    zfs: &Zfs,
    from: &DatasetName,
    restore: &Restore,
    top: bool,
) -> Result<Option<(String, Failure)>, Failure> {
    let Facts { kind, .. } = facts(zfs, from)?;
    let (all, mut why) = match records(zfs, from, top) {
        Ok(all) => (all, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let (mut kept, own) = (all.len(), all.partition_point(is_zfsyncs));
    // A delegated user may lack the permission for some of them: zfsync's own can do without the others.
    while let Err(refused) =
        run(zfs.clone_of(from, &restore.snapshot, &restore.dataset, kind, top, &all[..kept]), |_| Ok(()))
    {
        if kept == 0 {
            return Err(refused);
        }
        why = Some(refused);
        kept = if kept > own { own } else { 0 };
    }
    run(zfs.promote(&restore.dataset), |_| Ok(()))?;
    let mut lacks = String::from(if kept < own || all.is_empty() { "zfsync's records" } else { "" });
    for one in &all[kept.max(own)..] {
        lacks += if lacks.is_empty() { "" } else { ", " };
        lacks += &one.name;
    }
    Ok(why.map(|why| (lacks, why)))
}

fn is_zfsyncs(property: &Property) -> bool {
    property.name.starts_with("zfsync:")
}

/// What zfsync has recorded on a dataset as long as it is a copy: where it has come from, and its own targets. What was set aside
/// keeps that, as it is one too. That the source lacks it is no more true of what comes back. What keeps it asleep comes along: whether it
/// is read-only, unless that is set anyway (`top`), and whether a volume has device nodes; these stand last.
fn records(zfs: &Zfs, dataset: &DatasetName, top: bool) -> Result<Vec<Property>, Failure> {
    let mut said = Vec::new();
    run(zfs.set_properties(dataset), |mut output| Ok(output.read_to_end(&mut said).map(drop)?))?;
    let is_record = |one: &Property| {
        let is_kept = match one.name.as_str() {
            "readonly" => !top,
            "volmode" => true,
            name => is_zfsyncs(one) && name != Note::MissingSince.property(),
        };
        is_kept && one.on == *dataset
    };
    let kept = properties(&said, dataset).into_iter().filter(is_record);
    let (mut own, others): (Vec<_>, Vec<_>) = kept.partition(is_zfsyncs);
    own.extend(others);
    Ok(own)
}

fn below(zfs: &Zfs, dataset: &DatasetName) -> Result<usize, Failure> {
    read(zfs.list_below(dataset), |output| Ok(output.lines().count().saturating_sub(1)))
}

/// What goes.
fn can_replace(zfs: &Zfs, dataset: &DatasetName, loses: &[Guid], whole: bool) -> Result<Vec<Pinned>, Failure> {
    if whole && below(zfs, dataset)? > 0 {
        let words = format!(
            "'{dataset}' has datasets below it, and as one side is encrypted, ZFS could not receive into the emptied dataset: \
             nothing was changed (move it out of the way with zfs rename)"
        );
        return Err(Failure::new(Refusal::Exists, &words));
    }
    let all = pinned(zfs, dataset)?;
    check_losses(zfs, dataset, &all.iter().collect::<Vec<_>>(), loses)?;
    Ok(all)
}

fn replace(zfs: &Zfs, dataset: &DatasetName, all: &[Pinned]) -> Result<(), Failure> {
    clear_partial(zfs, dataset)?;
    // With its first receive cut, that was all of it.
    if let Err(Failure { refusal: Refusal::Missing, .. }) = facts(zfs, dataset) {
        return Ok(());
    }
    if below(zfs, dataset)? > 0 {
        check_mounts(dataset)?;
        destroy_snapshots(zfs, dataset, all)?;
        // What takes its place has another history: a bookmark would tell that what is sent from it has these snapshots' content.
        let marks = read(zfs.list_bookmarks(dataset), |output| read_marks(output, dataset))?;
        return marks.iter().try_for_each(|mark| run(zfs.destroy_bookmark(dataset, mark), |_| Ok(())));
    }
    destroy_whole(zfs, &facts(zfs, dataset)?, all)
}

/// Refuses what the user wasn't told of, and what ZFS would refuse in the middle.
pub(super) fn check_losses(zfs: &Zfs, dataset: &DatasetName, going: &[&Pinned], told: &[Guid]) -> Result<(), Failure> {
    if let Some(unknown) = going.iter().find(|snapshot| !told.contains(&snapshot.guid)) {
        let name = &unknown.name;
        return Err(changed(&format!("'{dataset}' now has the snapshot @{name}, whose loss was not confirmed")));
    }
    if let Some(held) = going.iter().find(|snapshot| snapshot.holds > 0) {
        let tags = run(zfs.holds(dataset, &held.name), |output| {
            let mut text = String::new();
            output.take(16 * 1024).read_to_string(&mut text)?;
            Ok(text.lines().filter_map(|line| line.split('\t').nth(1)).map(ToOwned::to_owned).collect::<Vec<_>>())
        });
        let (name, tags) = (format!("'{dataset}@{}'", held.name), tags.unwrap_or_default());
        let by = if tags.is_empty() { String::new() } else { format!(" by {}", tags.join(", ")) };
        // Anybody's tag is part of a command that may be copied.
        let is_plain = |tag: &&String| tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:".contains(&byte));
        let tag = tags.first().filter(is_plain).map_or("TAG", String::as_str);
        let words = format!("{name} is held{by}: nothing was changed; if it may go: zfs release {tag} {name}");
        return Err(Failure::new(Refusal::Held, &words));
    }
    if let Some((name, clones)) =
        going.iter().find_map(|snapshot| snapshot.clones.as_ref().map(|clones| (&snapshot.name, clones)))
    {
        let words = format!("'{dataset}@{name}' {}: nothing was changed", has_clones(clones));
        return Err(Failure::new(Refusal::HasClones, &words));
    }
    Ok(())
}

/// The rest of a cut receive is in the way of everything else.
pub(super) fn clear_partial(zfs: &Zfs, dataset: &DatasetName) -> Result<(), Failure> {
    if facts(zfs, dataset)?.token.is_none() {
        return Ok(());
    }
    run(zfs.clear_partial(dataset), |_| Ok(()))
}

pub(super) fn facts(zfs: &Zfs, dataset: &DatasetName) -> Result<Facts, Failure> {
    let all = read(zfs.facts(std::slice::from_ref(dataset)), read_facts)?;
    all.into_iter()
        .next()
        .ok_or_else(|| Failure::new(Refusal::Missing, &format!("'{dataset}': dataset does not exist")))
}

pub(super) fn pinned(zfs: &Zfs, dataset: &DatasetName) -> Result<Vec<Pinned>, Failure> {
    read(zfs.list_pinned(dataset), read_pinned)
}

pub(super) fn changed(words: &str) -> Failure {
    Failure::new(Refusal::Changed, words)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
