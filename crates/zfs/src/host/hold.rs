//! A tree that is kept for one run: from runs of the same account by a file lock, from those of others by an announcement.

use std::io::Read;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::run::run;
use crate::lock::{self, Announcement, Holder, Lock, LockError};
use crate::name::DatasetName;
use crate::{Call, Limits, Receivers, Zfs};

/// The number of nobody's run.
pub(super) const NOBODY: u64 = 0;
/// Whoever only looks at a lock does not hold it longer.
pub(super) const ODD_LOCK: Duration = Duration::from_secs(1);
/// How often a lock that somebody looks at is tried.
pub(super) const LOCK_AGAIN: Duration = Duration::from_millis(50);
/// Accounts may be kept on another machine, which may not answer.
const ACCOUNT: Duration = Duration::from_secs(20);
/// More than root delegates on any tree.
const MAX_DELEGATED: u64 = 1 << 20;

/// Between whose run has a tree and the number of the process that has it here; a parenthesis follows.
pub const HELPER_PROCESS: &str = " (helper process ";
/// Between what a run of another account says of itself and that account.
pub const OF_ANOTHER_ACCOUNT: &str = ", as user ";

/// Others are kept away as long as it lives.
#[derive(Debug)]
pub(super) struct Hold {
    _lock: Lock,
    _announced: Option<Announcement>,
    /// Why not all others can be kept away.
    pub odd: Option<String>,
}

/// Takes a tree. Whoever only looks who has it doesn't count.
pub(super) fn take(zfs: Option<&Zfs>, dataset: &DatasetName, run: u64, owner: &str) -> Result<Hold, LockError> {
    let began = Instant::now();
    loop {
        match try_take(zfs, dataset, run, owner) {
            Err(LockError::Held { run: None | Some(NOBODY), .. }) if began.elapsed() < ODD_LOCK => {
                thread::sleep(LOCK_AGAIN);
            }
            done => return done,
        }
    }
}

/// The same at once.
pub(super) fn try_take(zfs: Option<&Zfs>, dataset: &DatasetName, run: u64, owner: &str) -> Result<Hold, LockError> {
    // One that was stopped has it until it is ended, here.
    let owner = &format!("{owner}{HELPER_PROCESS}{})", std::process::id());
    let lock = lock::take_tree(dataset, run, owner)?;
    // First said, then asked: of two at the same time one sees the other.
    let announced = lock::announce(dataset, owner);
    let mut receivers = None;
    let may = |uid| uid == 0 || may_receive(receivers.get_or_insert_with(|| delegated(zfs, dataset)), uid);
    let others = lock::holders(dataset, rustix::process::geteuid().as_raw(), may);
    let odd = |error| {
        format!("runs of other users can't be prevented from working on {dataset}: {}", crate::text::os_words(&error))
    };
    match (announced, others) {
        (_, Ok(others)) if !others.is_empty() => {
            Err(LockError::Held { holder: words(&others[0]), run: None, tree: None, path: String::new() })
        }
        (Ok(announced), Ok(_)) => {
            let odd = lock.doubt().map(ToOwned::to_owned);
            Ok(Hold { _lock: lock, _announced: Some(announced), odd })
        }
        (Err(error), _) => Ok(Hold { _lock: lock, _announced: None, odd: Some(odd(error)) }),
        (Ok(announced), Err(error)) => Ok(Hold { _lock: lock, _announced: Some(announced), odd: Some(odd(error)) }),
    }
}

/// Who has a tree or a part of it, if anybody.
pub(super) fn holder(zfs: Option<&Zfs>, dataset: &DatasetName) -> Option<String> {
    let of_others = || {
        let mut receivers = None;
        let may = |uid| uid == 0 || may_receive(receivers.get_or_insert_with(|| delegated(zfs, dataset)), uid);
        let others = lock::holders(dataset, rustix::process::geteuid().as_raw(), may);
        others.ok()?.first().map(words)
    };
    lock::tree_holder(dataset).or_else(of_others)
}

fn words(holder: &Holder) -> String {
    let who = match account(holder.uid, "-un") {
        Some(name) => format!("{name} ({})", holder.uid),
        None => holder.uid.to_string(),
    };
    match &holder.words {
        Some(words) => format!("{words}{OF_ANOTHER_ACCOUNT}{who}"),
        None => format!("a run of user {who}, which doesn't respond"),
    }
}

/// Who may receive into a dataset, or into the nearest above it that exists; nobody in doubt: root always may.
fn delegated(zfs: Option<&Zfs>, dataset: &DatasetName) -> Receivers {
    let Some(zfs) = zfs else { return Receivers::default() };
    let all = std::iter::successors(Some(dataset.clone()), DatasetName::parent);
    let mut found = all.filter_map(|one| {
        let read = |output| {
            let mut text = String::new();
            Read::take(output, MAX_DELEGATED).read_to_string(&mut text)?;
            Ok(Receivers::read(&text, &one))
        };
        run(zfs.delegated(&one), read).ok()
    });
    found.next().unwrap_or_default()
}

fn may_receive(receivers: &Receivers, uid: u32) -> bool {
    let Some(user) = account(uid, "-un") else { return false };
    let groups = account(uid, "-Gn").unwrap_or_default();
    receivers.include(&user, groups.split_whitespace())
}

/// What id(1) says of an account: only it asks wherever this system keeps its accounts.
pub(super) fn account(uid: u32, what: &str) -> Option<String> {
    let mut command = Command::new("id");
    command.args([what, &uid.to_string()]);
    let text = run(Call::of(command, Limits { silence: Some(ACCOUNT), ..Limits::default() }), |mut output| {
        let mut text = String::new();
        Read::take(&mut output, 64 * 1024).read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    });
    text.ok().filter(|text| !text.is_empty())
}
