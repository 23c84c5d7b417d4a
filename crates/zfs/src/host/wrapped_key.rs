//! Reads how the key of an encrypted dataset is wrapped, from the beginning of a raw stream.

use super::run::{read, read_first};
use crate::name::{DatasetName, SnapshotName};
use crate::{Failure, Mark, ParseError, Refusal, WrappedKey, WrappedKeyError, Zfs, read_listed};

/// How the key of an encrypted dataset is wrapped, by any snapshot of it: a key belongs to all of them. `None` where there is none.
pub(super) fn wrapped_key(
    zfs: &Zfs,
    dataset: &DatasetName,
    base: Option<&SnapshotName>,
) -> Result<Option<WrappedKey>, Failure> {
    if let Some(base) = base {
        match key_of(zfs, dataset, base) {
            Err(Failure { refusal: Refusal::Missing, .. }) => {}
            key => return key.map(Some),
        }
    }
    let mut newest = None;
    read(zfs.list_snapshots(std::slice::from_ref(dataset)), |output| {
        read_listed(output, |listed| {
            if let Mark::Snapshot(snapshot) = listed.mark {
                newest = newest.take().max(Some((listed.txg, snapshot)));
            }
            Ok::<_, ParseError>(())
        })
    })?;
    newest.map(|(_, snapshot)| key_of(zfs, dataset, &snapshot)).transpose()
}

fn key_of(zfs: &Zfs, dataset: &DatasetName, snapshot: &SnapshotName) -> Result<WrappedKey, Failure> {
    let read = read_first(zfs.send_raw(dataset, snapshot), |mut output| match WrappedKey::read_first(&mut output) {
        // Why it has ended, zfs says itself.
        Err(WrappedKeyError::Io(error)) => Err(ParseError::Io(error)),
        read => Ok(read),
    })?;
    read.map_err(|error| {
        Failure::new(Refusal::Other, &format!("zfs send -w {}: {error}", dataset.at(snapshot.as_str())))
    })
}
