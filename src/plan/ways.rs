//! What can be done about a conflict, in words: resolutions that may be asked for, or else what to do by hand.

use std::borrow::Cow;

use super::conflict::{Conflict, ConflictKind, Hindrance, Vain};
use zfs::Allow;
use zfs::name::DatasetName;

impl Conflict {
    /// What can be done, one line each.
    pub(super) fn advice(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.rollback_helps() && !self.vain.rollback {
            lines.push(format!("--rollback, which loses {}", self.rollback_cost()));
        }
        if self.new_start_helps() {
            let next = match self.restart() {
                Some(name) => format!("and continues from @{name}"),
                None => "and sends it in full".into(),
            };
            if !self.vain.set_aside {
                lines.push(format!("--set-aside, which keeps everything under another name, {next}"));
            }
            let name = self.target.as_ref().map_or("DATASET", DatasetName::as_str);
            let snapshots = match self.total_there {
                0 => "its content".into(),
                1 => "its only snapshot".into(),
                more => format!("its {more} snapshots"),
            };
            if !self.vain.replace {
                lines.push(format!("--replace '{name}', which destroys {snapshots} and sends it in full"));
            }
        }
        lines
    }

    /// What would help if the helper's own command allowed it, in the words of `--allow`.
    fn to_permit(&self) -> String {
        let ways = [
            (self.forbidden.rollback && self.rollback_helps(), Allow::Rollback),
            (self.forbidden.set_aside && self.new_start_helps(), Allow::Rename),
            (self.forbidden.replace && self.new_start_helps(), Allow::Destroy),
        ];
        let words: Vec<&str> = ways.into_iter().filter(|(helps, _)| *helps).map(|(_, allow)| allow.word()).collect();
        match words.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => words.concat(),
        }
    }

    pub(super) fn other_advice(&self) -> Cow<'static, str> {
        let to_permit = self.to_permit();
        let text = match self.kind {
            _ if self.would_decrypt => {
                "choose a target below it, which inherits its encryption, or send raw; otherwise the data would be stored \
                 unencrypted"
            }
            ConflictKind::DataWithoutSnapshots if self.unsure.is_some() => {
                "if it is empty and nothing lies below it, destroy it on the target host (zfs destroy, without -r)"
            }
            ConflictKind::EncryptedInPlace => {
                "choose a target that doesn't exist yet, for example one below it, or destroy it on the target host if \
                 nothing in it is needed; if it has datasets below it: rename it there (zfs rename), run again with --no-recursive, \
                 rename them back below it (but not datasets that inherit a key below a raw copy), and destroy what is then empty"
            }
            ConflictKind::IvSet { .. } => {
                "roll it back on the target host to the newest snapshot that was received raw (zfs rollback -r DATASET@SNAPSHOT; the \
                 decrypted ones are sent again), and run again without --decrypt"
            }
            ConflictKind::KeyMismatch => {
                "make it an encryption root again on the target host (zfs load-key, then zfs change-key -o keyformat=passphrase DATASET \
                 with any passphrase: the increment replaces it with the source's) and run again; --allow-key-mismatch sends the increment \
                 anyway, which is right only if both keys are the same"
            }
            ConflictKind::Ahead => "nothing is lost, and the source's next snapshot will continue from its bookmark",
            ConflictKind::NameTaken { .. } => "rename them on the target host (zfs rename) and run again",
            ConflictKind::Encryption => "use --decrypt if the target has been receiving decrypted data so far",
            ConflictKind::Partial => {
                "discard the partially received state on the target host (zfs receive -A DATASET; this loses only what was \
                 received of the interrupted stream) and run again"
            }
            _ if self.hindrance == Some(Hindrance::NoHelper) && (self.rollback_helps() || self.new_start_helps()) => {
                "install zfsync on the target host, or let a helper be sent along (--helper ship), and run again without --helper plain, \
                 so that a rollback and other resolutions are offered; or move it out of the way there by hand (zfs rename, zfs rollback)"
            }
            _ if !to_permit.is_empty() => {
                return Cow::Owned(format!(
                    "move it out of the way on the target host (zfs rename, zfs rollback); or permit a resolution in the helper's command \
                     there (authorized_keys: --allow {to_permit})"
                ));
            }
            _ if self.vain != Vain::default()
                && self.hindrance.is_none()
                && (self.rollback_helps() || self.new_start_helps()) =>
            {
                "move it out of the way on the target host (zfs rename, zfs rollback), or choose another target"
            }
            _ => "choose another target: this is the root dataset of a pool, which can't be renamed or destroyed",
        };
        Cow::Borrowed(text)
    }
}
