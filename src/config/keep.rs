//! What is to be done about helpers on another host, checked.

use super::doctor::host;
use super::ssh;
use crate::cli::{self, HelperWhat};
use crate::error::StartError;
use crate::remote::keep::Place;
use crate::remote::ssh::SshOptions;
use crate::remote::target::Host;

/// A host, and what is to be done there.
#[derive(Debug)]
pub struct KeepJob {
    /// The host.
    pub host: Host,
    /// What the user wants of ssh.
    pub ssh: SshOptions,
    /// What is to be done.
    pub what: Keep,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Helpers that runs have left are removed.
    Remove,
    /// A helper is installed; `force`: in the place of a newer one, too.
    Install {
        /// Where.
        place: Place,
        /// Whether a newer one is replaced.
        force: bool,
    },
}

impl KeepJob {
    /// Checks the arguments.
    pub fn new(args: &cli::Helper) -> Result<Self, StartError> {
        let (text, ways, what) = match &args.what {
            HelperWhat::Remove(args) => (&args.host, &args.ssh, Keep::Remove),
            HelperWhat::Install(args) => {
                let place = if args.system { Place::System } else { Place::User };
                (&args.host, &args.ssh, Keep::Install { place, force: args.force })
            }
        };
        if ways.remote_zfsync.is_some() || ways.remote_zfs.is_some() || ways.helper.is_some() {
            let words = "--remote-zfsync, --remote-zfs and --helper have no effect here: no helper is run";
            return Err(StartError::Usage(words.into()));
        }
        let (host, dataset) = host(text)?;
        match (host, dataset) {
            (Some(host), None) => Ok(Self { host, ssh: ssh(ways, true), what }),
            _ => Err(StartError::Usage(format!("{text:?} is more than a host: write [USER@]HOST"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(words: &str) -> Result<KeepJob, String> {
        let cli =
            Cli::try_parse_from(format!("zfsync helper {words}").split(' ')).map_err(|error| error.to_string())?;
        let Command::Helper(args) = cli.command else { panic!("{cli:?}") };
        KeepJob::new(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn one_host_and_what_is_to_be_done() {
        let what = |words: &str| job(words).map(|job| (job.host.to_string(), job.what));
        let install = |place, force| Keep::Install { place, force };
        assert_eq!(what("remove me@beta"), Ok(("me@beta".into(), Keep::Remove)));
        assert_eq!(what("install beta"), Ok(("beta".into(), install(Place::User, false))));
        assert_eq!(what("install [::1] --system --force"), Ok(("[::1]".into(), install(Place::System, true))));
        for (words, why) in [
            ("remove beta:pool/x", "is more than a host"),
            ("remove tank/x", "is not a host"),
            ("remove beta --remote-zfsync x", "no helper is run"),
            ("install", "required"),
        ] {
            let error = job(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
    }
}
