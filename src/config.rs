//! From what the user wrote to a job that makes sense: everything is parsed and checked here, before anything starts.

use std::io::IsTerminal;

use crate::cli;
use crate::error::StartError;
use crate::name::DatasetName;
use crate::plan::Filter;
use crate::remote::client::REMOTE_HELPER;
use crate::remote::ssh::SshOptions;
use crate::remote::target::{Target, TargetError};

/// A push, checked.
#[derive(Debug, Clone)]
pub struct PushJob {
    /// The top of the tree here.
    pub source: DatasetName,
    /// Where its content goes.
    pub target: Target,
    /// Which datasets take part.
    pub filter: Filter,
    /// Whether only each dataset's newest snapshot is sent.
    pub newest_only: bool,
    /// Whether encrypted datasets leave this host in plaintext.
    pub decrypt: bool,
    /// Whether only the plan is shown.
    pub dry_run: bool,
    /// How many streams run at the same time.
    pub channels: usize,
    /// How many SSH connections carry them; `None` for as many as the data deserves.
    pub connections: Option<usize>,
    /// What the user wants of ssh.
    pub ssh: SshOptions,
    /// The command that starts the helper over there.
    pub remote_helper: String,
}

impl PushJob {
    /// Checks a push's arguments.
    pub fn new(args: &cli::Push) -> Result<Self, StartError> {
        let source = source(&args.source)?;
        let target: Target = args.target.parse()?;
        if target.host.is_none() {
            check_overlap(&source, &target)?;
        }
        let depth = if args.no_recursive { Some(0) } else { args.depth };
        Ok(Self {
            filter: Filter::new(depth, &args.include, &args.exclude)?,
            newest_only: args.newest_only,
            decrypt: args.decrypt,
            dry_run: args.dry_run,
            channels: args.channels.into(),
            connections: args.connections.map(Into::into),
            ssh: SshOptions {
                port: args.port,
                identity: args.identity.clone(),
                config: args.ssh_config.clone(),
                options: args.ssh_option.clone(),
                interactive: std::io::stderr().is_terminal() && !args.quiet && !args.json,
            },
            remote_helper: remote_helper(args.remote_zfsync.as_deref())?,
            source,
            target,
        })
    }
}

/// A pool with a colon in its name can't be told from a host, as in TARGET.
fn source(text: &str) -> Result<DatasetName, StartError> {
    match text.parse::<Target>() {
        Ok(Target { host: None, dataset }) => Ok(dataset),
        Err(TargetError::Name(error)) => Err(StartError::Source(error)),
        Ok(_) | Err(_) => Err(StartError::RemoteSource(text.to_owned())),
    }
}

/// Refuses a target that is the source, or within it, or around it.
pub fn check_overlap(source: &DatasetName, target: &Target) -> Result<(), StartError> {
    if source.is_within(&target.dataset) || target.dataset.is_within(source) {
        return Err(StartError::Overlap { source_dataset: source.to_string(), target: target.to_string() });
    }
    Ok(())
}

/// The words of `--remote-zfsync`, each quoted for the shell over there.
fn remote_helper(command: Option<&str>) -> Result<String, StartError> {
    let Some(command) = command else { return Ok(REMOTE_HELPER.to_owned()) };
    let error = |reason: String| StartError::RemoteHelper(command.to_owned(), reason);
    let words = shell_words::split(command).map_err(|err| error(err.to_string()))?;
    if words.is_empty() {
        return Err(error("it is empty".into()));
    }
    Ok(format!("{} recv --stdio", shell_words::join(words)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::NameError;

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
        assert_eq!(remote_helper(None).unwrap(), "zfsync recv --stdio");
        assert_eq!(remote_helper(Some("/opt/zfsync")).unwrap(), "/opt/zfsync recv --stdio");
        assert_eq!(remote_helper(Some("sudo '/opt/my zfsync'")).unwrap(), "sudo '/opt/my zfsync' recv --stdio");
        assert!(remote_helper(Some("")).is_err());
        assert!(remote_helper(Some("'")).is_err());
    }

    #[test]
    fn overlaps_are_refused_by_component() {
        let check = |source: &str, target: &str| check_overlap(&source.parse().unwrap(), &target.parse().unwrap());
        assert!(check("p/a", "p/a").is_err());
        assert!(check("p/a", "p/a/b").is_err());
        assert!(check("p/a/b", "p/a").is_err());
        assert!(check("p/a", "p/ab").is_ok());
        assert!(check("p/a", "p/b").is_ok());
    }
}
