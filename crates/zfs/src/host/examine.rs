//! What this machine tells before a first replication. Each answer is found on its own: one that can't be is left out.

use std::fs;
use std::io::Read as _;

use super::hold::account;
use super::run::{Output, run};
use crate::name::DatasetName;
use crate::{
    Examination, Examine, Failure, Granted, ParseError, Place, Refusal, Rights, Zfs, permission, read_place, read_pool,
    read_pools, read_versions,
};

/// More than any of the answers has: permissions, pools, properties.
const MAX_TEXT: u64 = 1 << 20;

/// Looks at what was asked for.
pub(super) fn examine(zfs: &Zfs, what: &Examine) -> Examination {
    let dataset = match what {
        Examine::Nothing => return Examination::default(),
        Examine::Host => None,
        Examine::Dataset(dataset) => Some(dataset),
    };
    let (userland, module) = run(zfs.versions(), |output| read_versions(output.take(MAX_TEXT))).unwrap_or_default();
    let module = module.or_else(|| Some(fs::read_to_string("/sys/module/zfs/version").ok()?.trim().to_owned()));
    let pools = run(zfs.pools(), |output| read_pools(output.take(MAX_TEXT))).ok();
    Examination { userland, module, pools, place: dataset.map(|dataset| place(zfs, dataset)) }
}

fn place(zfs: &Zfs, dataset: &DatasetName) -> Place {
    let found = match nearest(zfs, dataset) {
        Ok(Some(found)) => found,
        Ok(None) => return Place::default(),
        Err(failure) => return Place { unread: Some(failure.words), ..Place::default() },
    };
    let (features, delegation) = run(zfs.pool_properties(dataset.pool()), |output| read_pool(output.take(MAX_TEXT))).unwrap_or((Vec::new(), true));
    let rights = match &found.nearest {
        Some(nearest) if delegation || is_root() => rights(zfs, nearest),
        _ => Rights::DelegationOff,
    };
    Place { features, rights, ..found }
}

/// The dataset, or the nearest above that exists.
fn nearest(zfs: &Zfs, dataset: &DatasetName) -> Result<Option<Place>, Failure> {
    for name in std::iter::successors(Some(dataset.clone()), DatasetName::parent) {
        match run(zfs.place(&name), |output| read_place(output.take(MAX_TEXT), &name)) {
            Err(failure) if failure.refusal == Refusal::Missing => {}
            found => return found.map(Some),
        }
    }
    Ok(None)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn rights(zfs: &Zfs, dataset: &DatasetName) -> Rights {
    if is_root() {
        return Rights::All;
    }
    let uid = rustix::process::geteuid().as_raw();
    let groups = account(uid, "-Gn").unwrap_or_default();
    let groups: Vec<&str> = groups.split_whitespace().collect();
    match run(zfs.delegated(dataset), text) {
        Ok(text) => Rights::Granted(Granted::read(&text, dataset, &permission::user_name(), &groups)),
        Err(_) => Rights::Unknown,
    }
}

fn text(output: Output) -> Result<String, ParseError> {
    let mut text = String::new();
    output.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}
