//! What a user who isn't root needs to be allowed (zfs-allow(8)); the kernel checks it per operation
//! (`module/zfs/zfs_ioctl.c`, `zfs_secpolicy_*`), and its words don't tell which permission was missing.

use crate::name::DatasetName;
use crate::{Refusal, Resolution};

/// Receives into datasets that are there, and makes new ones. `mount` is needed to create anything although nothing gets
/// mounted; `canmount` and `readonly` let what arrives be kept asleep; without them it arrives all the same.
pub const RECEIVE: &str = "receive,create,mount,canmount,readonly,volmode,userprop";
/// What the sender needs on the source: `zfs send -I` holds what it sends; without `bookmark`, `destroy` and `mount` only its bookmarks are
/// missing, without `userprop` what is noted of the target.
pub const SEND: &str = "send,hold,bookmark,destroy,mount,userprop";

/// To read what a snapshot holds.
pub const READ: &str = "send";
/// To drop a partially received state (`zfs receive -A`).
pub const CLEAR: &str = "destroy,mount";
/// To destroy snapshots.
pub const DESTROY: &str = "destroy,mount";
/// To destroy datasets: a volume that may be open gives its snapshots to a clone first.
pub const DESTROY_DATASETS: &str = "destroy,mount,create,clone,promote,volmode";
/// To follow a rename.
pub const RENAME: &str = "rename,create,mount,canmount,readonly,userprop";
/// To make bookmarks of a source.
pub const BOOKMARK: &str = "bookmark";
/// To set user properties: what is noted of a source or a target.
pub const NOTE: &str = "userprop";
/// To count the files of each user, which tells whether a filesystem is empty.
pub const COUNT: &str = "userused,userquota,userobjused,userobjquota";
/// What taking snapshots needs.
pub const SNAPSHOT: &str = "snapshot,mount";

/// What stands before each command that grants something, in the words of either host.
pub const GRANT: &str = " can delegate the permission: ";

/// What a resolution needs.
#[must_use]
pub fn for_resolution(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::Rollback { .. } => "rollback,destroy,mount,receive",
        Resolution::SetAside { .. } => "rename,create,mount,clone,promote,canmount,readonly,volmode,userprop",
        Resolution::Replace { .. } => "destroy,mount,receive",
    }
}

/// The command that grants it.
#[must_use]
pub fn allow(user: &str, permissions: &str, dataset: &DatasetName) -> String {
    format!("zfs allow {user} {permissions} '{dataset}'")
}

/// The login name that this process runs under: what `zfs allow` must name.
#[must_use]
pub fn user_name() -> String {
    let number = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut fields = users.lines().map(|line| line.split(':'));
    let found = fields.find_map(|mut line| {
        let (name, _, id) = (line.next()?, line.next()?, line.next()?);
        (id == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

/// The command by which root gives `user` what zfs has refused with `words`. Root itself has it all: nothing to grant.
#[must_use]
pub fn grant(user: &str, words: &str, permissions: &str, dataset: &DatasetName) -> Option<String> {
    if user == "root" {
        return None;
    }
    if words.contains("delegated administration is disabled") {
        return Some(format!("zpool set delegation=on '{}'", dataset.pool()));
    }
    Some(allow(user, permissions, dataset))
}

/// The same where `missing` could not be created.
#[must_use]
pub fn grant_below(user: &str, words: &str, permissions: &str, missing: &DatasetName) -> Option<String> {
    let grant = grant(user, words, permissions, missing)?;
    Some(if grant == allow(user, permissions, missing) { allow_below(user, permissions, missing) } else { grant })
}

/// The command that lets `user` do it below `missing`, which doesn't exist: nobody should be allowed anything in a whole pool for that.
#[must_use]
pub fn allow_below(user: &str, permissions: &str, missing: &DatasetName) -> String {
    match missing.parent().filter(|parent| parent.parent().is_some()) {
        Some(parent) => allow(user, permissions, &parent),
        None => format!("zfs create -o canmount=off '{missing}' && {}", allow(user, permissions, missing)),
    }
}

/// The words of a `zfs send` that has failed, and behind them the command that grants what it lacked.
#[must_use]
pub fn with_grant_to_send(words: &str, user: &str, dataset: &DatasetName) -> String {
    let lacks = Refusal::from_words(words) == Refusal::Permission;
    match grant(user, words, SEND, dataset).filter(|_| lacks) {
        Some(grant) => format!("{words}\nroot on the source's host{GRANT}{grant}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_can_grant() {
        let dataset: DatasetName = "tank/back up".parse().unwrap();
        let grant = |user, words| grant(user, words, RECEIVE, &dataset);
        let denied = "cannot receive: permission denied";
        assert_eq!(
            grant("repl", denied).as_deref(),
            Some("zfs allow repl receive,create,mount,canmount,readonly,volmode,userprop 'tank/back up'")
        );
        assert_eq!(
            grant("repl", "cannot receive: delegated administration is disabled on pool").as_deref(),
            Some("zpool set delegation=on 'tank'")
        );
        assert_eq!(grant("root", denied), None);
        let below = |name: &str| grant_below("repl", denied, "create,mount", &name.parse().unwrap()).unwrap();
        assert_eq!(below("tank/a/b"), "zfs allow repl create,mount 'tank/a'");
        assert_eq!(below("tank/a"), "zfs create -o canmount=off 'tank/a' && zfs allow repl create,mount 'tank/a'");
        let to_send = |words, user| with_grant_to_send(words, user, &dataset);
        let held = "cannot hold: permission denied";
        let allow = "zfs allow repl send,hold,bookmark,destroy,mount,userprop 'tank/back up'";
        let expected = format!("{held}\nroot on the source's host can delegate the permission: {allow}");
        assert_eq!(to_send(held, "repl"), expected);
        assert_eq!((to_send(held, "root"), to_send("no space", "repl")), (held.into(), "no space".into()));
    }
}
