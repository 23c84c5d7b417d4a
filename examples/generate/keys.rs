//! The keys of the configuration file: the one source of zfsync.toml(5) and of docs/configuration.md. A test compares them with
//! what the file's parser takes, with their examples and their defaults.

/// A key. Text in back-ticks is what stands in a file or on a command line.
pub struct Key {
    /// Its name, with the table that it stands in.
    pub name: &'static str,
    /// What its value is.
    pub kind: &'static str,
    /// What counts where it is missing, as it would be written, or in words.
    pub default: Default,
    /// A value as it stands in a file.
    pub example: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// What counts where a key is missing.
pub enum Default {
    /// This value.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
    /// The job needs it.
    Required,
}

/// Keys that belong together.
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// What is to be said of all of them; may be empty.
    pub about: &'static str,
    /// They.
    pub keys: &'static [Key],
}

use Default::{Required, Value, Words};

const fn key(
    name: &'static str,
    kind: &'static str,
    default: Default,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default, example, meaning }
}

const OFF: Default = Value("false");

/// What stands before the keys.
pub const ABOUT: &[&str] = &[
    "The file has a table `[job.NAME]` for each job. NAME consists of letters, digits, hyphens, underscores and dots. The table `[defaults]` takes \
     the same keys, for all jobs that don't set them. Lists, `keep` and `keep-targets` are replaced as a whole, not merged.",
    "A TIME is a number with a unit, such as `90s`, `5min`, `1.5h` or `7d`, in quotes, or `0` (`m` is minutes here, and months in `grid`). A RATE is a number with a unit, in quotes: \
     `500K`, `50M` or `1.5GiB` (units of 1024), or `50MB` (units of 1000). A GLOB is matched \
     against names relative to the source: `*` matches within a component, `**` across components. A LOCATION is `[USER@]HOST:DATASET`, or `DATASET` on this machine.",
    "An unknown key, or a value of the wrong type, is an error: no job is run. A file that runs commands (hooks, `ssh.options`, `ssh.config`) \
     must belong to root or to the user that runs zfsync, and only its owner may be able to write it or its directory.",
];

/// All of them.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Source and targets",
        about: "",
        keys: &[
            key(
                "source",
                "LOCATION",
                Required,
                "\"tank/data\"",
                "The dataset to replicate, with all datasets below it.",
            ),
            key(
                "sources",
                "list of LOCATION",
                Words("`source` is used"),
                "[\"tank/home\", \"fast/mail\"]",
                "Several sources on one host, instead of `source`. Each is received below the targets, under its last component. All their snapshots \
                 are taken at the same moment and have the same name.",
            ),
            key(
                "targets",
                "list of LOCATION",
                Words("none: the job takes snapshots and prunes"),
                "[\"backup:pool/data\", \"usb/data\"]",
                "The datasets to receive it as. All targets are replicated to at the same time.",
            ),
            key(
                "include",
                "list of GLOB",
                Words("all datasets"),
                "[\"home/*\"]",
                "Include only datasets that match, and all below them.",
            ),
            key(
                "exclude",
                "list of GLOB",
                Words("none"),
                "[\"**/tmp\"]",
                "Exclude datasets that match, and all below them. Overrides `include`.",
            ),
            key(
                "depth",
                "integer",
                Words("no limit"),
                "2",
                "Include at most this many levels of datasets below the source.",
            ),
            key("recursive", "boolean", Value("true"), "false", "Include the datasets below the source."),
        ],
    },
    Group {
        title: "Snapshots",
        about: "See zfsync-snapshot(1).",
        keys: &[
            key(
                "snapshot.enabled",
                "boolean",
                Value("true"),
                "false",
                "Take a snapshot at the start of the job. Set it to `false` for a source whose snapshots come from elsewhere.",
            ),
            key(
                "snapshot.format",
                "string",
                Value("\"%y%m%d-%H%M%S_{class}\""),
                "\"auto-%Y-%m-%d_%H%M\"",
                "Names of the snapshots: strftime(3) conversions, and `{class}` for S, M, H or D.",
            ),
            key("snapshot.local-time", "boolean", OFF, "true", "Use local time in the names instead of UTC."),
            key(
                "snapshot.if-changed",
                "boolean",
                OFF,
                "true",
                "Skip datasets that were not written to since their newest snapshot.",
            ),
        ],
    },
    Group {
        title: "Retention",
        about: "What any rule keeps stays. Without `keep` the source is not pruned, and without `keep-targets` no target is. \
                See zfsync-prune(1) for what is never destroyed.",
        keys: &[
            key(
                "keep.classes",
                "string",
                Words("no such rule"),
                "\"s=1,m=4,h=3,d=2\"",
                "On the source, keep this many snapshots of each class.",
            ),
            key(
                "keep.last",
                "integer",
                Words("no such rule"),
                "10",
                "On the source, keep the newest snapshots: this many of each dataset.",
            ),
            key(
                "keep.grid",
                "string",
                Words("no such rule"),
                "\"24h,7d,4w,12m\"",
                "On the source, keep the newest snapshot of each of the last N periods that have one. Units: `min`, `h`, `d`, `w`, `m` (months), `y`.",
            ),
            key(
                "keep-targets.classes",
                "string",
                Words("no such rule"),
                "\"s=1,m=4,h=24,d=60\"",
                "The same on the targets. Helpers with a forced command need `--allow destroy` for all rules of `keep-targets`.",
            ),
            key("keep-targets.last", "integer", Words("no such rule"), "30", "The same on the targets."),
            key("keep-targets.grid", "string", Words("no such rule"), "\"24h,7d,4w,24m\"", "The same on the targets."),
            key(
                "time-zone",
                "string",
                Words("the time zone of the snapshot names"),
                "\"Europe/Berlin\"",
                "Time zone of the periods of `grid`: `UTC`, `local`, or a name of the time zone database.",
            ),
            key(
                "only-named-targets",
                "boolean",
                OFF,
                "true",
                "When the source is pruned, consider only the targets of the job, and not others that are recorded on the source.",
            ),
        ],
    },
    Group {
        title: "Replication",
        about: "See zfsync-push(1).",
        keys: &[
            key(
                "channels",
                "integer from 1 to 64",
                Value("4"),
                "8",
                "Streams that are sent to each target at the same time.",
            ),
            key("bwlimit", "RATE", Words("no limit"), "\"50M\"", "Bytes per second to all targets together."),
            key(
                "skip-empty",
                "boolean",
                OFF,
                "true",
                "Skip snapshots in which nothing was written since the previous one. The newest is always sent.",
            ),
            key(
                "trust-source",
                "boolean",
                OFF,
                "true",
                "Trust a source on another host as much as this machine: several snapshots are received at a time, which is faster.",
            ),
            key(
                "allow-unencrypted",
                "boolean",
                OFF,
                "true",
                "Also store unencrypted on the target what is unencrypted below an encrypted dataset on the source.",
            ),
            key(
                "allow-unproven-bookmarks",
                "boolean",
                OFF,
                "true",
                "Send increments from a bookmark even if nothing proves that the source was not rolled back past it.",
            ),
            key(
                "direct",
                "boolean",
                OFF,
                "true",
                "With source and targets on other hosts: the source's host sends straight to the targets' hosts, with its own ssh \
                 configuration and keys.",
            ),
            key(
                "forward-agent",
                "boolean",
                OFF,
                "true",
                "With `direct`, forward the authentication agent to the source's host. See the caution in ssh(1), -A.",
            ),
        ],
    },
    Group {
        title: "Deleted or renamed on the source",
        about: "Without these keys, nothing is destroyed or renamed on a target for this reason.",
        keys: &[
            key(
                "delete-missing",
                "`\"datasets\"`, `\"snapshots\"` or `\"both\"`",
                Words("nothing is destroyed"),
                "\"both\"",
                "Destroy what zfsync has received on the target and what no longer exists on the source.",
            ),
            key(
                "grace",
                "TIME",
                Words("`\"7d\"` with `delete-missing`"),
                "\"30d\"",
                "Time from when something is first found missing until it is destroyed. Needs `delete-missing`.",
            ),
            key(
                "max-delete",
                "integer, or percentage in quotes",
                Words("`\"25%\"`, at least 10, with `delete-missing`"),
                "\"10%\"",
                "Destroy nothing if more than this number or share of the target's datasets or snapshots would be destroyed. Needs `delete-missing`.",
            ),
            key(
                "follow-renames",
                "boolean",
                OFF,
                "true",
                "Rename on the target what was renamed on the source, instead of sending it in full.",
            ),
        ],
    },
    Group {
        title: "Retries and timeouts",
        about: "",
        keys: &[
            key(
                "retries",
                "integer",
                Value("5"),
                "10",
                "Retries without progress, after lost connections, refused sessions, busy datasets and killed receives.",
            ),
            key("retry-max-wait", "TIME", Value("\"60s\""), "\"5m\"", "Maximum wait between two retries."),
            key(
                "stall-timeout",
                "TIME",
                Value("\"5m\""),
                "\"30m\"",
                "Abort a transfer that makes no progress for this time; `\"0\"` means never.",
            ),
            key(
                "wait-lock",
                "TIME",
                Value("\"0\""),
                "\"1h\"",
                "Wait this long for another run on the same target to finish.",
            ),
            key(
                "job-timeout",
                "TIME",
                Words("no limit"),
                "\"6h\"",
                "Stop a job that takes longer; it counts as failed.",
            ),
        ],
    },
    Group {
        title: "SSH",
        about: "The table `ssh` is for the targets, and for a source on another host too, unless there is a table `source-ssh` with the same keys for \
                that.",
        keys: &[
            key("ssh.port", "integer", Words("from ssh's configuration"), "2222", "Port of the SSH server."),
            key(
                "ssh.identity",
                "path",
                Words("from ssh's configuration"),
                "\"/root/.ssh/backup\"",
                "Private key file.",
            ),
            key(
                "ssh.config",
                "path",
                Words("ssh's own files"),
                "\"/etc/zfsync.ssh\"",
                "The only configuration file for ssh, which then ignores `~/.ssh/config` and `/etc/ssh/ssh_config`.",
            ),
            key(
                "ssh.options",
                "list of strings",
                Words("none"),
                "[\"Compression=no\"]",
                "Options of ssh, as in ssh_config(5).",
            ),
            key(
                "ssh.remote-zfsync",
                "string",
                Words("found by `ssh.helper`"),
                "\"sudo zfsync\"",
                "Command that runs zfsync on the other host.",
            ),
            key(
                "ssh.remote-zfs",
                "string",
                Words("`zfs`, where it is used without a helper"),
                "\"sudo -n zfs\"",
                "Command that runs zfs on the other host, without a helper (`plain`).",
            ),
            key(
                "ssh.helper",
                "`\"auto\"`, `\"installed\"`, `\"ship\"` or `\"plain\"`",
                Value("\"auto\""),
                "\"installed\"",
                "Which helper to run on the other host: the installed zfsync, or one that is sent along if there is none, or only zfs if \
                 none can run (`auto`); only the installed one; always one that is sent along; or no helper, only zfs.",
            ),
            key(
                "source-ssh",
                "table",
                Words("as `ssh`"),
                "{ port = 2222 }",
                "How a source on another host is reached. Its keys are those of `ssh`.",
            ),
        ],
    },
    Group {
        title: "Logs and results",
        about: "",
        keys: &[
            key(
                "log",
                "path",
                Words("no log"),
                "\"/var/log/zfsync/zfsync.log\"",
                "Append all events to this file. Missing directories are created.",
            ),
            key(
                "log-format",
                "`\"text\"` or `\"json\"`",
                Words("`\"text\"` with `log`"),
                "\"json\"",
                "Format of the log. Needs `log`.",
            ),
            key(
                "state-dir",
                "path",
                Words("no results are saved"),
                "\"/var/lib/zfsync\"",
                "Save the last result of each dataset in this directory, as one JSON file each.",
            ),
        ],
    },
    Group {
        title: "Hooks",
        about: "A COMMAND is run without a shell. It is a string, which is split into words as a shell would; a list of words; or \
                `{ command = \"...\", shell = true }`, which is passed to `/bin/sh -c`. Its environment has `ZFSYNC_JOB`, `ZFSYNC_SOURCE`, \
                `ZFSYNC_TARGETS` (separated by spaces), `ZFSYNC_SNAPSHOT` (the name without dataset, once it is taken), and for the last three hooks \
                `ZFSYNC_RESULT` (the exit code). A hook that fails makes the exit code 1.",
        keys: &[
            key(
                "pre-snapshot",
                "COMMAND",
                Words("none"),
                "\"/usr/local/bin/db freeze 'my db'\"",
                "Run before the snapshot is taken. If it fails, the job ends.",
            ),
            key(
                "post-snapshot",
                "COMMAND",
                Words("none"),
                "\"/usr/local/bin/db thaw 'my db'\"",
                "Run after the snapshot, whether or not that succeeded, and after an interrupt.",
            ),
            key(
                "pre-push",
                "COMMAND",
                Words("none"),
                "\"/usr/local/bin/link-is-up\"",
                "Run before the replication. If it fails, the job ends.",
            ),
            key(
                "post-push",
                "COMMAND",
                Words("none"),
                "{ command = \"sync && logger done\", shell = true }",
                "Run after the replication, whether or not that succeeded, and after an interrupt.",
            ),
            key(
                "on-success",
                "COMMAND",
                Words("none"),
                "\"curl -fsS -m 10 https://hc-ping.com/UUID\"",
                "Run at the end if the whole job succeeded. The result of the job is on stdin, as JSON.",
            ),
            key(
                "on-failure",
                "COMMAND",
                Words("none"),
                "[\"mail\", \"-s\", \"zfsync: data failed\", \"root\"]",
                "The same, if something failed or the job was interrupted. Neither of the two is run if the only obstacle was another \
                 run's lock.",
            ),
            key(
                "hook-timeout",
                "TIME",
                Value("\"5m\""),
                "\"30s\"",
                "Kill a hook that takes longer, with all processes of its process group. It has failed then.",
            ),
        ],
    },
];

/// A file with two jobs.
pub const EXAMPLE: &str = r#"[defaults]
log = "/var/log/zfsync/zfsync.log"
state-dir = "/var/lib/zfsync"
retries = 10
job-timeout = "6h"

[job.data]
source = "tank/data"
targets = ["backup:pool/data", "usb/data"]
exclude = ["**/tmp"]
pre-snapshot = "/usr/local/bin/db freeze 'my db'"
post-snapshot = "/usr/local/bin/db thaw 'my db'"
on-failure = ["mail", "-s", "zfsync: data failed", "root"]
keep = { classes = "s=1,m=4,h=3,d=2" }
keep-targets = { grid = "24h,7d,4w,24m" }

[job.data.ssh]
identity = "/root/.ssh/backup"

[job.homes]
sources = ["tank/home", "fast/mail"]
targets = ["backup:pool/homes"]
snapshot = { if-changed = true }
keep = { last = 30 }
delete-missing = "both"
grace = "30d"
"#;

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
