//! Tells whether a filesystem holds nothing at all, so that it may be replaced: whatever can't be found out counts as "no".

use std::io::{BufRead, Read as _};
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::resolve::facts;
use super::run::read;
use crate::Kind;
use crate::name::DatasetName;
use crate::{Facts, Failure, Refusal, Zfs, user_objects};

/// So often a dataset is looked into that is mounted or unmounted meanwhile.
const LOOKS: usize = 3;

/// So long ZFS may take to let go of a filesystem that is being unmounted: it writes out what is dirty first.
pub(super) const LET_GO_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a dataset without snapshots holds nothing at this moment, when `zfs receive` may be about to replace it.
pub(super) fn is_empty(zfs: &Zfs, dataset: &DatasetName, let_go_within: Duration) -> Result<bool, Failure> {
    let began = Instant::now();
    // That receive unmounts it at some time of its own. A look that falls into that finds no directory any more, or that below the
    // mountpoint, and a count of before; or ZFS says that it is busy. Once it is unmounted, the count is right.
    let (mut before, mut looks) = (facts(zfs, dataset)?, 0);
    while looks < LOOKS {
        let (empty, after) = (look_into(zfs, &before), facts(zfs, dataset)?);
        match empty {
            Ok(empty) if after.mounted == before.mounted => return Ok(empty),
            Ok(_) => looks += 1,
            Err(Failure { refusal: Refusal::Busy, .. }) if began.elapsed() < let_go_within => thread::sleep(PAUSE),
            Err(why) => return Err(why),
        }
        before = after;
    }
    Ok(false)
}

/// Whether a dataset without snapshots could be replaced without a loss: a filesystem in which nothing exists but its own
/// root directory, and that no mount would miss. Whatever can't be found out counts as "no".
///
/// ZFS counts each user's objects, on unmounted filesystems too; a fresh filesystem has exactly one, its root directory,
/// whatever its properties, and each file or directory is one more (tried with OpenZFS 2.3.9). The count is up to date
/// only as of the last transaction group, so on a mounted filesystem the directory is looked into as well.
pub(super) fn holds_nothing(zfs: &Zfs, facts: &Facts) -> bool {
    look_into(zfs, facts).unwrap_or(false)
}

/// The same, with the words of ZFS where it doesn't count: a user who isn't root needs the permissions `userused`, `userquota`,
/// `userobjused` and `userobjquota`, as `zfs userspace` reads all four whichever are wanted (`zfs_do_userspace` in
/// `cmd/zfs/zfs_main.c`). Nothing else that ZFS tells is a proof.
pub(super) fn look_into(zfs: &Zfs, facts: &Facts) -> Result<bool, Failure> {
    let Facts { name, kind: Kind::Filesystem, unborn: false, mounted, .. } = facts else { return Ok(false) };
    let Some(objects) = read(zfs.userspace(name), user_objects)? else { return Ok(false) };
    let only_the_root = objects.iter().fold(0_u64, |sum, (_, objects)| sum.saturating_add(*objects)) == 1;
    Ok(only_the_root && unmounting_is_harmless(zfs, name, *mounted))
}

/// `zfs recv -F` unmounts the filesystem and all below it, and `-u` leaves them so.
fn unmounting_is_harmless(zfs: &Zfs, name: &DatasetName, mounted: bool) -> bool {
    let others = read(zfs.mounted_below(name), |output| {
        let lines = output.lines().map_while(Result::ok);
        Ok(lines.filter(|line| line == "yes").count())
    });
    if others.is_err() || others.is_ok_and(|all| all > usize::from(mounted)) {
        return false;
    }
    // The directory of another machine can't be looked into from here.
    !mounted
        || mountpoint(zfs, name)
            .filter(|_| !zfs.is_away())
            .is_some_and(|path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()))
}

fn mountpoint(zfs: &Zfs, name: &DatasetName) -> Option<String> {
    let path = read(zfs.get("mountpoint", name), |output| {
        let mut path = String::new();
        output.take(64 * 1024).read_to_string(&mut path)?;
        Ok(path)
    });
    // `legacy` ones are mounted who knows where.
    path.ok().and_then(|path| Some(path.strip_suffix('\n')?.to_owned())).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
#[path = "empty_tests.rs"]
mod tests;
