//! What the man pages say beside the command line's own definition, a [`Page`] for each command.

/// What a page has that `--help` has not, or not in full.
pub struct Page {
    /// The line of the synopsis.
    pub usage: &'static str,
    /// Paragraphs behind the first sentence.
    pub description: &'static [&'static str],
    /// Exit codes and what they mean.
    pub exits: &'static [(&'static str, &'static str)],
    /// Whether the environment matters.
    pub environment: bool,
    /// What an example does, and its command line; behind those of `--help`.
    pub examples: &'static [(&'static str, &'static str)],
    /// Other pages, with their sections where that isn't 1.
    pub see_also: &'static [&'static str],
}

const INTERRUPTED: (&str, &str) = ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP.");

/// Of whatever replicates.
const EXITS: [(&str, &str); 6] = [
    ("0", "All selected datasets are in sync. Datasets without snapshots are only mentioned."),
    (
        "1",
        "A dataset failed or is in conflict; all others are done. Or there is nothing to replicate: no dataset is selected, or none has \
         a snapshot.",
    ),
    ("2", "Usage error, or SOURCE and TARGET overlap or, in push and pull, are swapped. Nothing was started."),
    (
        "3",
        "The run could not start: connecting, authenticating or listing failed, or the helper, zfs or the pool is missing.",
    ),
    ("4", "Another run, from this machine or from another host, holds the lock of the same TARGET."),
    INTERRUPTED,
];

/// Of either helper.
const HELPER_EXITS: [(&str, &str); 3] = [
    ("0", "The other side closed the connection properly."),
    ("1", "The connection was lost, or the other side broke the protocol."),
    ("2", "Usage error."),
];

/// What `push` and `cron` leave in a state directory.
const STATE: &str = "With --state-dir DIR, DIR gets a directory for each TARGET with a JSON file for each dataset (its result, the full \
     error message, what was received, and when it was last in sync), and run.json for the run. In file names all characters except \
     letters, digits, '-', '_' and '.' are written as in %2F. Files are replaced atomically. The file of a dataset that stays in sync is \
     not rewritten; run.json has the time at which that was confirmed. A dry run writes nothing. Whatever is destroyed, rolled back, \
     replaced or renamed, on either side, is logged in destroyed.jsonl there, or without --state-dir in /var/lib/zfsync or \
     ~/.local/state/zfsync: one JSON line for each snapshot and dataset beforehand, and one with the outcome.";

/// Variables and what they mean.
pub const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "Where zfs and ssh are looked up; zfs also in /sbin, /usr/sbin and /usr/local/sbin."),
    (
        "XDG_RUNTIME_DIR",
        "Directory for ssh's control sockets; if it is not set, /run or the directory for temporary files is used.",
    ),
    (
        "ZFSYNC_LOCK_DIR",
        "Directory for locks; by default /run/zfsync for root, and zfsync-UID in /run/lock, /dev/shm, /tmp or /var/tmp for other users. \
         Runs with different directories do not exclude each other.",
    ),
    (
        "ZFSYNC_HELPERS",
        "Directory with the helpers that are sent to hosts without zfsync; by default ../lib/zfsync/helpers beside the zfsync binary.",
    ),
    ("NO_COLOR", "If set, output has no colours."),
];

const TOP: Page = Page {
    usage: "zfsync COMMAND [ARGUMENT]...",
    description: &[],
    exits: &EXITS,
    environment: true,
    examples: &[
        ("Replicate tank/data to the host backup", "zfsync push tank/data backup:pool/data"),
        ("Replicate it from the host web to this machine", "zfsync pull web:tank/data pool/web"),
        ("Show how far the copy is behind", "zfsync status tank/data backup:pool/data"),
    ],
    see_also: &["zfsync.toml.5", "ssh", "zfs.8"],
};

const PUSH: Page = Page {
    usage: "zfsync push [OPTION]... [[USER@]HOST:]SOURCE [[USER@]HOST:]TARGET",
    description: &[
        "SOURCE is received as the dataset TARGET, and the datasets below SOURCE are received below it. Missing datasets above TARGET are \
         created; the pool must exist. HOST is a host name, an alias of ssh_config(5) or an address, IPv6 in brackets.",
        "Unless you ask for it (--rollback, --set-aside, --replace, --delete-missing, --follow-renames), nothing on the target is rolled \
         back, overwritten, renamed or destroyed. A dataset that can't be replicated without that is reported as a conflict; all others \
         are still replicated, and the exit code is 1.",
        "Received datasets stay unmounted, and the top of a new tree gets readonly=on. Encrypted datasets are sent raw and stay encrypted \
         in transit and on the target, unless --decrypt is given.",
        STATE,
    ],
    exits: &EXITS,
    environment: true,
    examples: &[
        (
            "With a key of its own, another port, and sudo on the target host",
            "zfsync push -i ~/.ssh/backup -p 2222 --remote-zfsync 'sudo zfsync' tank/data me@backup:pool/data",
        ),
        (
            "From cron, with mail only if something is wrong",
            "15 * * * *  root  /usr/local/bin/zfsync push -q tank/data backup:pool/data",
        ),
    ],
    see_also: &["zfsync", "zfsync-pull", "ssh", "ssh_config.5", "zfs-send.8", "zfs-receive.8"],
};

const PULL: Page = Page {
    usage: "zfsync pull [OPTION]... [[USER@]HOST:]SOURCE [[USER@]HOST:]TARGET",
    description: &[
        "Does what zfsync-push(1) does, with SOURCE on another host: options, conflicts and exit codes are the same. The source's host \
         needs zfsync, which is started there over ssh as zfsync-send(1). Nothing is changed there except zfsync's own bookmarks and user \
         properties.",
        "If SOURCE and TARGET are on two other hosts, all data passes through this machine. The port and key for each of them come from \
         ssh_config(5).",
    ],
    exits: &EXITS,
    environment: true,
    examples: &[(
        "With sudo on the source's host",
        "zfsync pull --remote-zfsync 'sudo zfsync' me@web:tank/data pool/web",
    )],
    see_also: &["zfsync", "zfsync-push", "zfsync-send", "ssh", "ssh_config.5", "zfs-send.8", "zfs-receive.8"],
};

const SNAPSHOT: Page = Page {
    usage: "zfsync snapshot [OPTION]... DATASET...",
    description: &[
        "Takes one snapshot of each DATASET and of all filesystems and volumes below it. All have the same name. Those of a pool are taken \
         by one zfs snapshot in one transaction: all of them or none.",
        "The name consists of the time (UTC, unless --local-time is given) and a class, which depends on when the previous snapshot of the \
         first DATASET with such a name was taken: S in the same minute, M in the same hour, H on the same day, and D otherwise. If one of \
         the datasets already has a snapshot of that name, a number is appended.",
        "With --if-changed, datasets that were not written to since their newest snapshot are skipped. Data that was written in the last \
         few seconds may not have reached the disk yet; it then counts the next time.",
        "stdout has one line, DATASET@NAME, for each DATASET of which snapshots were taken, or with -v one for each snapshot.",
        "Snapshots are taken on this machine. To take them on another host, run zfsync snapshot there.",
    ],
    exits: &[
        (
            "0",
            "All snapshots were taken, or nothing has changed. Datasets that disappeared in the meantime are mentioned.",
        ),
        ("1", "The snapshots of some pool could not be taken; those of the others were. Or no dataset is selected."),
        ("2", "Usage error, including a format or name that ZFS does not accept. Nothing was taken."),
        ("3", "A dataset does not exist or can't be listed, or zfs is missing. Nothing was taken."),
        ("130, 143", "Ended by SIGINT; by SIGTERM."),
    ],
    environment: false,
    examples: &[
        (
            "Every hour from cron, with mail only if something is wrong",
            "0 * * * *  root  /usr/local/bin/zfsync snapshot -q tank/data",
        ),
        ("Use the name in a script", "name=$(zfsync snapshot tank/data) && zfs hold -r keep \"$name\""),
    ],
    see_also: &["zfsync", "zfsync-push", "strftime.3", "zfs-snapshot.8"],
};

const STATUS: Page = Page {
    usage: "zfsync status [OPTION]... JOB | [[USER@]HOST:]SOURCE [[USER@]HOST:]TARGET...",
    description: &[
        "All targets are queried at the same time, and each lists its whole tree; snapshots are compared by GUID. No lock is taken and \
         nothing is changed. A target that can't be queried is reported as unreachable.",
        "A dataset is behind by the age of the oldest snapshot that the target lacks, of those newer than the newest common snapshot or \
         bookmark. A dataset without new snapshots is in sync, however old its newest one is.",
        "A target that was written to since the newest common snapshot is in conflict, as a push reports it; while it is in sync, a line below \
         the table says so.",
        "With --warn or --crit, the first line of the table is that of a monitoring plugin.",
        "With a JOB instead of SOURCE and TARGET, all sources and targets of a job of the configuration file are compared, with its filters \
         and ssh options. With --state-dir, or the job's own state-dir, the result of each dataset in the last run is shown as well.",
    ],
    exits: &[
        (
            "0",
            "OK. This includes datasets that exist only on the target, and datasets that are behind if no limit is given.",
        ),
        ("1", "A dataset is behind by more than --warn."),
        (
            "2",
            "A dataset is behind by more than --crit, or is missing or in conflict; a target is unreachable; or a usage error.",
        ),
        ("3", "There is nothing to replicate (UNKNOWN), or SOURCE can't be listed, so that nothing is known."),
        INTERRUPTED,
    ],
    environment: true,
    examples: &[],
    see_also: &["zfsync", "zfsync-push", "zfsync-targets", "ssh"],
};

const RESTORE: Page = Page {
    usage: "zfsync restore [OPTION]... [[USER@]HOST:]COPY[@SNAPSHOT] [[USER@]HOST:]NEW",
    description: &[
        "Replicates a copy to a new dataset that is ready for use: it is writable (no readonly=on) and mountable (no canmount=noauto), and \
         volumes have their device nodes (no volmode=none). This command mounts nothing. No bookmarks are created on the copy, and a later \
         push from NEW to the copy continues with an increment.",
        "The properties of the original were not replicated and can't be restored. Properties that were set on the copy are listed, and \
         are not restored either. A forced command on NEW's host needs --allow mountable,volmode,unencrypted.",
    ],
    exits: &EXITS,
    environment: true,
    examples: &[],
    see_also: &["zfsync", "zfsync-push", "zfsync-verify", "zfs-load-key.8"],
};

const VERIFY: Page = Page {
    usage: "zfsync verify [OPTION]... [[USER@]HOST:]SOURCE [[USER@]HOST:]TARGET",
    description: &[
        "Compares TARGET with SOURCE and changes nothing. All snapshots of both sides are listed and compared by GUID. With --content, the \
         newest common snapshot of each dataset is read on both sides (zfs send; without keys if the copy is raw), and the checksums of \
         all objects are compared. A helper with --root needs --allow verify for that, as checksums reveal whether a guess at the content \
         is right.",
        "With --json, there is an object for each dataset: source, target, dataset, target_dataset, state (same, no_snapshots, target_only, \
         behind, missing, different), snapshots_common, snapshots_only_source, snapshots_only_target, clashes, newest_common, content \
         (not_compared, same, different, unreadable), content_bytes, content_objects, content_error, ok.",
    ],
    exits: &[
        ("0", "All compared datasets are identical."),
        ("1", "A dataset is missing, behind or different, or could not be compared; or no dataset is selected."),
        ("2", "Usage error, or SOURCE and TARGET overlap."),
        (
            "3",
            "Nothing could be compared: connecting, authenticating or listing failed, or the helper may not read contents.",
        ),
        INTERRUPTED,
    ],
    environment: true,
    examples: &[],
    see_also: &["zfsync", "zfsync-status", "zfsync-push", "zfs-send.8"],
};

const DOCTOR: Page = Page {
    usage: "zfsync doctor [OPTION]... [USER@]HOST[:DATASET]\nzfsync doctor [--json] [-c FILE] --job JOB",
    description: &[
        "Connects to the hosts of the source and the target, as far as they are given, and checks what a first run depends on: the ssh \
         connection, zfsync on the other host and the restrictions of its forced command, how many sessions sshd permits over one \
         connection (MaxSessions), the round-trip time, the clock, OpenZFS and its kernel module, the pool, permissions (zfs allow, with \
         the command that grants those that are missing), free space, encryption and keys, and features that are active in the source's \
         pool but not enabled in the target's. No dataset is changed, and no lock is taken; a host without zfsync gets a helper, as in a run.",
        "With both ends, it also plans a push between them, as push --dry-run does: each conflict is a failure. If only a snapshot is \
         missing, because SOURCE has none yet or TARGET is ahead, that is a warning, as cron and run take one first; for a job that takes \
         no snapshots, it is a failure.",
        "Each line has a mark: OK; WARN if a run works, but with limits; FAIL if it would fail; ? if it can't be determined, for example \
         with an older zfsync on the other host. The line below it says what to do.",
        "With --json, there is one object, or with --job one per line for each target: schema_version, failures, warnings, unknown, and \
         ends: role (source, target), host, dataset, zfsync, user, zfs_userland, zfs_kernel_module, available_bytes, connection \
         (login_seconds, login_method, cipher, greeting_seconds, round_trip_seconds, sessions_granted, sessions_asked, \
         clock_ahead_seconds) and findings (check, mark, words, advice), where mark is ok, warning, failure or unknown.",
    ],
    exits: &[
        ("0", "No failures; there may be warnings."),
        ("1", "A run would fail because of what is marked FAIL."),
        ("2", "Usage error."),
        (
            "3",
            "Nothing could be checked: no connection to any host that was named, or no helper that starts there. If one end was checked: 1.",
        ),
        INTERRUPTED,
    ],
    environment: true,
    examples: &[],
    see_also: &["zfsync", "zfsync-push", "zfs-allow.8", "zpool-features.7", "sshd_config.5"],
};

const HELPER: Page = Page {
    usage: "zfsync helper install [--system] [--force] [OPTION]... [USER@]HOST\nzfsync helper remove [OPTION]... [USER@]HOST",
    description: &[
        "Where no zfsync is installed, a run sends a helper along and leaves it in a cache on the other host: in $XDG_CACHE_HOME/zfsync, \
         ~/.cache/zfsync, /var/tmp/zfsync-helper-UID or /tmp/zfsync-helper-UID, whichever can be used first. Each is named by the hash of \
         its content, verified before it is used, and removed by a later run when it has not been used for a day and a newer one is sent. \
         zfsync helper remove removes all of them.",
        "zfsync helper install puts the helper where it stays: as ~/.local/bin/zfsync, or with --system as /usr/local/bin/zfsync. It prints \
         the line for authorized_keys with which a key can do nothing but receive below one dataset. An existing file is replaced only if \
         it is an older helper, or with --force a newer one.",
        "The options are those of ssh: --port, --identity, --ssh-config and --ssh-option; see zfsync-push(1).",
    ],
    exits: &[
        ("0", "Done, or there was nothing to do."),
        ("1", "Something else is installed there, and was kept."),
        ("2", "Usage error."),
        ("3", "No connection, or it could not be done."),
        INTERRUPTED,
    ],
    environment: true,
    examples: &[],
    see_also: &["zfsync", "zfsync-push", "zfsync-recv", "authorized_keys.5"],
};

const TARGETS: Page = Page {
    usage: "zfsync targets [OPTION]... [[USER@]HOST:]SOURCE",
    description: &[
        "Lists the targets that pushes have recorded on SOURCE, each in a user property (zfsync:target-ID): its name as it was given, how \
         its host was reached, when it was first recorded, the newest snapshot that it has received according to SOURCE's bookmarks, and \
         how many datasets it has received and lacks. It connects to no target; zfsync-status(1) does. Bookmarks that belong to none of \
         these targets are listed as well.",
        "With --json, there is an object for each target: source, target, id, host, dataset, since, datasets_with, datasets_without, \
         newest_arrived, newest_arrived_created; times are in seconds since 1970.",
    ],
    exits: &[
        ("0", "The targets were listed, even if there are none."),
        ("2", "Usage error."),
        ("3", "SOURCE can't be listed."),
    ],
    environment: false,
    examples: &[],
    see_also: &["zfsync", "zfsync-forget", "zfsync-push", "zfsync-prune", "zfsync-status"],
};

const FORGET: Page = Page {
    usage: "zfsync forget [OPTION]... [[USER@]HOST:]SOURCE [[USER@]HOST:]TARGET | ID",
    description: &[
        "Removes the record of a target, and its bookmarks on SOURCE and below, and reports what was removed. prune and cron then no longer \
         keep the snapshots that it may need. Nothing on the target is changed. If TARGET stands for several targets, such as with \
         different ports, select one by its ID from zfsync-targets(1), or by the ssh options that were given to push.",
    ],
    exits: &[
        ("0", "The record and the bookmarks were removed."),
        ("1", "Some of them could not be removed."),
        ("2", "There is no such target, or usage error."),
        ("3", "SOURCE can't be listed."),
    ],
    environment: false,
    examples: &[],
    see_also: &["zfsync", "zfsync-targets", "zfsync-push", "zfsync-prune"],
};

const PRUNE: Page = Page {
    usage: "zfsync prune [OPTION]... RULE... DATASET... [[USER@]HOST:TARGET]...",
    description: &[
        "A snapshot is kept if any rule keeps it: the rules, and the periods of --keep, are independent of each other. Only snapshots \
         whose names match --format are destroyed, unless --foreign is given.",
        "The periods of --keep are those of the calendar in --time-zone: hours begin at the full hour, days at midnight and weeks on Monday; \
         when clocks are set back, the repeated hour counts as two. For each unit, the newest N periods that have a snapshot keep their \
         newest one, however old it is: nothing is destroyed while no new snapshots are taken. Snapshots dated in the future are kept, count \
         for no rule, and are reported. If a clock has run backwards, the newest snapshot by date is kept as well as the newest by order of \
         creation (createtxg).",
        "Never destroyed: the newest snapshot of a dataset; on the source, the newest one that a target has, and all newer ones; on a \
         target, the newest one that the source has (or has a bookmark of), and all newer ones; snapshots with holds or clones.",
        "Targets given on the command line are queried. Others are known from the records and bookmarks that zfsync push leaves on the \
         source; --only-named-targets ignores those.",
        "All sides are listed before anything is destroyed. Snapshots are destroyed by name and GUID, dataset by dataset; on targets by the \
         helper, which needs --allow destroy in its forced command.",
    ],
    exits: &[
        (
            "0",
            "All snapshots that no rule keeps were destroyed, or there were none. Those with holds or clones are kept and mentioned.",
        ),
        ("1", "Snapshots of some dataset could not be destroyed; those of the others were. Or no dataset is selected."),
        ("2", "Usage error; also if no retention rule is given. Nothing was destroyed."),
        (
            "3",
            "A dataset can't be listed, or a target can't be reached, or its helper may not destroy. Nothing was destroyed.",
        ),
        ("4", "Another run holds the lock of a target. Nothing was destroyed."),
        INTERRUPTED,
    ],
    environment: false,
    examples: &[],
    see_also: &["zfsync", "zfsync-snapshot", "zfsync-targets", "zfs-destroy.8"],
};

const CRON: Page = Page {
    usage: "zfsync cron [OPTION]... [[USER@]HOST:]SOURCE [[USER@]HOST:]TARGET...",
    description: &[
        "Takes a snapshot of SOURCE and all datasets below it, replicates to all targets at the same time, and prunes SOURCE by the classes \
         in the names of its snapshots. Targets keep everything that they receive, unless --prune-targets or --keep-targets is given.",
        "The first run reports which snapshots are kept on either side, and so does the first run after a change. This is recorded in a \
         user property of SOURCE, zfsync:cron-..., for which users other than root need the userprop permission. If a copy keeps snapshots \
         that its own targets may need, that is reported once, and recorded in zfsync:kept-...; without that permission it is not reported.",
        "A target that is slow or can't be reached delays no other one. What it lacks is kept on SOURCE until it is back. A target that an \
         earlier run is still working on is left to that run.",
        "Nothing else is printed on success. Otherwise there is one report on stderr, which cron mails.",
        STATE,
    ],
    exits: &[
        ("0", "Success; or zfsync has already taken a snapshot in the current window (-w)."),
        ("1", "The snapshot, a target or pruning failed. All the others are done."),
        ("2", "Usage error; or the log can't be written. Nothing was done."),
        ("3", "SOURCE can't be listed, or zfs is missing. Nothing was sent."),
        (
            "4",
            "Another run holds the lock of a target, and nothing failed; or another run of this job has been taking its snapshot for a \
             minute.",
        ),
        INTERRUPTED,
    ],
    environment: true,
    examples: &[],
    see_also: &["zfsync", "zfsync-push", "zfsync-prune", "zfsync-run", "crontab.5"],
};

const RUN: Page = Page {
    usage: "zfsync run [OPTION]... [JOB]...",
    description: &[
        "Does what zfsync-cron(1) does for the jobs of a TOML file, one after the other: a snapshot, all targets at the same time, pruning, \
         and hooks before and after. Without JOB, all jobs are run.",
        "zfsync.toml(5) describes the file: a table [job.NAME] for each job, and [defaults] for what jobs have in common.",
        "If the hook pre-snapshot or pre-push fails, the job ends. The post hooks are run whether or not what they follow succeeded.",
        "At the end of a job, on-success is run if all of it succeeded, and on-failure if some of it failed or it was interrupted; neither \
         is run if the only obstacle was another run's lock. They read the result of the job as one JSON object from stdin: \
         schema_version (1), job, host, result (success, failed, not-started or interrupted; of a part also locked), exit_code, started, duration_seconds, sources, \
         targets, snapshot, parts (part, result, message) and error.",
        "Nothing is printed on success. Otherwise there is one report on stderr for each job that failed.",
    ],
    exits: &[
        ("0", "Success."),
        ("1", "A job failed, or took too long; or a hook failed. The other jobs are done."),
        (
            "2",
            "Usage error, the file is invalid, or there is no such job: nothing was done. Or the log or the state directory of the only job \
             can't be written.",
        ),
        (
            "3, 4",
            "There was one job, and it could not start; or another run holds the lock of a target, and nothing failed.",
        ),
        ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP. Jobs that had not begun are skipped."),
    ],
    environment: true,
    examples: &[("Show what they would do", "zfsync check-config data mail")],
    see_also: &["zfsync", "zfsync-cron", "zfsync-check-config", "zfsync.toml.5"],
};

const CHECK_CONFIG: Page = Page {
    usage: "zfsync check-config [OPTION]... [JOB]...",
    description: &[
        "Shows what zfsync-run(1) would do, job by job, or the errors in the file, with line and job. No zfs command is run, and no host is \
         contacted.",
    ],
    exits: &[("0", "The file is valid."), ("2", "It is not, or it can't be read; or there is no such job.")],
    environment: false,
    examples: &[("Check another file", "zfsync check-config --config ./zfsync.toml")],
    see_also: &["zfsync", "zfsync-run", "zfsync.toml.5"],
};

const RECV: Page = Page {
    usage: "zfsync recv --stdio [OPTION]...",
    description: &[
        "zfsync push starts this command on the target's host and speaks a protocol with it. It exits at the end of its stdin.",
    ],
    exits: &HELPER_EXITS,
    environment: false,
    examples: &[(
        "In authorized_keys, for a key that can only receive below pool/backup",
        "restrict,command=\"zfsync recv --stdio --root pool/backup\" ssh-ed25519 AAAA...",
    )],
    see_also: &["zfsync", "zfsync-push", "sshd.8", "zfs-receive.8"],
};

const SEND: Page = Page {
    usage: "zfsync send --stdio [OPTION]...",
    description: &[
        "zfsync pull starts this command on the source's host and speaks a protocol with it. It exits at the end of its stdin.",
    ],
    exits: &HELPER_EXITS,
    environment: false,
    examples: &[(
        "In authorized_keys, for a key that can only send tank/data",
        "restrict,command=\"zfsync send --stdio --root tank/data\" ssh-ed25519 AAAA...",
    )],
    see_also: &["zfsync", "zfsync-pull", "sshd.8", "zfs-send.8"],
};

/// The page of a command, by its name.
///
/// # Panics
/// If there is none: each command has its own.
pub fn of(command: &str) -> Page {
    match command {
        "zfsync" => TOP,
        "push" => PUSH,
        "pull" => PULL,
        "cron" => CRON,
        "run" => RUN,
        "check-config" => CHECK_CONFIG,
        "snapshot" => SNAPSHOT,
        "prune" => PRUNE,
        "status" => STATUS,
        "targets" => TARGETS,
        "forget" => FORGET,
        "doctor" => DOCTOR,
        "helper" => HELPER,
        "verify" => VERIFY,
        "restore" => RESTORE,
        "recv" => RECV,
        "send" => SEND,
        other => unreachable!("zfsync {other} has no man page"),
    }
}
