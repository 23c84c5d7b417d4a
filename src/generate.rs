//! Writes the man pages and shell completions from the command line's own definition, so that they can't disagree.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::cli;

/// What the exit codes of a run mean.
const EXITS: [(&str, &str); 6] = [
    ("0", "All selected datasets are in sync. Datasets without snapshots are only mentioned."),
    (
        "1",
        "Some dataset failed or is in conflict; the others are done. Or there is nothing to replicate: no dataset is selected, or none has a snapshot.",
    ),
    ("2", "Usage error, or SOURCE and TARGET overlap. Nothing was started."),
    ("3", "The run could not start: connection, authentication, listing, or the helper, zfs or the pool is missing."),
    ("4", "Another run on this machine works on the same TARGET."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP."),
];

/// What the exit codes of `snapshot` mean.
const SNAPSHOT_EXITS: [(&str, &str); 5] = [
    (
        "0",
        "All snapshots are taken, or nothing has changed. What zfs left out, as it has gone meanwhile, is mentioned.",
    ),
    ("1", "The snapshots of some pool could not be taken; those of the others are. Or no dataset is selected."),
    ("2", "Usage error: also a format or name that ZFS doesn't take. Nothing was taken."),
    ("3", "A dataset doesn't exist or can't be listed, or zfs is missing. Nothing was taken."),
    ("130, 143", "Ended by SIGINT; by SIGTERM."),
];

/// What the exit codes of a status mean.
const STATUS_EXITS: [(&str, &str); 5] = [
    ("0", "All is well. Datasets that only the target has, or that are behind when no limit is given, count as well."),
    ("1", "Some dataset is further behind than --warn."),
    (
        "2",
        "Some dataset is further behind than --crit, missing or in conflict; a target is unreachable; or a usage error.",
    ),
    ("3", "There is nothing to replicate (UNKNOWN), or SOURCE can't be listed, so nothing is known."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP."),
];

/// What the exit codes of a comparison mean.
const VERIFY_EXITS: [(&str, &str); 5] = [
    ("0", "All that was compared is the same."),
    ("1", "Something is missing, behind or different, or could not be compared; or no dataset is selected."),
    ("2", "Usage error, or SOURCE and TARGET overlap."),
    ("3", "Nothing could be compared: connection, authentication, listing, or the helper may not read contents."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP."),
];

const RESTORE: [&str; 2] = [
    "Brings a copy back: a push from where the copy is into a new name, of which all can be used. What arrives is writable \
     (no readonly=on), mountable (no canmount=noauto) and has its device nodes (no volmode=none); nothing is mounted by this command. No \
     bookmarks are left on the copy, and a later push from NEW to the copy goes on with an increment.",
    "Properties of the original were not replicated and can't be restored. Those that somebody has set on the copy's datasets are listed \
     and don't come along either. A forced command on NEW's host needs --allow mountable,volmode,unencrypted.",
];

const TARGETS: [&str; 2] = [
    "Lists the targets that pushes have noted on SOURCE, each in a user property (zfsync:target-ID): as it was written, how its \
     host was reached, since when it is known, the newest snapshot that has arrived as SOURCE's bookmarks tell, and of how many \
     datasets something has arrived or not. No target is asked; zfsync-status(1) asks. Bookmarks that belong to none of them are told.",
    "With --json there is an object for each target: source, target, id, host, dataset, since, datasets_with, \
     datasets_without, newest_arrived, newest_arrived_created; times are in seconds since 1970.",
];

const FORGET: [&str; 1] = [
    "Drops the note of a target, and its bookmarks on SOURCE and below; what that is, is told. prune and cron no longer keep what \
     it may need. Nothing on the target is touched. Where TARGET is more than one, as with several ports, the ID of zfsync-targets(1) \
     tells them apart; so do the options for ssh that were given to push. Exit codes: 0 dropped, 1 something could not be dropped, 2 \
     no such target or usage error, 3 SOURCE can't be listed.",
];

const VERIFY: [&str; 2] = [
    "Compares TARGET with SOURCE and changes nothing. All snapshots of both sides are listed and compared by guid. With \
     --content the newest snapshot that both sides have of each dataset is read on both sides (zfs send, without keys where the \
     copy is stored as the source is), and checksums of all objects are compared. A helper with --root needs --allow verify for \
     that: checksums tell whoever asks whether a guess is right.",
    "With --json there is an object for each dataset: source, target, dataset, target_dataset, state (same, no_snapshots, \
     target_only, behind, missing, different), snapshots_common, snapshots_only_source, snapshots_only_target, clashes, \
     newest_common, content (not_compared, same, different, unreadable), content_bytes, content_objects, content_error, ok.",
];

/// What the exit codes of the helper mean.
const HELPER_EXITS: [(&str, &str); 3] = [
    ("0", "The sender closed the connection in good order."),
    ("1", "The connection broke, or what came over it made no sense."),
    ("2", "Usage error."),
];

const EXAMPLES: [(&str, &str); 5] = [
    ("The tree tank/data, over ssh:", "zfsync push tank/data backup:pool/data"),
    ("Only show what would be done, with sizes:", "zfsync push -n tank/data root@[fd00::2]:pool/data"),
    ("To another pool of this machine, without some datasets:", "zfsync push --exclude '**/tmp' tank usb/tank"),
    (
        "With a key of its own, another port, and sudo over there:",
        "zfsync push -i ~/.ssh/backup -p 2222 --remote-zfsync 'sudo zfsync' tank/data me@backup:pool/data",
    ),
    (
        "From cron, with mail only if something is wrong:",
        "15 * * * *  root  /usr/local/bin/zfsync push -q tank/data backup:pool/data",
    ),
];

const PUSH: [&str; 4] = [
    "SOURCE's own content goes to the dataset that TARGET names, and the datasets below SOURCE go below it. Missing \
     datasets above TARGET are created; the pool must be there. HOST is a name, an alias of ssh_config or an address, \
     IPv6 in brackets.",
    "Nothing on the target is rolled back, overwritten, renamed or destroyed. A dataset that can't be brought in sync \
     without that is reported as a conflict, the others go on, and the exit code is 1.",
    "What is received stays unmounted; the top of a new tree is read-only. Encrypted datasets stay encrypted on the way \
     and on the target, unless --decrypt is given.",
    STATE,
];

/// What `push` and `cron` leave in a state folder.
const STATE: &str = "With --state-dir DIR there is a folder in DIR for each TARGET, and in it a JSON file for each dataset (its result, \
     all words of an error, what arrived, when it was in sync last) and run.json for the run. In names of files all but letters, \
     digits, '-', '_' and '.' is written as %2F. Files are replaced in one piece. That of a dataset which was in sync and \
     is, is left alone: run.json tells when that was confirmed. A dry run writes nothing. What is destroyed, rolled back, replaced or renamed, \
     on either side, is in destroyed.jsonl there, or without --state-dir in /var/lib/zfsync or ~/.local/state/zfsync: a JSON \
     line for each snapshot and dataset before it is done, and one with what came of it.";

const SNAPSHOT_EXAMPLES: [(&str, &str); 4] = [
    ("The tree tank/data:", "zfsync snapshot tank/data"),
    (
        "Only where something was written, and without some datasets:",
        "zfsync snapshot --if-changed --exclude '**/tmp' tank",
    ),
    (
        "Every hour from cron, with mail only if something is wrong:",
        "0 * * * *  root  /usr/local/bin/zfsync snapshot -q tank/data",
    ),
    ("The name for a script:", "name=$(zfsync snapshot tank/data) && zfs hold -r keep \"$name\""),
];

const SNAPSHOT: [&str; 4] = [
    "Takes one snapshot of each DATASET and of all filesystems and volumes below it. All have the same name. Those of a \
     pool are taken by one zfs snapshot in one transaction: all of them or none.",
    "A name is made of the time (UTC, unless --local-time is given) and of a class, which tells how far the last snapshot \
     of the first DATASET with such a name is: S within the same minute, M within the same hour, H within the same day, D \
     otherwise. A name that one of the datasets has already gets a number behind it.",
    "With --if-changed, datasets are left out to which nothing was written since their newest snapshot. What was written \
     in the last seconds may not have reached the disk, and then counts the next time.",
    "stdout has one line, DATASET@NAME, for each DATASET in which snapshots were taken, or with -v one for each of them.",
];

const STATUS: [&str; 4] = [
    "All targets are asked at the same time, and each of them tells its whole tree; snapshots are compared by GUID. No lock \
     is taken and nothing is changed. A target that can't be asked is reported as unreachable.",
    "A dataset is behind for as long as the target has been lacking something: that is the age of the oldest snapshot that \
     it lacks, of those newer than the newest common snapshot or bookmark. A dataset that gets no new snapshots is in sync, \
     however old its newest one is.",
    "With --warn or --crit the first line of the table is that of a monitoring plugin.",
    "With a JOB in place of SOURCE and TARGET all sources and targets of a job of the configuration file are looked at, with its \
     filters and its ways to get there. With --state-dir, or the job's own state-dir, it is told as well what became of each \
     dataset in the last run.",
];

/// What the exit codes of `prune` mean.
const PRUNE_EXITS: [(&str, &str); 6] = [
    ("0", "What had to go is gone, or nothing had to go. What is held or cloned stays, and is mentioned."),
    ("1", "Snapshots of some dataset could not be destroyed; those of the others are. Or no dataset is selected."),
    ("2", "Usage error: also no rule at all. Nothing was destroyed."),
    (
        "3",
        "A dataset can't be listed, or a target can't be reached, or its helper may not destroy. Nothing was destroyed.",
    ),
    ("4", "Another run works on a target. Nothing was destroyed."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP."),
];

const PRUNE: [&str; 5] = [
    "What one rule keeps, stays; rules don't know of each other, and neither do the lengths in --keep. Only snapshots with \
     names as zfsync gives them are touched, unless --foreign is given.",
    "The periods of --keep are those of the calendar in --time-zone: hours begin at the full hour, days at midnight, weeks on \
     Monday; when clocks are set back, the hour that comes twice is two. Of each length the newest N periods that have a \
     snapshot keep their newest one, however long ago that was: nothing goes while no new snapshots come. What is \
     dated in the future is kept, counts for no rule, and is told. Where a clock ran backwards, what is newest by its date stays, \
     and what is newest by the order of creation (createtxg).",
    "Never destroyed: the newest snapshot of a dataset; on the source the newest one that a target has and all newer ones; \
     on a target the newest one that the source has (or has a bookmark of) and all newer ones; what has holds or clones.",
    "Targets that are named are asked. Others are known by the bookmarks that zfsync push leaves on the source; \
     --only-named-targets forgets them.",
    "All sides are looked at before anything is destroyed. Snapshots are destroyed by name and GUID, dataset by dataset; \
     on targets by the helper, which needs --allow destroy in its forced command.",
];

/// What the exit codes of `cron` mean.
const CRON_EXITS: [(&str, &str); 6] = [
    ("0", "All is well; or there is an own snapshot of the present window (-w)."),
    ("1", "The snapshot, a target or the thinning failed. All the others were served."),
    ("2", "Usage error; or the log can't be written. Nothing was done."),
    ("3", "SOURCE can't be listed, or zfs is missing. Nothing was sent."),
    ("4", "Another run has a target, and nothing failed; or another run of this job takes its snapshot for a minute."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP."),
];

const CRON: [&str; 5] = [
    "Takes a snapshot of SOURCE and all below it, brings all targets in sync at the same time, and thins SOURCE by the \
     classes in the names of its snapshots. Targets keep all that arrives, unless there is --thin-targets or --keep-targets.",
    "The first run says what is kept on either side, and so does the first one after that has changed. A user property of \
     SOURCE, zfsync:cron-..., remembers it; a user who isn't root needs the permission userprop for that.",
    "A target that is slow or can't be reached holds up no other one. What it lacks stays on SOURCE until it is back. A \
     target that an earlier run still works on is left to that run.",
    "Nothing else is printed when all is well. Otherwise there is one report on stderr, which cron mails.",
    STATE,
];

/// What the exit codes of `run` mean.
const RUN_EXITS: [(&str, &str); 5] = [
    ("0", "All is well."),
    ("1", "Some job failed, or took too long; or a hook failed. The other jobs are done."),
    (
        "2",
        "Usage error, the file is wrong, or there is no such job: nothing was done. Or the log or the state folder of the only job can't be written.",
    ),
    ("3, 4", "There was one job, and it could not start; or another run has a target, and nothing failed."),
    ("130, 143", "Ended by SIGINT; by SIGTERM or SIGHUP. Jobs that hadn't begun are left out."),
];

const RUN: [&str; 4] = [
    "Does what zfsync cron does, for the jobs of a TOML file, one after the other: a snapshot, all targets at the same time, \
     the thinning, and hooks before and after. Without JOB all jobs are done.",
    "A job is a table [job.NAME] with the keys source (or sources: each goes below the targets, under its last name), targets, \
     include, exclude, depth, recursive, time-zone, only-named-targets, channels, retries, retry-max-wait, stall-timeout, wait-lock, \
     log, log-format, state-dir, job-timeout, pre-snapshot, post-snapshot, pre-push, post-push, hook-timeout; snapshot.enabled, snapshot.format, \
     snapshot.local-time, snapshot.if-changed; keep.classes, keep.last, keep.grid and the same below keep-targets; ssh.port, \
     ssh.identity, ssh.config, ssh.options, ssh.remote-zfsync, ssh.helper. [defaults] has the same keys, for all jobs.",
    "A hook is a command line that is run without a shell. When pre-snapshot or pre-push fails, the job ends; the post hooks \
     run whatever became of what they follow. They find ZFSYNC_JOB, ZFSYNC_SOURCE, ZFSYNC_TARGETS, ZFSYNC_SNAPSHOT and \
     (post-push) ZFSYNC_RESULT in their environment. One that takes longer than hook-timeout is killed.",
    "Nothing is printed when all is well. Otherwise there is one report on stderr for each job that isn't.",
];

const RUN_EXAMPLES: [(&str, &str); 3] = [
    ("All jobs of /etc/zfsync.toml:", "zfsync run"),
    ("Two of them, for six hours each at most:", "zfsync run --job-timeout 6h data mail"),
    ("What they would do:", "zfsync check-config data mail"),
];

/// What the exit codes of `check-config` mean.
const CHECK_EXITS: [(&str, &str); 2] =
    [("0", "The file is fine."), ("2", "It is not, or can't be read; or there is no such job.")];

const CHECK: [&str; 1] = [
    "Tells in plain words what zfsync run would do, job by job; or what is wrong with the file, with line and job. Neither \
     zfs nor any target is asked.",
];

const RECV: [&str; 1] =
    ["A sender starts this command on the target host and speaks a protocol with it. It ends when its stdin does."];

/// Writes `man/` and `completions/` below `dir`.
pub fn generate(dir: &Path) -> Result<()> {
    let man = dir.join("man");
    fs::create_dir_all(&man).with_context(|| format!("can't make {}", man.display()))?;
    let mut top = command();
    top.build();
    for command in std::iter::once(&top).chain(top.get_subcommands()) {
        let page = Man::new(command.clone());
        let path = man.join(page.get_filename());
        let mut bytes = Vec::new();
        render(&page, command.get_name(), &mut bytes)
            .and_then(|()| fs::write(&path, &bytes))
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    let completions = dir.join("completions");
    fs::create_dir_all(&completions).with_context(|| format!("can't make {}", completions.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), "zfsync", &completions)
            .with_context(|| format!("can't write into {}", completions.display()))?;
    }
    Ok(())
}

/// The command line without hidden commands, which some shells' generators would show.
fn command() -> clap::Command {
    let full = cli::command();
    let visible = full.get_subcommands().filter(|command| !command.is_hide_set());
    clap::Command::new("zfsync")
        .version(env!("CARGO_PKG_VERSION"))
        .about(full.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommands(visible.cloned())
}

fn render(page: &Man, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let (title, usage, described): (_, _, &[&str]) = match name {
        "push" => ("zfsync-push", "zfsync push [OPTION]... SOURCE [[USER@]HOST:]TARGET", &PUSH),
        "snapshot" => ("zfsync-snapshot", "zfsync snapshot [OPTION]... DATASET...", &SNAPSHOT),
        "status" => ("zfsync-status", "zfsync status [OPTION]... JOB | SOURCE [[USER@]HOST:]TARGET...", &STATUS),
        "restore" => ("zfsync-restore", "zfsync restore [OPTION]... COPY[@SNAPSHOT] [[USER@]HOST:]NEW", &RESTORE),
        "verify" => ("zfsync-verify", "zfsync verify [OPTION]... SOURCE [[USER@]HOST:]TARGET", &VERIFY),
        "targets" => ("zfsync-targets", "zfsync targets [OPTION]... SOURCE", &TARGETS),
        "forget" => ("zfsync-forget", "zfsync forget [OPTION]... SOURCE [[USER@]HOST:]TARGET | ID", &FORGET),
        "prune" => ("zfsync-prune", "zfsync prune [OPTION]... RULE... DATASET... [[USER@]HOST:TARGET]...", &PRUNE),
        "cron" => ("zfsync-cron", "zfsync cron [OPTION]... SOURCE [[USER@]HOST:]TARGET...", &CRON),
        "run" => ("zfsync-run", "zfsync run [OPTION]... [JOB]...", &RUN),
        "check-config" => ("zfsync-check-config", "zfsync check-config [OPTION]... [JOB]...", &CHECK),
        "recv" => ("zfsync-recv", "zfsync recv --stdio", &RECV),
        _ => ("zfsync", "zfsync COMMAND [ARGUMENT]...", &[]),
    };
    // Date and version stay out: a release would change every page. The crate leaves an empty date out altogether, and
    // the version would take its place.
    writeln!(out, ".TH {title} 1 \"\" \"zfsync\" \"User Commands\"")?;
    page.render_name_section(out)?;
    let mut roff = Roff::default();
    roff.control("SH", ["SYNOPSIS"]).text([roman(usage)]);
    roff.to_writer(out)?;
    page.render_description_section(out)?;
    let mut roff = Roff::default();
    for text in described {
        roff.control("PP", []).text([roman(*text)]);
    }
    roff.to_writer(out)?;
    page.render_options_section(out)?;
    let mut roff = Roff::default();
    match name {
        "push" => {
            exits(&mut roff, &EXITS);
            environment(&mut roff);
            examples(&mut roff, &EXAMPLES);
            see_also(
                &mut roff,
                &[("zfsync", "1"), ("ssh", "1"), ("ssh_config", "5"), ("zfs-send", "8"), ("zfs-receive", "8")],
            );
        }
        "snapshot" => {
            exits(&mut roff, &SNAPSHOT_EXITS);
            examples(&mut roff, &SNAPSHOT_EXAMPLES);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-push", "1"), ("strftime", "3"), ("zfs-snapshot", "8")]);
        }
        "status" => {
            exits(&mut roff, &STATUS_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-push", "1"), ("ssh", "1")]);
        }
        "restore" => {
            exits(&mut roff, &EXITS);
            see_also(
                &mut roff,
                &[("zfsync", "1"), ("zfsync-push", "1"), ("zfsync-verify", "1"), ("zfs-load-key", "8")],
            );
        }
        "verify" => {
            exits(&mut roff, &VERIFY_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-status", "1"), ("zfsync-push", "1"), ("zfs-send", "8")]);
        }
        "targets" | "forget" => {
            see_also(
                &mut roff,
                &[("zfsync", "1"), ("zfsync-push", "1"), ("zfsync-prune", "1"), ("zfsync-status", "1")],
            );
        }
        "prune" => {
            exits(&mut roff, &PRUNE_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-snapshot", "1"), ("zfs-destroy", "8")]);
        }
        "cron" => {
            exits(&mut roff, &CRON_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-push", "1"), ("zfsync-prune", "1"), ("crontab", "5")]);
        }
        "run" => {
            exits(&mut roff, &RUN_EXITS);
            examples(&mut roff, &RUN_EXAMPLES);
            let pages = ["zfsync", "zfsync-cron", "zfsync-check-config"].map(|name| (name, "1"));
            see_also(&mut roff, &pages);
        }
        "check-config" => {
            exits(&mut roff, &CHECK_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-run", "1")]);
        }
        "recv" => {
            exits(&mut roff, &HELPER_EXITS);
            see_also(&mut roff, &[("zfsync", "1"), ("zfsync-push", "1"), ("zfs-receive", "8")]);
        }
        _ => {
            page.render_subcommands_section(out)?;
            exits(&mut roff, &EXITS);
            examples(&mut roff, &EXAMPLES);
            let pages = ["push", "cron", "run", "check-config", "snapshot", "prune", "status", "recv"]
                .map(|name| format!("zfsync-{name}"));
            let own = pages.iter().map(|page| (page.as_str(), "1"));
            see_also(&mut roff, &own.chain([("ssh", "1"), ("zfs", "8")]).collect::<Vec<_>>());
        }
    }
    roff.to_writer(out)
}

fn exits(roff: &mut Roff, codes: &[(&str, &str)]) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in codes {
        roff.control("TP", []).text([bold(*code)]).text([roman(*meaning)]);
    }
}

fn environment(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in [
        ("PATH", "Where zfs and ssh are looked for; for zfs also in /sbin, /usr/sbin and /usr/local/sbin."),
        ("XDG_RUNTIME_DIR", "Where ssh's control sockets go; /run without it, or the directory for temporary files."),
        (
            "ZFSYNC_LOCK_DIR",
            "Where locks go, in place of /run/zfsync for root and zfsync-UID in /run/lock, /dev/shm, /tmp or /var/tmp for others. Runs that \
             name different places don't keep each other away.",
        ),
        (
            "ZFSYNC_HELPERS",
            "The directory with the helpers that are sent to hosts without zfsync, in place of ../lib/zfsync/helpers beside the zfsync binary.",
        ),
        ("NO_COLOR", "No colours when it is set."),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
}

fn examples(roff: &mut Roff, examples: &[(&str, &str)]) {
    roff.control("SH", ["EXAMPLES"]);
    for (what, line) in examples {
        roff.control("PP", []).text([roman(*what)]);
        roff.control("RS", ["4"]).control("nf", []).text([roman(*line)]).control("fi", []).control("RE", []);
    }
}

fn see_also(roff: &mut Roff, pages: &[(&str, &str)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for (at, (name, section)) in pages.iter().enumerate() {
        let comma = if at + 1 < pages.len() { ", " } else { "" };
        words.extend([italic(*name), roman(format!("({section}){comma}"))]);
    }
    roff.text(words);
}
