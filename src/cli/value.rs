//! Words of the command line that stand for values of ZFS's vocabulary, as clap parses and explains them.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use zfs::{Allow, Volmode};

use crate::remote::bootstrap::HelperFrom;
use crate::remote::ssh::identity;

/// What a helper that receives may be allowed to do.
pub fn allow() -> impl TypedValueParser<Value = Allow> {
    words(Allow::OF_A_TARGET.map(|allow| (allow, allow.word(), about(allow))))
}

/// What a helper that sends may be allowed to do.
pub fn allow_of_a_source() -> impl TypedValueParser<Value = Allow> {
    words(Allow::OF_A_SOURCE.map(|allow| {
        let about = if allow == Allow::Destroy { "Destroy snapshots (zfsync prune)" } else { about(allow) };
        (allow, allow.word(), about)
    }))
}

/// What becomes of volumes that are received anew.
pub fn volmode() -> impl TypedValueParser<Value = Volmode> {
    words([
        (Volmode::None, "none", "No device nodes, so that nothing on the host reads the content of the volume"),
        (Volmode::Inherit, "inherit", "Inherit the property from the parent dataset"),
    ])
}

/// A key that ssh will find.
pub fn key() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| identity::find(&path).map(|_| path))
}

/// Where a helper is taken from.
pub fn helper_from() -> impl TypedValueParser<Value = HelperFrom> {
    words(HelperFrom::ALL.map(|(from, word)| {
        let about = match from {
            HelperFrom::Auto => "The installed zfsync; if none can be used, one that is sent along; if none can run, as plain",
            HelperFrom::Installed => "The installed zfsync",
            HelperFrom::Sent => "One that is sent along and kept in the user's cache directory, even if zfsync is installed",
            HelperFrom::Plain => {
                "None: only zfs is run there, without a lock, and nothing on that host is rolled back, renamed or destroyed"
            }
        };
        (from, word, about)
    }))
}

fn words<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [(T, &'static str, &'static str); N],
) -> impl TypedValueParser<Value = T> {
    let values = all.map(|(_, word, about)| PossibleValue::new(word).help(about));
    PossibleValuesParser::new(values).try_map(move |said| {
        all.iter().find(|(_, word, _)| *word == said).map(|(value, ..)| *value).ok_or("not one of the possible values")
    })
}

fn about(allow: Allow) -> &'static str {
    match allow {
        Allow::Snapshot => "Take snapshots",
        Allow::Rollback => "Roll a dataset back to a snapshot",
        Allow::Rename => "Rename datasets",
        Allow::Destroy => "Destroy snapshots and datasets",
        Allow::Volmode => "Let received volumes have device nodes (--volmode inherit)",
        Allow::Packages => {
            "Pass a package of several snapshots to one zfs receive; faster, but only for a sender that is trusted with the whole pool"
        }
        Allow::Unencrypted => "Receive unencrypted datasets below an encrypted one (--allow-unencrypted)",
        Allow::Mountable => "Make received datasets writable and mountable (zfsync restore)",
        Allow::Verify => "Read snapshots and return checksums of their content (zfsync verify --content)",
        Allow::Rekey => {
            "Let a raw increment replace the wrapped encryption key of a copy (zfs change-key on the source)"
        }
    }
}
