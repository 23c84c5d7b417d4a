//! What this machine tells before a first replication. Each answer is found on its own: one that can't be is left out.

use std::io::Read;

use super::hold::account;
use super::run::{Output, run};
use crate::name::DatasetName;
use crate::{
    Examination, Examine, Failure, Granted, ParseError, Place, Refusal, Rights, Zfs, permission, read_place, read_pool,
    read_pools, read_versions,
};

/// More than any of the answers has: permissions, pools, properties.
const MAX_TEXT: u64 = 1 << 20;

/// The account that `zfs` runs under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its login name.
    pub user: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// Whether it may do everything.
    pub is_root: bool,
}

/// That of this process.
pub(super) fn own_account() -> Account {
    let id = rustix::process::geteuid();
    let groups = if id.is_root() { String::new() } else { account(id.as_raw(), "-Gn").unwrap_or_default() };
    let groups = groups.split_whitespace().map(ToOwned::to_owned).collect();
    let mut user = permission::user_name();
    // The accounts of a directory service are not in /etc/passwd, and `zfs allow` prints their names.
    if user == id.as_raw().to_string() {
        user = account(id.as_raw(), "-un").unwrap_or(user);
    }
    Account { user, groups, is_root: id.is_root() }
}

/// Looks at what was asked for. `module`: the version of the kernel module, where it is known without `zfs`.
pub(super) fn examine(zfs: &Zfs, what: &Examine, module: Option<String>, account: &Account) -> Examination {
    let dataset = match what {
        Examine::Nothing => return Examination::default(),
        Examine::Host => None,
        Examine::Dataset(dataset) => Some(dataset),
    };
    let (userland, told) = run(zfs.versions(), |output| read_versions(output.take(MAX_TEXT))).unwrap_or_default();
    let module = told.or(module);
    let pools = run(zfs.pools(), |output| read_pools(output.take(MAX_TEXT))).ok();
    Examination { userland, module, pools, place: dataset.map(|dataset| place(zfs, dataset, account)) }
}

fn place(zfs: &Zfs, dataset: &DatasetName, account: &Account) -> Place {
    let found = match nearest(zfs, dataset) {
        Ok(Some(found)) => found,
        Ok(None) => return Place::default(),
        Err(failure) => return Place { unread: Some(failure.words), ..Place::default() },
    };
    let (features, delegation) = run(zfs.pool_properties(dataset.pool()), |output| read_pool(output.take(MAX_TEXT)))
        .unwrap_or((Vec::new(), true));
    let rights = match &found.nearest {
        Some(nearest) if delegation || account.is_root => rights(zfs, nearest, account),
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

fn rights(zfs: &Zfs, dataset: &DatasetName, account: &Account) -> Rights {
    if account.is_root {
        return Rights::All;
    }
    let groups: Vec<&str> = account.groups.iter().map(String::as_str).collect();
    match run(zfs.delegated(dataset), text) {
        // Everybody is in a group: which one, nobody could tell.
        Ok(text) if groups.is_empty() && text.contains("\n\tgroup ") => Rights::Unknown,
        Ok(text) => Rights::Granted(Granted::read(&text, dataset, &account.user, &groups)),
        Err(_) => Rights::Unknown,
    }
}

fn text(output: Output) -> Result<String, ParseError> {
    let mut text = String::new();
    output.take(MAX_TEXT).read_to_string(&mut text)?;
    Ok(text)
}
