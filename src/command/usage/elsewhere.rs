//! Options that zfsync doesn't have: what there is in their place.

use crate::cli;

/// Options that people know from `zfs send`, `zfs receive` and other tools, and what zfsync has in their place.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &["-R", "--replicate"],
        "all datasets below SOURCE and their snapshots are included by default: leave this option out",
    ),
    (
        &["-c", "-C", "--compress", "--compressed", "--compression"],
        "blocks that are compressed on disk are sent compressed by default (zfs send -c), and there is no other compression: leave this \
         option out",
    ),
    (
        &["-w", "--raw"],
        "encrypted datasets are sent raw by default: leave this option out (--decrypt sends them decrypted)",
    ),
    (&["-I"], "intermediate snapshots are included by default: leave this option out (--newest-only skips them)"),
    (&["--no-stream"], "--newest-only sends the newest snapshot without those before it"),
    (
        &[
            "-f",
            "--force",
            "--force-delete",
            "--force-once",
            "--force-rollback-to-latest-snapshot",
            "--force-rollback-to-latest-common-snapshot",
        ],
        "choose what may be changed on the target: --rollback, --set-aside or --replace DATASET",
    ),
    (
        &["--no-clone-rollback", "--no-destroy", "--no-delete", "--no-force", "--no-rename", "--no-overwrite"],
        NOTHING_IS_CHANGED,
    ),
    (
        &[
            "--delete",
            "--delete-target-snapshots",
            "--delete-dst-datasets",
            "--delete-dst-snapshots",
            "--destroy",
            "--prune",
        ],
        "what no longer exists on the source is destroyed on the target by --delete-missing",
    ),
    (
        &[
            "--source-bwlimit",
            "--target-bwlimit",
            "--rate",
            "--rate-limit",
            "--ratelimit",
            "--limit",
            "--bandwidth",
            "--limit-upload",
        ],
        "the bandwidth is limited by --bwlimit RATE of push, pull, restore and cron, such as --bwlimit 50M",
    ),
    (
        &["--no-sync-snap", "--keep-sync-snap", "--identifier"],
        "only snapshots that exist are sent, and none are taken: leave this option out",
    ),
    (
        &[
            "--include-snaps",
            "--exclude-snaps",
            "--include-snapshot-regex",
            "--exclude-snapshot-regex",
            "--include-snapshots",
            "--exclude-snapshots",
        ],
        "snapshots are not selected by name: all are sent, or with --newest-only the newest",
    ),
    (
        &["-X", "--exclude-datasets", "--exclude-dataset", "--exclude-dataset-regex"],
        "--exclude GLOB leaves datasets out, by their names below SOURCE",
    ),
    (
        &["--include-datasets", "--include-dataset", "--include-dataset-regex"],
        "--include GLOB selects datasets by their names below SOURCE",
    ),
    (
        &["--use-hold", "--create-bookmark", "--create-bookmarks"],
        "bookmarks of what each target has are created by default: leave this option out",
    ),
    (
        &["--recvoptions", "--recv-options", "--zfs-recv-program-opts"],
        "received datasets are not mounted, and read-only, by default: leave this option out",
    ),
    (
        &["--mbuffer-size", "--source-mbuffer", "--target-mbuffer", "--pv-options"],
        "no other programs are between zfs send and zfs receive but ssh: leave this option out",
    ),
    (
        &["--no-privilege-elevation", "--no-command-checks"],
        "zfs is run by the user who logs in, without sudo: leave this option out",
    ),
    (&["--sshport", "--ssh-port", "--ssh-src-port", "--ssh-dst-port"], "the port of ssh is --port PORT"),
    (&["--sshkey", "--ssh-key", "--ssh-identity", "--identity-file"], "the key of ssh is --identity FILE"),
    (
        &["--sshconfig", "--ssh-src-config-file", "--ssh-dst-config-file"],
        "ssh's configuration file is --ssh-config FILE",
    ),
    (
        &["--sshoption", "--sshoptions", "--ssh-options", "--ssh-opts", "--ssh-src-extra-opt"],
        "an option of ssh is --ssh-option OPTION",
    ),
    (&["--sshcipher", "--ssh-cipher", "--cipher"], "--ssh-option Ciphers=CIPHER chooses the cipher of ssh"),
    (&["--threads", "--jobs", "--parallel"], "--channels N says how many streams are sent at the same time"),
    (&["--debug"], "--verbose tells more"),
];

/// Options that take something away on the target.
const DESTRUCTIVE: [&str; 5] = ["rollback", "set-aside", "replace", "delete-missing", "follow-renames"];

const NOTHING_IS_CHANGED: &str =
    "nothing on the target is rolled back, renamed or destroyed by default: leave this option out";

/// What there is in place of an option that people know from elsewhere, or expect.
pub(super) fn elsewhere(command: &str, option: &str) -> Option<String> {
    let found = ELSEWHERE.iter().find(|(options, _)| options.contains(&option));
    let tip = found.filter(|(_, tip)| has_all(command, tip)).map(|(_, tip)| (*tip).to_owned());
    tip.or_else(|| opposite(command, option))
}

/// The options that a tip names.
fn named(tip: &str) -> impl Iterator<Item = &str> {
    tip.split(|ch: char| !ch.is_ascii_alphanumeric() && ch != '-').filter_map(|word| word.strip_prefix("--"))
}

/// Whether a command has all options that a tip names: the tips are about push.
fn has_all(command: &str, tip: &str) -> bool {
    let all = cli::command();
    let longs: Vec<&str> = all
        .find_subcommand(command)
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(clap::Arg::get_long)
        .collect();
    named(tip).all(|named| longs.contains(&named))
}

/// What is said of an option that asks for the opposite of one that there is: clap would propose just that one.
fn opposite(command: &str, option: &str) -> Option<String> {
    let name = option.strip_prefix("--")?;
    let all = cli::command();
    let command = all.find_subcommand(command)?;
    let has = |long: &str| command.get_arguments().find(|argument| argument.get_long() == Some(long));
    let Some(positive) = name.strip_prefix("no-") else {
        let off = format!("no-{name}");
        return has(&off).map(|_| format!("that is the default, which --{off} turns off: leave this option out"));
    };
    if DESTRUCTIVE.contains(&positive) {
        return Some(NOTHING_IS_CHANGED.to_owned());
    }
    let is_switch = has(positive).is_some_and(|argument| !argument.get_action().takes_values());
    is_switch.then(|| format!("--{positive} has to be asked for: leave this option out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An option that a tip is for is none of push, and what a tip names is one.
    #[test]
    fn tips_name_options_of_push() {
        let all = cli::command();
        let push = all.find_subcommand("push").unwrap();
        let longs: Vec<&str> = push.get_arguments().filter_map(clap::Arg::get_long).collect();
        for (options, tip) in ELSEWHERE {
            for option in options.iter().filter_map(|option| option.strip_prefix("--")) {
                assert!(!longs.contains(&option), "{option}");
            }
            for named in named(tip) {
                assert!(longs.contains(&named), "{named}");
            }
        }
        assert!(DESTRUCTIVE.iter().all(|option| longs.contains(option)));
    }
}
