//! A status, checked.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Branch, Ways, ends, filter, jobs_of, link_to_source, location};
use crate::cli;
use crate::error::StartError;
use crate::plan::{Filter, Limits};
use crate::remote::link::{Ends, Link};
use zfs::name::DatasetName;

/// A status, checked.
#[derive(Debug, Clone)]
pub struct StatusJob {
    /// How the source's host is reached.
    pub origin: Link,
    /// The top of the tree there.
    pub source: DatasetName,
    /// The targets, each with the source.
    pub targets: Vec<Arc<Ends>>,
    /// Where their last results are kept.
    pub state_dir: Option<PathBuf>,
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
    /// Checks a status's arguments: one source, or those of a job of a configuration file.
    pub fn all(args: &cli::Status) -> Result<Vec<Self>, StartError> {
        let usage = |words: &str| StartError::Usage(words.to_owned());
        let limits = Limits { warn: args.warn, crit: args.crit };
        if matches!(limits, Limits { warn: Some(warn), crit: Some(crit) } if warn > crit) {
            return Err(usage("--warn is greater than --crit, so there would never be a warning"));
        }
        if args.timeout.is_zero() {
            return Err(usage("--timeout must be greater than 0"));
        }
        match &args.targets[..] {
            // No job has such a name.
            [] if args.source.contains(['/', ':', '@']) => {
                Err(usage("TARGET is missing: zfsync status SOURCE TARGET..., or zfsync status JOB"))
            }
            [] => Self::of_file(args, limits),
            _ if args.config.is_some() => Err(usage("--config is for a JOB, not for SOURCE and TARGET")),
            _ => Ok(vec![Self::named(args, limits)?]),
        }
    }

    fn named(args: &cli::Status, limits: Limits) -> Result<Self, StartError> {
        let source = location(&args.source)?;
        let mut seen = HashSet::new();
        if let Some(twice) = args.targets.iter().find(|target| !seen.insert(target.as_str())) {
            return Err(StartError::Usage(format!("TARGET {twice} is given twice")));
        }
        // Questions of several connections, or beside what a program reads, could not be told apart.
        let may_ask = args.targets.len() == 1 && !args.json && !args.prometheus;
        let target = |text: &String| {
            let ways = Ways::same(&args.ssh);
            Ok(Arc::new(ends(source.clone(), text.parse()?, ways, Vec::new(), may_ask)?))
        };
        Ok(Self {
            targets: args.targets.iter().map(target).collect::<Result<_, StartError>>()?,
            state_dir: args.state_dir.clone(),
            filter: filter(&args.selection, std::slice::from_ref(&source.dataset))?,
            bytes: args.bytes,
            limits,
            timeout: args.timeout,
            origin: link_to_source(source.host, &args.ssh, &[], may_ask)?,
            source: source.dataset,
        })
    }

    fn of_file(args: &cli::Status, limits: Limits) -> Result<Vec<Self>, StartError> {
        if args.selection != cli::Selection::default() || args.ssh != cli::Ssh::default() {
            let words = "with a JOB, the configuration file defines the datasets and ssh options: leave out the other options, or give \
                         SOURCE and TARGET";
            return Err(StartError::Usage(words.into()));
        }
        let config = args.config.clone().unwrap_or_else(|| cli::DEFAULT_CONFIG.into());
        if args.config.is_none() && !config.exists() {
            let words = format!(
                "{:?} without a TARGET is a job, but {} does not exist: give SOURCE and TARGET, or the configuration file (--config)",
                args.source,
                config.display()
            );
            return Err(StartError::Usage(words));
        }
        let jobs = jobs_of(&config, std::slice::from_ref(&args.source))?;
        let branches = jobs.into_iter().flat_map(|job| job.branches).filter(|branch| !branch.targets.is_empty());
        let all: Vec<Self> = branches.filter_map(|branch| Self::of_branch(args, limits, branch)).collect();
        if all.is_empty() {
            return Err(StartError::Usage(format!(
                "job {} has no targets, so there is nothing to compare",
                args.source
            )));
        }
        Ok(all)
    }

    fn of_branch(args: &cli::Status, limits: Limits, branch: Branch) -> Option<Self> {
        let first = branch.targets.first()?;
        Some(Self {
            filter: first.filter.clone(),
            // A job has one for all its targets.
            state_dir: args.state_dir.clone().or_else(|| first.state_dir.clone()),
            // It changes nothing, and needs leave for nothing.
            origin: first.ends.source.link.clone(),
            source: branch.source,
            targets: branch.targets.into_iter().map(|push| push.ends).collect(),
            bytes: args.bytes,
            limits,
            timeout: args.timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn all(words: &str) -> Result<Vec<StatusJob>, String> {
        let cli =
            Cli::try_parse_from(format!("zfsync status {words}").split(' ')).map_err(|error| error.to_string())?;
        let Command::Status(args) = cli.command else { panic!("{cli:?}") };
        StatusJob::all(&args).map_err(|error| error.to_string())
    }

    fn job(words: &str) -> Result<StatusJob, String> {
        all(words).map(|mut all| all.remove(0))
    }

    const FILE: &str = "
[defaults]
state-dir = '/var/lib/z'
ssh.port = 2222
[job.data]
source = 'p/a'
targets = ['b:q/a', 'q/a']
exclude = ['tmp']
[job.two]
sources = ['p/x', 'p/y']
targets = ['b:q/z']
state-dir = '/srv/z'
[job.none]
source = 'p/none'
";

    #[test]
    fn a_job_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), FILE).unwrap();
        let config = format!("--config {}", file.path().display());
        let of = |words: &str| all(&format!("{config} {words}"));
        let data = of("--warn 2h data").unwrap();
        assert_eq!(data.len(), 1);
        assert_eq!((data[0].source.as_str(), data[0].limits.warn), ("p/a", Some(Duration::from_secs(7200))));
        assert!(!data[0].filter.selects(&"p/a/tmp".parse::<DatasetName>().unwrap().below(&data[0].source).unwrap()));
        let targets: Vec<String> = data[0].targets.iter().map(|ends| ends.target.to_string()).collect();
        assert_eq!(targets, ["b:q/a", "q/a"]);
        assert_eq!(
            (data[0].targets[0].target.link.ssh.port, data[0].state_dir.as_deref()),
            (Some(2222), Some("/var/lib/z".as_ref()))
        );
        let two = of("two").unwrap();
        let places: Vec<String> = two.iter().map(|job| format!("{} {}", job.source, job.targets[0].target)).collect();
        assert_eq!(places, ["p/x b:q/z/x", "p/y b:q/z/y"]);
        assert_eq!(two[0].state_dir.as_deref(), Some("/srv/z".as_ref()));
        let mine = of("--state-dir /tmp/z two").unwrap();
        assert_eq!(mine[0].state_dir.as_deref(), Some("/tmp/z".as_ref()));
        for (words, why) in [
            ("dta", "no job \"dta\": did you mean \"data\"?"),
            ("none", "has no targets"),
            ("-p 22 data", "the configuration file defines"),
            ("--exclude x data", "the configuration file defines"),
            ("p/a b:q/a", "--config is for a JOB"),
        ] {
            let error = of(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
        assert!(all("--config /nonexistent/z data").unwrap_err().contains("can't read the file"));
    }

    #[test]
    fn what_makes_sense() {
        let job = job("--warn 2h --crit 1d p/a b:q/a me@[::1]:q/a q/a").unwrap();
        assert_eq!(
            job.limits,
            Limits { warn: Some(Duration::from_secs(7200)), crit: Some(Duration::from_secs(86_400)) }
        );
        let names: Vec<String> = job.targets.iter().map(|ends| ends.target.to_string()).collect();
        assert_eq!(names, ["b:q/a", "me@[::1]:q/a", "q/a"]);
        assert!(job.targets.iter().all(|ends| !ends.target.link.ssh.interactive));
    }

    #[test]
    fn what_makes_none() {
        for (words, why) in [
            ("p/a", "TARGET is missing"),
            ("b:q", "TARGET is missing"),
            ("p/a p/a/b", "overlap"),
            ("b:p/a@s q/a", "is a snapshot"),
            ("-p 22 b:p/a c:q/a", "-p is ambiguous"),
            ("p/a b:q b:q", "given twice"),
            ("--warn 2d --crit 1d p/a b:q", "--warn is greater"),
            ("--timeout 0 p/a b:q", "--timeout must be"),
            ("--warn 2x p/a b:q", "expected a number and a unit"),
            ("--json --prometheus p/a b:q", "cannot be used with"),
            ("-v --json p/a b:q", "cannot be used with"),
        ] {
            let error = job(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
    }
}
