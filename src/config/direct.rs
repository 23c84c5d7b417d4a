//! `--direct`: how the source's host is told to push straight to the target's, and what it makes of that.

use std::sync::Arc;
use std::time::Duration;

use super::ends::named_command;
use super::{OnlyThere, PushJob, Ways};
use crate::cli::{self, DeleteMissing};
use crate::error::StartError;
use crate::format::Rate;
use crate::plan::{Format, MaxDelete};
use crate::remote::bootstrap::{HelperCommand, HelperFrom};
use crate::remote::direct::{Look, Order, REMOTE_DIRECT};
use crate::remote::link::{Ends, Link};
use crate::remote::target::Host;
use zfs::Allow;

/// So many streams or connections at most, as on the command line.
const MOST: u16 = 64;
/// Longer times are mistakes, as on the command line.
const LONGEST: u64 = 366 * 24 * 3600;

/// How the source's host is told.
#[derive(Debug, Clone)]
pub struct Direct {
    /// The way to it, with the command that is started there.
    pub link: Link,
    /// How it calls zfsync on the target's host.
    remote_zfsync: Option<String>,
    /// Where it takes the helper on the target's host from.
    helper: Option<HelperFrom>,
    /// What calls `zfs` there, where that alone is used.
    remote_zfs: Option<String>,
}

impl Direct {
    /// What is asked for, if that can be meant with SOURCE and TARGET on these hosts.
    pub(super) fn new(args: cli::Direct, ends: &Ends, ways: Ways<'_>) -> Result<Option<Self>, StartError> {
        if !args.direct {
            return if args.forward_agent {
                Err(StartError::Usage(
                    "forward-agent is only for direct = true: the agent is not forwarded otherwise".into(),
                ))
            } else {
                Ok(None)
            };
        }
        let (Some(source), Some(_)) = (ends.source.host(), ends.target.host()) else {
            let words = "--direct is for SOURCE and TARGET on two other hosts, both written as [USER@]HOST:DATASET: with one of them on \
                this machine, data is sent directly anyway";
            return Err(StartError::Usage(words.into()));
        };
        if !std::ptr::eq(ways.source, ways.target) {
            only_what_is_meant(ways.target, source)?;
        }
        let mut link = ends.source.link.clone();
        // A helper that is sent along can't do that: zfsync itself is needed there.
        let command = ways.source.remote_zfsync.as_deref();
        let command = command.map(|command| named_command(command, "direct --stdio")).transpose()?;
        link.helper = HelperCommand::named(command.unwrap_or_else(|| REMOTE_DIRECT.to_owned()));
        link.ssh.forward_agent = args.forward_agent;
        let cli::Ssh { remote_zfsync, remote_zfs, helper, .. } = ways.target.clone();
        Ok(Some(Self { link, remote_zfsync, helper, remote_zfs }))
    }
}

/// From one host to another ssh is configured on the first.
fn only_what_is_meant(target: &cli::Ssh, source: &Host) -> Result<(), StartError> {
    let said = [
        ("port", target.port.is_some()),
        ("identity", target.identity.is_some()),
        ("config", target.ssh_config.is_some()),
        ("options", !target.ssh_option.is_empty()),
    ];
    match said.iter().find(|(_, said)| *said) {
        None => Ok(()),
        Some((key, _)) => Err(StartError::Usage(format!(
            "ssh.{key} has no effect with direct, as {source} connects to the target with its own ssh configuration: set it in ssh_config \
             there"
        ))),
    }
}

/// What the source's host is told.
#[must_use]
pub fn order(job: &PushJob) -> Order {
    let (given, missing, faults) = (job.filter.given(), &job.missing, &job.faults);
    let small = |number: usize| u16::try_from(number).unwrap_or(MOST);
    Order {
        source: job.ends.source.dataset.to_string(),
        target: job.ends.target.to_string(),
        depth: given.depth,
        include: given.include.clone(),
        exclude: given.exclude.clone(),
        newest_only: job.newest_only,
        skip_empty: job.skip_empty,
        decrypt: job.decrypt,
        volmode: job.volmode,
        allow_unencrypted: job.allow_unencrypted,
        allow_key_mismatch: job.allow_key_mismatch,
        allow_rekey: job.ends.target.link.allow.contains(&Allow::Rekey),
        allow_unproven_bookmarks: job.allow_unproven_bookmarks,
        dry_run: job.dry_run,
        channels: small(job.channels),
        connections: job.connections.map(small),
        bwlimit: job.pace.as_ref().map(|pace| pace.per_second().get()),
        no_resume: !job.resume,
        no_bookmark: !job.bookmarks,
        rollback: job.resolutions.rollback,
        set_aside: job.resolutions.set_aside,
        replace: job.resolutions.replace.iter().map(ToString::to_string).collect(),
        delete_datasets: missing.datasets,
        delete_snapshots: missing.snapshots,
        grace: missing.grace.as_secs(),
        max_delete: (missing.max != MaxDelete::default()).then(|| missing.max.to_string()),
        follow_renames: missing.follow_renames,
        format: missing.format.to_string(),
        retries: faults.retries,
        retry_max_wait: faults.retry_max_wait.as_secs(),
        stall_timeout: faults.stall_timeout.unwrap_or_default().as_secs(),
        wait_lock: faults.wait_lock.as_secs(),
        remote_zfsync: job.direct.as_ref().and_then(|direct| direct.remote_zfsync.clone()),
        helper: job.direct.as_ref().and_then(|direct| direct.helper),
        remote_zfs: job.direct.as_ref().and_then(|direct| direct.remote_zfs.clone()),
        only_there: match job.only_there {
            OnlyThere::Ignored => Look::No,
            OnlyThere::Counted => Look::Count,
            OnlyThere::Named => Look::Names,
        },
        ends: job.state_dir.is_some(),
    }
}

/// What the source's host makes of it: the same checks as for a command line there, and nobody who could be asked.
pub fn ordered(order: Order) -> Result<PushJob, StartError> {
    let format: Format = order.format.parse().map_err(|error: crate::plan::FormatError| usage(error.to_string()))?;
    let only_there = match order.only_there {
        Look::No => OnlyThere::Ignored,
        Look::Count => OnlyThere::Counted,
        Look::Names => OnlyThere::Named,
    };
    let mut job = PushJob::new(&command_line(order)?)?;
    if job.ends.source.host().is_some() || job.ends.target.host().is_none() {
        return Err(usage("for --direct, SOURCE must be on this host and TARGET on another one"));
    }
    job.missing.format = format;
    job.only_there = only_there;
    // There is nobody at a terminal.
    Arc::make_mut(&mut job.ends).target.link.ssh.interactive = false;
    Ok(job)
}

fn usage(words: impl Into<String>) -> StartError {
    StartError::Usage(words.into())
}

/// The command line that would ask for the same.
fn command_line(order: Order) -> Result<cli::Push, StartError> {
    let count = |what: &str, number: u16| match number {
        1..=MOST => Ok(number),
        _ => Err(usage(format!("{number} {what}: 1 to {MOST} are possible"))),
    };
    let (missing, faults) = (missing_options(&order)?, fault_options(&order)?);
    Ok(cli::Push {
        source: order.source,
        target: order.target,
        selection: cli::Selection {
            recursive: false,
            depth: order.depth,
            no_recursive: false,
            include: order.include,
            exclude: order.exclude,
        },
        newest_only: order.newest_only,
        skip_empty: order.skip_empty,
        decrypt: order.decrypt,
        volmode: order.volmode,
        allow_unencrypted: order.allow_unencrypted,
        allow_key_mismatch: order.allow_key_mismatch,
        allow_rekey: order.allow_rekey,
        // This host is the source.
        trust_source: false,
        allow_unproven_bookmarks: order.allow_unproven_bookmarks,
        dry_run: order.dry_run,
        channels: count("streams", order.channels)?,
        connections: order.connections.map(|number| count("connections", number)).transpose()?,
        bwlimit: order.bwlimit.map(Rate::new).transpose().map_err(|why| usage(format!("--bwlimit: {why}")))?,
        no_resume: order.no_resume,
        no_bookmark: order.no_bookmark,
        rollback: order.rollback,
        set_aside: order.set_aside,
        replace: order.replace,
        missing,
        faults,
        ssh: cli::Ssh {
            remote_zfsync: order.remote_zfsync,
            remote_zfs: order.remote_zfs,
            helper: order.helper,
            ..cli::Ssh::default()
        },
        direct: cli::Direct::default(),
        output: cli::Output::default(),
        log: cli::LogTo::default(),
        state_dir: None,
    })
}

fn missing_options(order: &Order) -> Result<cli::Missing, StartError> {
    Ok(cli::Missing {
        delete_missing: match (order.delete_datasets, order.delete_snapshots) {
            (true, true) => Some(DeleteMissing::Both),
            (true, false) => Some(DeleteMissing::Datasets),
            (false, true) => Some(DeleteMissing::Snapshots),
            (false, false) => None,
        },
        grace: Some(time(order.grace)?),
        max_delete: order.max_delete.as_deref().map(str::parse::<MaxDelete>).transpose().map_err(usage)?,
        follow_renames: order.follow_renames,
    })
}

fn fault_options(order: &Order) -> Result<cli::Faults, StartError> {
    Ok(cli::Faults {
        retries: order.retries,
        retry_max_wait: time(order.retry_max_wait)?,
        stall_timeout: time(order.stall_timeout)?,
        wait_lock: time(order.wait_lock)?,
    })
}

fn time(seconds: u64) -> Result<Duration, StartError> {
    match seconds {
        0..=LONGEST => Ok(Duration::from_secs(seconds)),
        _ => Err(usage(format!("{seconds} s is too long"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn push(words: &[&str]) -> Result<PushJob, StartError> {
        let cli = cli::Cli::try_parse_from([&["zfsync", "push", "--direct"], words].concat()).unwrap();
        let cli::Command::Push(args) = cli.command else { panic!("no push") };
        PushJob::new(&args)
    }

    fn refused(order: Order) -> String {
        let error = ordered(order).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage, "{error}");
        error.to_string()
    }

    /// All that a push can be told, as far as it is for the other host.
    const ALL: &str = "--depth 3 --include a --include b --exclude c/** --newest-only --skip-empty --decrypt --volmode inherit \
        --allow-unencrypted --allow-key-mismatch --allow-rekey --allow-unproven-bookmarks -n -j 7 --connections 3 --bwlimit 9M --no-resume --no-bookmark \
        --rollback --replace q/y --delete-missing both --grace 2d --max-delete 30% --follow-renames --retries 9 \
        --retry-max-wait 7s --stall-timeout 8s --wait-lock 9s --remote-zfsync /opt/zfsync --helper installed -v";

    #[test]
    fn an_order_is_carried_out_as_it_was_meant() {
        for words in ["", ALL, "--set-aside"] {
            let words: Vec<&str> = words.split_whitespace().chain(["me@a:p/x", "me@b:q"]).collect();
            let job = push(&words).unwrap();
            let told = order(&job);
            let there = ordered(told.clone()).unwrap();
            assert_eq!((there.ends.source.to_string(), there.ends.target.to_string()), ("p/x".into(), "me@b:q".into()));
            assert!(there.direct.is_none() && there.state_dir.is_none() && !there.ends.target.link.ssh.interactive);
            let again = Order { remote_zfsync: told.remote_zfsync.clone(), helper: told.helper, ..order(&there) };
            assert_eq!(again, told);
            // What comes from there is trusted as anything from one's own machine.
            let allow = [&job.ends.target.link.allow[..], &[Allow::Packages]].concat();
            assert_eq!(there.ends.target.link.allow, allow);
        }
        let job = push(&["--remote-zfsync", "/opt/my zfsync", "a:p", "b:q"]);
        assert!(job.unwrap().direct.unwrap().link.helper.to_string().ends_with("zfsync direct --stdio"));
        // A helper can be sent along to the target's host, but zfsync itself has to be on the source's.
        let job = push(&["--helper", "ship", "a:p", "b:q"]).unwrap();
        let there = ordered(order(&job)).unwrap().ends.target.link.helper.clone();
        assert!(there.installed.is_none() && there.sent.is_some());
        assert_eq!(job.direct.unwrap().link.helper, HelperCommand::named("zfsync direct --stdio".into()));
        let job = push(&["--remote-zfs", "sudo -n zfs", "a:p", "b:q"]).unwrap();
        let there = ordered(order(&job)).unwrap().ends.target.link.helper.clone();
        assert_eq!(there.to_string(), "sudo -n zfs");
    }

    #[test]
    fn only_two_other_hosts() {
        for ends in [["p", "b:q"], ["a:p", "q"], ["p", "q"]] {
            let error = push(&ends).unwrap_err();
            assert!(error.to_string().contains("two other hosts"), "{error}");
            assert_eq!(error.exit(), crate::error::Exit::Usage);
        }
        for (option, value) in [("-p", "22"), ("-i", "/dev/null")] {
            assert!(push(&[option, value, "a:p", "b:q"]).unwrap_err().to_string().contains(option));
        }
    }

    #[test]
    fn what_would_be_refused_on_a_command_line_is_refused() {
        let fine = || order(&push(&["a:p/x", "b:q"]).unwrap());
        assert!(ordered(fine()).is_ok());
        let (long, far) = (LONGEST + 1, u64::MAX);
        for (order, words) in [
            (Order { source: "a:p/x".into(), ..fine() }, "SOURCE must be on this host"),
            (Order { target: "q".into(), ..fine() }, "SOURCE must be on this host"),
            (Order { target: "p/x/y".into(), ..fine() }, "overlap"),
            (Order { target: "-oProxyCommand=x:q".into(), ..fine() }, "is not a valid host"),
            (Order { target: "b$(x):q".into(), ..fine() }, "is not a valid host"),
            (Order { source: "p/x@s".into(), ..fine() }, "SOURCE"),
            (Order { source: "../x".into(), ..fine() }, "SOURCE"),
            (Order { channels: 0, ..fine() }, "streams"),
            (Order { channels: 65, ..fine() }, "streams"),
            (Order { connections: Some(1000), ..fine() }, "connections"),
            (Order { bwlimit: Some(0), ..fine() }, "--bwlimit"),
            (Order { grace: long, ..fine() }, "too long"),
            (Order { stall_timeout: far, ..fine() }, "too long"),
            (Order { replace: vec!["other/x".into()], ..fine() }, "--replace"),
            (Order { rollback: true, set_aside: true, ..fine() }, "--set-aside"),
            (Order { include: vec!["[".into()], ..fine() }, "--include"),
            (Order { max_delete: Some("101%".into()), ..fine() }, "percentage"),
            (Order { format: "same".into(), ..fine() }, "same"),
            (Order { remote_zfsync: Some("'".into()), ..fine() }, "--remote-zfsync"),
        ] {
            let said = refused(order);
            assert!(said.contains(words), "no {words:?} in {said:?}");
        }
    }
}
