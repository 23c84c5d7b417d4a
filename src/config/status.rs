//! A status, checked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::{PushJob, filter, source};
use crate::cli;
use crate::error::StartError;
use crate::name::DatasetName;
use crate::plan::{Filter, Limits};
use crate::remote::target::Target;

/// A status, checked.
#[derive(Debug, Clone)]
pub struct StatusJob {
    /// The top of the tree of this machine.
    pub source: DatasetName,
    /// The targets, each as a job that could be pushed.
    pub targets: Vec<Arc<PushJob>>,
    /// Which datasets are looked at.
    pub filter: Filter,
    /// Whether sizes are estimated.
    pub bytes: bool,
    /// By what it is judged.
    pub limits: Limits,
    /// So long a target may take for all its answers.
    pub timeout: Duration,
}

impl StatusJob {
    /// Checks a status's arguments.
    pub fn new(args: &cli::Status) -> Result<Self, StartError> {
        let usage = |words: &str| StartError::Usage(words.to_owned());
        let source = source(&args.source)?;
        let limits = Limits { warn: args.warn, crit: args.crit };
        if matches!(limits, Limits { warn: Some(warn), crit: Some(crit) } if warn > crit) {
            return Err(usage("--warn is later than --crit: it would never be told"));
        }
        if args.timeout.is_zero() {
            return Err(usage("--timeout 0 leaves a target no time to answer"));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = args.targets.iter().find(|target| !seen.insert(target.as_str())) {
            return Err(StartError::Usage(format!("TARGET {twice} is named twice")));
        }
        // Questions of several connections, or beside what a program reads, could not be told apart.
        let may_ask = args.targets.len() == 1 && !args.json && !args.prometheus;
        let target = |text: &String| {
            let target: Target = text.parse()?;
            PushJob::link(source.clone(), target, &args.ssh, Vec::new(), may_ask).map(Arc::new)
        };
        Ok(Self {
            targets: args.targets.iter().map(target).collect::<Result<_, StartError>>()?,
            filter: filter(&args.selection)?,
            bytes: args.bytes,
            limits,
            timeout: args.timeout,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(words: &str) -> Result<StatusJob, String> {
        let cli =
            Cli::try_parse_from(format!("zfsync status {words}").split(' ')).map_err(|error| error.to_string())?;
        let Command::Status(args) = cli.command else { panic!("{cli:?}") };
        StatusJob::new(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn what_makes_sense() {
        let job = job("--warn 2h --crit 1d p/a b:q/a me@[::1]:q/a q/a").unwrap();
        assert_eq!(
            job.limits,
            Limits { warn: Some(Duration::from_secs(7200)), crit: Some(Duration::from_secs(86_400)) }
        );
        let names: Vec<String> = job.targets.iter().map(|job| job.target.to_string()).collect();
        assert_eq!(names, ["b:q/a", "me@[::1]:q/a", "q/a"]);
        assert!(job.targets.iter().all(|job| !job.ssh.interactive));
    }

    #[test]
    fn what_makes_none() {
        for (words, why) in [
            ("p/a", "<TARGET>"),
            ("p/a p/a/b", "overlap"),
            ("b:p/a q/a", "names a host"),
            ("p/a b:q b:q", "named twice"),
            ("--warn 2d --crit 1d p/a b:q", "--warn is later"),
            ("--timeout 0 p/a b:q", "--timeout 0"),
            ("--warn 2w p/a b:q", "a time is a number"),
            ("--json --prometheus p/a b:q", "cannot be used with"),
            ("-v --json p/a b:q", "cannot be used with"),
        ] {
            let error = job(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
    }
}
