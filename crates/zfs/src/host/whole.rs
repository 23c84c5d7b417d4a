//! Destroys a dataset with all its snapshots, or leaves it as it is. Snapshots go before their dataset, and only `zfs destroy` of the
//! dataset itself finds out that somebody uses it: so that is known, or tried, before a snapshot is gone.

use std::fs;
use std::io::Read;

use super::run::{read, run};
use crate::Failure;
use crate::Kind;
use crate::name::{DatasetName, SnapshotName};
use crate::{Facts, Pinned, Refusal, Zfs};

/// So many bytes of names go into one `zfs destroy`.
const BATCH: usize = 64 * 1024;

/// Destroys it: nothing lies below it, these are all its snapshots, and nothing pins them.
pub(super) fn destroy_whole(zfs: &Zfs, facts: &Facts, all: &[Pinned]) -> Result<(), Failure> {
    let dataset = &facts.name;
    match facts.kind {
        Kind::Filesystem => {
            check_mounts(dataset)?;
            if facts.mounted {
                run(zfs.unmount(dataset), |_| Ok(()))?;
            }
        }
        Kind::Volume if !all.is_empty() && may_be_open(zfs, dataset)? => return destroy_volume(zfs, dataset, all),
        Kind::Volume => {}
    }
    destroy_snapshots(zfs, dataset, all)?;
    run(zfs.destroy_bare(dataset), |_| Ok(()))
}

/// Destroys these snapshots of a dataset.
pub(super) fn destroy_snapshots(zfs: &Zfs, dataset: &DatasetName, all: &[Pinned]) -> Result<(), Failure> {
    let mut rest = all;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|snapshot| {
            bytes += snapshot.name.as_str().len() + 1;
            bytes <= BATCH
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let names: Vec<&SnapshotName> = now.iter().map(|snapshot| &snapshot.name).collect();
        run(zfs.destroy_snapshots(dataset, &names), |_| Ok(()))?;
        rest = later;
    }
    Ok(())
}

/// Refuses what is mounted in a namespace other than ours, such as a container's, as far as we may see that.
pub(super) fn check_mounts(dataset: &DatasetName) -> Result<(), Failure> {
    let Ok(processes) = fs::read_dir("/proc") else { return Ok(()) };
    let ours = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts(&ours, dataset) {
        return Ok(());
    }
    for process in processes.flatten() {
        let elsewhere = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
        if mounts(&elsewhere, dataset) {
            let words = format!(
                "'{dataset}' is mounted in another mount namespace, of process {}: nothing was changed",
                process.file_name().to_string_lossy()
            );
            return Err(Failure::new(Refusal::Busy, &words));
        }
    }
    Ok(())
}

/// Whether a table as in proc_pid_mountinfo(5) has this dataset.
fn mounts(table: &str, dataset: &DatasetName) -> bool {
    let source = dataset.as_str().replace(' ', "\\040");
    table.lines().filter_map(|line| line.split_once(" - zfs ")).any(|(_, rest)| rest.split(' ').next() == Some(&source))
}

/// Whether a volume has device nodes.
fn may_be_open(zfs: &Zfs, volume: &DatasetName) -> Result<bool, Failure> {
    let mode = read(zfs.get("volmode", volume), |output| {
        let mut text = String::new();
        output.take(100).read_to_string(&mut text)?;
        Ok(text)
    })?;
    Ok(mode.trim() != "none")
}

/// A clone takes the snapshots over; then the volume goes or proves to be in use, and in that case gets its snapshots back.
fn destroy_volume(zfs: &Zfs, volume: &DatasetName, all: &[Pinned]) -> Result<(), Failure> {
    let Some(newest) = all.iter().max_by_key(|snapshot| snapshot.txg) else { return Ok(()) };
    let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    // The name of what is set aside: killed in the midst, it is left alone.
    let keeper: DatasetName = format!("{volume}.zfsync-{stamp}")
        .parse()
        .map_err(|error: crate::name::NameError| Failure::new(Refusal::Other, &error.to_string()))?;
    run(zfs.keeper_of(volume, &newest.name, &keeper), |_| Ok(()))?;
    let left = |why: Failure, what: String| Failure::new(Refusal::Other, &format!("{}\n  {what}", why.words));
    if let Err(why) = run(zfs.promote(&keeper), |_| Ok(())) {
        let clone = |why| left(why, format!("its empty clone {keeper} remains: remove it with zfs destroy '{keeper}'"));
        run(zfs.destroy_bare(&keeper), |_| Ok(())).map_err(clone)?;
        return Err(why);
    }
    if let Err(why) = run(zfs.destroy_bare(volume), |_| Ok(())) {
        let back = format!("all snapshots of {volume} now belong to {keeper}; zfs promote '{volume}' returns them");
        run(zfs.promote(volume), |_| Ok(())).map_err(|why| left(why, back))?;
        let clone = |why| {
            left(
                why,
                format!("{volume} is unchanged, but its clone {keeper} remains: remove it with zfs destroy '{keeper}'"),
            )
        };
        run(zfs.destroy_bare(&keeper), |_| Ok(())).map_err(clone)?;
        return Err(Failure::new(why.refusal, &format!("{}: nothing was changed", why.words)));
    }
    let rest = |why| {
        left(
            why,
            format!(
                "{volume} was destroyed, but some of its snapshots remain in {keeper}: remove them with zfs destroy -r '{keeper}'"
            ),
        )
    };
    destroy_snapshots(zfs, &keeper, all).map_err(rest)?;
    run(zfs.destroy_bare(&keeper), |_| Ok(())).map_err(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_by_their_source() {
        let table = "36 35 0:32 / /b rw - zfs b/x\\040y rw,xattr\n37 35 0:33 / /mnt rw shared:2 - ext4 b/z rw\n";
        assert!(mounts(table, &"b/x y".parse().unwrap()));
        for other in ["b/x", "b/z", "b"] {
            assert!(!mounts(table, &other.parse().unwrap()), "{other}");
        }
    }
}
