//! Follows what the source has done to whole datasets: renames them, notes that they are missing there, destroys them. Everything
//! is checked again right before, as for a resolution.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};

use super::empty::holds_nothing;
use super::resolve::{changed, check_losses, clear_partial, facts, pinned};
use super::run::{read, run};
use super::whole::{check_mounts, destroy_whole};
use crate::Kind;
use crate::command::tells_of_a_receive;
use crate::name::{DatasetName, Guid};
use crate::{Facts, Note, Pinned, Refusal, Zfs};
use crate::{Failure, Rename};

/// Renames a dataset that has this snapshot; its ancestors exist by now.
pub(super) fn rename(zfs: &Zfs, rename: &Rename) -> Result<(), Failure> {
    let Rename { from, to, snapshot, guid, .. } = rename;
    if !pinned(zfs, from)?.iter().any(|there| there.name == *snapshot && there.guid == *guid) {
        return Err(changed(&format!("'{from}' no longer has the snapshot @{snapshot}")));
    }
    run(zfs.rename(from, to), |_| Ok(()))
}

/// Notes something on these, or drops the note; one by one where that fails for all, as one that is gone spoils it for the others.
pub(super) fn note(zfs: &Zfs, note: Note, value: Option<&str>, names: &[&str]) -> Result<(), Failure> {
    let command = |names: &[&str]| match value {
        Some(value) => zfs.note(note, value, names),
        None => zfs.drop_note(note, names),
    };
    match run(command(names), |_| Ok(())) {
        Err(why) if why.refusal == Refusal::Missing && names.len() > 1 => {
            names.iter().try_for_each(|name| match run(command(&[name]), |_| Ok(())) {
                Err(why) if why.refusal != Refusal::Missing => Err(why),
                _ => Ok(()),
            })
        }
        Err(why) if why.refusal == Refusal::Missing => Ok(()),
        noted => noted,
    }
}

/// Destroys a dataset of which nothing would be missed but these snapshots. One that is gone already was to go.
pub(super) fn destroy(zfs: &Zfs, dataset: &DatasetName, snapshots: &[Guid]) -> Result<(), Failure> {
    let Some((there, all)) = what_goes(zfs, dataset, snapshots, &BTreeSet::new())? else { return Ok(()) };
    clear_partial(zfs, dataset)?;
    if there.unborn && there.token.is_some() {
        // That was all of it.
        return Ok(());
    }
    destroy_whole(zfs, &there, &all)
}

/// Whether [`destroy`] would do that once these are gone, as far as that can be known: nothing tells of an open volume.
pub(super) fn can_destroy(
    zfs: &Zfs,
    dataset: &DatasetName,
    snapshots: &[Guid],
    gone: &BTreeSet<DatasetName>,
) -> Result<(), Failure> {
    match what_goes(zfs, dataset, snapshots, gone)? {
        Some((there, _)) if there.kind == Kind::Filesystem => check_mounts(dataset),
        _ => Ok(()),
    }
}

/// What a dataset is and all that it has; an error says why it stays. `None`: it is gone. What is in `gone` counts for nothing.
fn what_goes(
    zfs: &Zfs,
    dataset: &DatasetName,
    snapshots: &[Guid],
    gone: &BTreeSet<DatasetName>,
) -> Result<Option<(Facts, Vec<Pinned>)>, Failure> {
    let there = match facts(zfs, dataset) {
        Err(Failure { refusal: Refusal::Missing, .. }) => return Ok(None),
        there => there?,
    };
    // A line feed in a property of another dataset can forge a note in a listing of several: what is set on this one counts.
    if !read(zfs.own_notes(dataset), tells_of_a_receive)? {
        return Err(changed(&format!("nothing on '{dataset}' says that zfsync received it")));
    }
    let is_gone = |name: &str| name.trim().parse::<DatasetName>().is_ok_and(|name| gone.contains(&name));
    let below = read(zfs.list_below(dataset), |output| {
        let names = output.lines().collect::<Result<Vec<_>, _>>()?;
        Ok(names.iter().filter(|name| !is_gone(name)).count().saturating_sub(1))
    })?;
    if below > 0 {
        return Err(changed(&format!("'{dataset}' has datasets below it")));
    }
    if there.mounted {
        return Err(Failure::new(Refusal::Busy, &format!("'{dataset}' is mounted, and may be in use")));
    }
    let mut all = pinned(zfs, dataset)?;
    for snapshot in &mut all {
        snapshot.clones = snapshot.clones.take().filter(|clones| !clones.split(',').all(is_gone));
    }
    // What has never been whole can't have been written to.
    if all.is_empty() && !there.unborn && !holds_nothing(zfs, &there) {
        return Err(changed(&format!("'{dataset}' has data and no snapshots")));
    }
    check_losses(zfs, dataset, &all.iter().collect::<Vec<_>>(), snapshots)?;
    if !all.is_empty() && written(zfs, dataset)? > 0 {
        return Err(changed(&format!("'{dataset}' was written to since its newest snapshot")));
    }
    Ok(Some((there, all)))
}

fn written(zfs: &Zfs, dataset: &DatasetName) -> Result<u64, Failure> {
    let text = read(zfs.written(dataset), |output| {
        let mut text = String::new();
        output.take(100).read_to_string(&mut text)?;
        Ok(text)
    })?;
    // What makes no sense is no proof that nothing was written.
    Ok(text.trim().parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::{Away, session_line};

    /// What changes where the first receive of `b/x` was cut, with this token and these notes; `destroy` ends like this.
    fn cut(token: &str, notes: &str) -> (Vec<String>, Result<(), Failure>) {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            r#"case "$*" in
            "list "*",inconsistent,written b/x") printf 'b/x\tfilesystem\t{token}\t-\tno\t1\t0\n' ;;
            "list -Hp -r "*) echo b/x ;;
            "get "*) printf '{notes}' ;;
            "recv "* | "destroy "*) echo "$*" >>'{}/changes' ;;
            esac"#,
            dir.path().display()
        );
        let program = dir.path().join("played");
        fs::write(&program, script).unwrap();
        let session = ("sh".into(), vec!["-c".into(), session_line().into()]);
        let words = ["sh".to_owned(), program.display().to_string()].into();
        let zfs = Zfs::on(Away::new(session, words, Arc::default(), || {}));
        let dataset = "b/x".parse().unwrap();
        let can = can_destroy(&zfs, &dataset, &[], &BTreeSet::new());
        let ended = destroy(&zfs, &dataset, &[]);
        assert_eq!(can, ended);
        let changes = fs::read_to_string(dir.path().join("changes")).unwrap_or_default();
        (changes.lines().map(ToOwned::to_owned).collect(), ended)
    }

    #[test]
    fn the_rest_of_a_first_receive_goes_by_being_discarded() {
        let ours = r"zfsync:received\t1.2-1f\n";
        assert_eq!(cut("1-abc", ours), (vec!["recv -A b/x".to_owned()], Ok(())));
        assert_eq!(cut("-", ours), (vec!["destroy b/x".to_owned()], Ok(())));
        let (changes, ended) = cut("1-abc", "");
        assert_eq!((changes.len(), ended.unwrap_err().refusal), (0, Refusal::Changed));
    }
}
