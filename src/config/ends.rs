//! SOURCE and TARGET: where they are, and what it takes to talk to their hosts.

use super::{Faults, ssh};
use crate::cli;
use crate::error::StartError;
use crate::remote::bootstrap::{HelperCommand, HelperFrom};
use crate::remote::link::{End, Ends, Link};
use crate::remote::plain::{self, Plain};
use crate::remote::ssh::of_one_host;
use crate::remote::target::{Host, Target, TargetError};
use helper::Side;
use zfs::Allow;
use zfs::name::{DatasetName, NameError};

/// SOURCE, here or there. A pool with a colon in its name can't be told from a host, as in TARGET.
pub(super) fn location(text: &str) -> Result<Target, StartError> {
    text.parse::<Target>().map_err(|error| no_location(text, error))
}

/// Without a `/` behind the `@` it is a pool's snapshot rather than a host.
fn no_location(text: &str, error: TargetError) -> StartError {
    match error {
        TargetError::Name(error) => StartError::Source(error),
        TargetError::NoColon(_) if !text.contains('/') => StartError::Source(NameError::IsSnapshot(text.to_owned())),
        error => StartError::SourceLocation(error),
    }
}

/// What the user says of the ways to the two ends.
#[derive(Clone, Copy)]
pub struct Ways<'a> {
    /// To the source.
    pub source: &'a cli::Ssh,
    /// To the target.
    pub target: &'a cli::Ssh,
    /// The source's host sends straight to the target's, with options of its own: ssh's options here are of the way to the source's.
    pub direct: bool,
}

impl<'a> Ways<'a> {
    /// The same for both: one of them is this machine, as a rule.
    #[must_use]
    pub fn same(args: &'a cli::Ssh) -> Self {
        Self { source: args, target: args, direct: false }
    }

    /// Checks that what is said can be meant where these hosts are two.
    pub(super) fn check(self, source: Option<&Host>, target: Option<&Host>) -> Result<(), StartError> {
        match (source, target) {
            (Some(_), Some(_)) if std::ptr::eq(self.source, self.target) => one_host_only(self.source, self.direct),
            _ => Ok(()),
        }
    }
}

/// What is said of one host can't be said of two.
fn one_host_only(args: &cli::Ssh, direct: bool) -> Result<(), StartError> {
    let options = args.ssh_option.iter().filter(|_| !direct);
    let option = options.filter_map(|option| of_one_host(option)).map(|key| format!("-o {key}"));
    let port = args.port.map(|_| "-p".to_owned());
    match port.into_iter().chain(args.identity.as_ref().map(|_| "-i".to_owned())).chain(option).next() {
        None => Ok(()),
        Some(option) => Err(StartError::Usage(format!(
            "{option} is ambiguous with SOURCE and TARGET on two other hosts: set Port, IdentityFile and the like for each Host in \
             ssh_config(5), or in a separate file given with -F"
        ))),
    }
}

/// How the source's host is reached.
pub(super) fn link_to_source(
    host: Option<Host>,
    args: &cli::Ssh,
    allow: &[Allow],
    may_ask: bool,
) -> Result<Link, StartError> {
    let helper = helper_command(Side::Sender, args, allow)?;
    let (allow, silence) = (allow.to_vec(), Faults::default().stall_timeout);
    possible(Link { ssh: ssh(args, may_ask), host, helper, allow, silence })
}

/// How the target's host is reached.
pub(super) fn link_to_target(
    host: Option<Host>,
    args: &cli::Ssh,
    allow: Vec<Allow>,
    may_ask: bool,
) -> Result<Link, StartError> {
    let helper = helper_command(Side::Receiver, args, &allow)?;
    possible(Link { ssh: ssh(args, may_ask), host, helper, allow, silence: Faults::default().stall_timeout })
}

/// Refuses what can't be done where the user wants `zfs` alone to be used: before a job has taken a snapshot, or a host was asked.
fn possible(link: Link) -> Result<Link, StartError> {
    let needs = || link.allow.iter().find(|allow| !plain::allows(**allow));
    match (&link.host, link.helper.is_plain().then(needs).flatten()) {
        (Some(host), Some(allow)) => {
            Err(StartError::NotByPlainZfs { host: host.to_string(), options: plain::options(*allow) })
        }
        _ => Ok(link),
    }
}

/// Both ends as the user writes them; `allow` is what the target's helper must be allowed to do. Refuses those that overlap.
pub(super) fn ends(
    source: Target,
    target: Target,
    ways: Ways<'_>,
    allow: Vec<Allow>,
    may_ask: bool,
) -> Result<Ends, StartError> {
    ways.check(source.host.as_ref(), target.host.as_ref())?;
    let ends = Ends {
        source: End { link: link_to_source(source.host, ways.source, &[], may_ask)?, dataset: source.dataset },
        target: End { link: link_to_target(target.host, ways.target, allow, may_ask)?, dataset: target.dataset },
    };
    if ends.source.host().is_none() && ends.target.host().is_none() {
        check_overlap(&ends)?;
    }
    Ok(ends)
}

/// A pool with a colon in its name can't be told from a host, as in TARGET.
pub(super) fn source(text: &str) -> Result<DatasetName, StartError> {
    match text.parse::<Target>() {
        Ok(Target { host: None, dataset }) => Ok(dataset),
        Ok(_) => Err(StartError::RemoteSource(text.to_owned())),
        Err(error) => Err(no_location(text, error)),
    }
}

/// Refuses a target that is the source, or within it, or around it.
pub fn check_overlap(Ends { source, target }: &Ends) -> Result<(), StartError> {
    if source.dataset.is_within(&target.dataset) || target.dataset.is_within(&source.dataset) {
        return Err(StartError::Overlap { source_dataset: source.dataset.to_string(), target: target.to_string() });
    }
    Ok(())
}

/// Has the target's helper do what a push needs. A helper that we start by a command of our own may take us at our word, as who can do
/// that can do all that its user can; but not what another host sends, unless that is trusted too.
pub(super) fn allow(ends: &mut Ends, ssh: &cli::Ssh, allow: &[Allow], trust_source: bool) -> Result<(), StartError> {
    let trusted = trust_source || ends.source.host().is_none();
    let link = &mut ends.target.link;
    link.allow.extend(allow.iter().copied().chain(trusted.then_some(Allow::Packages)));
    link.helper = helper_command(Side::Receiver, ssh, &link.allow)?;
    possible(link.clone()).map(drop)
}

/// How the helper of either end is started, and what it may do: `side` says which end that is. The words of `--remote-zfsync` are
/// quoted for the shell on the other host; without it the line is constant, so that no name ever reaches a shell.
fn helper_command(side: Side, ssh: &cli::Ssh, allow: &[Allow]) -> Result<HelperCommand, StartError> {
    let zfs = ssh.remote_zfs.as_deref().map(plain_command).transpose()?.unwrap_or_default();
    let alone = Plain { side, allow: allow.to_vec(), zfs };
    let verb = helper_words(side, allow);
    let usage = |words: &str| Err(StartError::Usage(words.to_owned()));
    match (&ssh.remote_zfsync, &ssh.remote_zfs, ssh.helper) {
        (None, None, from) => Ok(HelperCommand::of(from.unwrap_or_default(), verb, alone)),
        (None, Some(_), None | Some(HelperFrom::Plain)) => Ok(HelperCommand::of(HelperFrom::Plain, verb, alone)),
        (None, Some(_), Some(_)) => usage("--remote-zfs is for --helper plain: with a helper use --remote-zfsync"),
        (Some(_), Some(_), _) => usage("--remote-zfs uses no zfsync on the other host: leave out --remote-zfsync"),
        (Some(_), None, Some(HelperFrom::Sent)) => {
            usage("--helper ship uses no installed zfsync: leave out --remote-zfsync")
        }
        (Some(_), None, Some(HelperFrom::Plain)) => {
            usage("--helper plain uses no zfsync on the other host: leave out --remote-zfsync")
        }
        (Some(command), None, _) => Ok(HelperCommand::named(named_command(command, &verb)?)),
    }
}

fn helper_words(side: Side, allow: &[Allow]) -> String {
    let verb = if side == Side::Sender { "send" } else { "recv" };
    let words: Vec<&str> = allow.iter().map(|allow| allow.word()).collect();
    let allow = if words.is_empty() { String::new() } else { format!(" --allow {}", words.join(",")) };
    format!("{verb} --stdio{allow}")
}

/// Has the helper of a link do some things more.
pub(super) fn allow_more(side: Side, link: &mut Link, more: &[Allow]) {
    let old = helper_words(side, &link.allow);
    let missing: Vec<Allow> = more.iter().filter(|allow| !link.allow.contains(allow)).copied().collect();
    link.allow.extend(missing);
    let new = helper_words(side, &link.allow);
    for command in [&mut link.helper.installed, &mut link.helper.sent].into_iter().flatten() {
        if let Some(program) = command.strip_suffix(&old) {
            *command = format!("{program}{new}");
        }
    }
    if let Some(plain) = &mut link.helper.plain {
        plain.allow.clone_from(&link.allow);
    }
}

/// The words of `--remote-zfs`. They travel as those of each call do, so no shell there sees them.
fn plain_command(command: &str) -> Result<Vec<String>, StartError> {
    let words = split("--remote-zfs", command)?;
    let reason = if words.iter().any(|word| word.contains('\n')) {
        Some("a word contains a line feed")
    } else if words.iter().any(String::is_empty) {
        Some("a word is empty")
    } else {
        None
    };
    if let Some(reason) = reason {
        let (option, command, reason) = ("--remote-zfs", command.to_owned(), reason.to_owned());
        return Err(StartError::RemoteCommand { option, command, reason });
    }
    Ok(words)
}

/// The words of `--remote-zfsync`, each quoted for the shell on the other host, and those of the command that it is to carry out.
pub(super) fn named_command(command: &str, verb: &str) -> Result<String, StartError> {
    let words = split("--remote-zfsync", command)?;
    Ok(format!("{} {verb}", shell_words::join(words)))
}

/// The words of a command, one at least.
fn split(option: &'static str, command: &str) -> Result<Vec<String>, StartError> {
    let error = |reason| StartError::RemoteCommand { option, command: command.to_owned(), reason };
    let words = shell_words::split(command).map_err(|err| error(err.to_string()))?;
    if words.is_empty() { Err(error("it is empty".into())) } else { Ok(words) }
}

/// Stands for a source of the machine that calls itself so in the notes of a target.
#[must_use]
pub fn source_tag(host: &str, source: &DatasetName) -> u32 {
    // The upper half of the hash.
    u32::try_from(zfs::hash::stable(&format!("{host}:{source}")) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_dataset_of_this_machine() {
        assert_eq!(source("tank/a:b").unwrap().as_str(), "tank/a:b");
        assert!(matches!(source("beta:tank"), Err(StartError::RemoteSource(_))));
        assert!(matches!(source("me@beta:tank"), Err(StartError::RemoteSource(_))));
        assert!(matches!(source("tank/a@s"), Err(StartError::Source(NameError::IsSnapshot(_)))));
        assert!(matches!(source(""), Err(StartError::Source(NameError::Empty))));
        assert!(matches!(source("tank//a"), Err(StartError::Source(NameError::EmptyComponent(_)))));
    }

    #[test]
    fn the_remote_command_is_quoted() {
        let helper = |command: Option<&str>, allow: &[Allow]| {
            let ssh = cli::Ssh { remote_zfsync: command.map(ToOwned::to_owned), ..cli::Ssh::default() };
            helper_command(Side::Receiver, &ssh, allow).map(|command| command.to_string())
        };
        assert_eq!(helper(None, &[]).unwrap(), "zfsync recv --stdio");
        assert_eq!(helper(Some("/opt/zfsync"), &[]).unwrap(), "/opt/zfsync recv --stdio");
        assert_eq!(helper(Some("sudo '/opt/my zfsync'"), &[]).unwrap(), "sudo '/opt/my zfsync' recv --stdio");
        assert!(helper(Some(""), &[]).is_err());
        assert!(helper(Some("'"), &[]).is_err());
        let allow = [Allow::Rollback, Allow::Destroy];
        assert_eq!(helper(None, &allow).unwrap(), "zfsync recv --stdio --allow rollback,destroy");
    }

    #[test]
    fn more_is_allowed() {
        let allow = |before: &[Allow], command: Option<&str>| {
            let ssh = cli::Ssh { remote_zfsync: command.map(ToOwned::to_owned), ..cli::Ssh::default() };
            let mut link = link_to_target(None, &ssh, before.to_vec(), true).unwrap();
            allow_more(Side::Receiver, &mut link, &[Allow::Destroy, Allow::Unencrypted]);
            assert_eq!(link.helper, helper_command(Side::Receiver, &ssh, &link.allow).unwrap());
            link.allow
        };
        assert_eq!(allow(&[], None), [Allow::Destroy, Allow::Unencrypted]);
        assert_eq!(allow(&[Allow::Unencrypted], None), [Allow::Unencrypted, Allow::Destroy]);
        assert_eq!(allow(&[Allow::Rename], Some("sudo zfsync")), [Allow::Rename, Allow::Destroy, Allow::Unencrypted]);
    }

    #[test]
    fn zfs_alone_may_be_called_by_another_command() {
        let helper = |ssh: &cli::Ssh| helper_command(Side::Receiver, ssh, &[]);
        let of = |command: &str| cli::Ssh { remote_zfs: Some(command.to_owned()), ..cli::Ssh::default() };
        let command = helper(&of("sudo -n '/opt/my zfs'")).unwrap();
        assert!(command.installed.is_none() && command.sent.is_none());
        assert_eq!(command.plain.unwrap().zfs, ["sudo", "-n", "/opt/my zfs"]);
        assert!(helper(&cli::Ssh { helper: Some(HelperFrom::Plain), ..of("doas zfs") }).is_ok());
        for (ssh, words) in [
            (of(""), "--remote-zfs \"\" is not a valid command: it is empty"),
            (of("sudo 'zfs"), "missing closing quote"),
            (of("sudo 'z\nfs'"), "a word contains a line feed"),
            (of("sudo '' zfs"), "a word is empty"),
            (cli::Ssh { helper: Some(HelperFrom::Sent), ..of("zfs") }, "--remote-zfs is for --helper plain"),
            (cli::Ssh { remote_zfsync: Some("zfsync".into()), ..of("zfs") }, "leave out --remote-zfsync"),
        ] {
            let said = helper(&ssh).unwrap_err();
            assert!(said.to_string().contains(words), "{said}");
            assert_eq!(said.exit(), crate::error::Exit::Usage);
        }
    }

    #[test]
    fn overlaps_are_refused_by_component() {
        let end = |name: &str| End { link: Link::default(), dataset: name.parse().unwrap() };
        let check = |source: &str, target: &str| check_overlap(&Ends { source: end(source), target: end(target) });
        assert!(check("p/a", "p/a").is_err());
        assert!(check("p/a", "p/a/b").is_err());
        assert!(check("p/a/b", "p/a").is_err());
        assert!(check("p/a", "p/ab").is_ok());
        assert!(check("p/a", "p/b").is_ok());
    }
}
