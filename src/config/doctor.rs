//! What is to be examined before a first run, checked.

use std::path::Path;
use std::sync::Arc;

use super::ends::{allow, allow_more, ends, link_to_source, link_to_target, location};
use super::{Branch, Faults, OnlyThere, PushJob, Ways, jobs_of, missing, run_number, source};
use crate::cli;
use crate::error::StartError;
use crate::plan::doctor::Runner;
use crate::plan::{Filter, Format, Resolutions};
use crate::remote::link::Link;
use crate::remote::target::{Target, TargetError};
use helper::Side;
use zfs::name::DatasetName;
use zfs::{Allow, Volmode};

/// Both ends, as far as they are named.
#[derive(Debug)]
pub struct DoctorJob {
    /// SOURCE.
    pub source: Option<DoctorEnd>,
    /// TARGET.
    pub target: Option<DoctorEnd>,
    /// The push between them, as a dry run.
    pub push: Option<PushJob>,
    /// What is to run.
    pub runner: Runner,
}

/// One end.
#[derive(Debug)]
pub struct DoctorEnd {
    /// How its host is reached.
    pub link: Link,
    /// The dataset, where one is named.
    pub dataset: Option<DatasetName>,
    /// What the helper must be allowed to do for the whole job.
    pub needs: Vec<Allow>,
    /// The host that this end's host connects to by itself, with `direct`: nobody here can check that way.
    pub direct: Option<String>,
}

impl DoctorJob {
    /// Checks the arguments: what they name, or each target of a job.
    pub fn all(args: &cli::Doctor) -> Result<Vec<Self>, StartError> {
        let Some(name) = &args.job else { return Ok(vec![Self::new(args)?]) };
        if args.ssh != cli::Ssh::default() {
            return Err(StartError::Usage("--job takes the options for ssh from the configuration file".into()));
        }
        let path = args.config.as_deref().unwrap_or(Path::new(cli::DEFAULT_CONFIG));
        let jobs = jobs_of(path, std::slice::from_ref(name))?;
        let branches = jobs.iter().flat_map(|job| job.branches.iter().map(move |branch| (job, branch)));
        let all: Vec<Self> = branches
            .flat_map(|(job, branch)| Self::of_branch(branch, &Runner::Job { takes_snapshots: job.snapshot.is_some() }))
            .collect();
        if all.is_empty() {
            return Err(StartError::Usage(format!("job {name} has no targets")));
        }
        Ok(all)
    }

    /// Both ends of each of its pushes, with what pruning needs there.
    fn of_branch(branch: &Branch, runner: &Runner) -> Vec<Self> {
        let end = |mut link: Link, dataset: &DatasetName, direct| {
            link.ssh.verbose = true;
            // Whoever isn't allowed to take packages takes them apart.
            let needs = link.allow.iter().filter(|allow| **allow != Allow::Packages).copied().collect();
            Some(DoctorEnd { link, dataset: Some(dataset.clone()), needs, direct })
        };
        let of = |push: &PushJob| {
            let (source, target) = (&push.ends.source, &push.ends.target);
            let mut link = target.link.clone();
            for prune in &branch.prune_targets {
                let same = prune.targets.iter().find(|ends| ends.target.same_place(target));
                if let Some(ends) = same {
                    allow_more(Side::Receiver, &mut link, &ends.target.link.allow);
                }
            }
            let to = push.direct.as_ref().map(|_| target.link.name());
            Self {
                source: end(branch.origin.clone(), &source.dataset, to),
                target: end(link, &target.dataset, None),
                push: Some(PushJob { dry_run: true, sizes: false, state_dir: None, ..push.clone() }),
                runner: runner.clone(),
            }
        };
        branch.targets.iter().map(of).collect()
    }

    fn new(args: &cli::Doctor) -> Result<Self, StartError> {
        let from = args.source.as_deref().map(location).transpose()?;
        let to = match (&args.target, &args.local) {
            (Some(text), _) => Some(host(text)?),
            (None, Some(text)) => Some((None, Some(here(text)?))),
            (None, None) => None,
        };
        let hosts = (from.as_ref().and_then(|from| from.host.as_ref()), to.as_ref().and_then(|to| to.0.as_ref()));
        Ways::same(&args.ssh).check(hosts.0, hosts.1)?;
        let end = |mut link: Link, dataset| {
            link.ssh.verbose = true;
            DoctorEnd { link, dataset, needs: Vec::new(), direct: None }
        };
        let may_ask = !args.json;
        let push = match (&from, &to) {
            (Some(from), Some((host, Some(dataset)))) => {
                let to = Target { host: host.clone(), dataset: dataset.clone() };
                Some(planned(from.clone(), to, &args.ssh, may_ask)?)
            }
            _ => None,
        };
        let is_far = from.as_ref().is_some_and(|from| from.host.is_some());
        let source = from.map(|Target { host, dataset }| {
            Ok::<_, StartError>(end(link_to_source(host, &args.ssh, &[], may_ask)?, Some(dataset)))
        });
        let target = to.map(|(host, dataset)| {
            // As for a push: what the helper may do says what its user needs.
            let allow = if is_far { Vec::new() } else { vec![Allow::Packages] };
            Ok::<_, StartError>(end(link_to_target(host, &args.ssh, allow, may_ask)?, dataset))
        });
        Ok(Self { source: source.transpose()?, target: target.transpose()?, push, runner: Runner::Any })
    }
}

/// What `push -n SOURCE TARGET` would do.
fn planned(source: Target, target: Target, ssh: &cli::Ssh, may_ask: bool) -> Result<PushJob, StartError> {
    let mut ends = ends(source, target, Ways::same(ssh), Vec::new(), may_ask)?;
    allow(&mut ends, ssh, &[], false)?;
    let none = cli::Missing { delete_missing: None, grace: None, max_delete: None, follow_renames: false };
    Ok(PushJob {
        filter: Filter::default(),
        newest_only: false,
        skip_empty: false,
        decrypt: false,
        allow_unencrypted: false,
        allow_key_mismatch: false,
        allow_unproven_bookmarks: false,
        dry_run: true,
        sizes: false,
        resolutions: Resolutions::default(),
        missing: missing(&none, &Format::default(), &ends.source.dataset),
        only_there: OnlyThere::Ignored,
        resume: true,
        bookmarks: true,
        faults: Faults::default(),
        channels: 4,
        connections: None,
        pace: None,
        run: run_number(),
        until: None,
        volmode: Volmode::None,
        state_dir: None,
        restore: None,
        direct: None,
        ends: Arc::new(ends),
    })
}

/// What `--local` names.
fn here(text: &str) -> Result<DatasetName, StartError> {
    source(text).map_err(|error| match error {
        StartError::RemoteSource(_) => StartError::Usage(format!("{text:?} is on another host: leave out --local")),
        error => error,
    })
}

pub(super) type Named = (Option<crate::remote::target::Host>, Option<DatasetName>);

/// `[USER@]HOST[:DATASET]`: a word without a colon is a host here.
pub(super) fn host(text: &str) -> Result<Named, StartError> {
    let alone = text.ends_with(']') || !text.contains(':');
    if alone && text.contains('/') {
        return Err(StartError::Usage(format!(
            "{text:?} is not a host: write [USER@]HOST or [USER@]HOST:DATASET; for a dataset on this machine use --local (target) or \
             --source"
        )));
    }
    // Any dataset will do to have the host checked.
    let whole = if alone { format!("{text}:x") } else { text.to_owned() };
    let Target { host, dataset } = whole.parse().map_err(|error| match error {
        TargetError::BadHost(host) => TargetError::BadHost(host),
        TargetError::NoHost(_) => TargetError::NoHost(text.to_owned()),
        error => error,
    })?;
    if host.is_none() {
        return Err(StartError::Usage(format!(
            "{text:?} is a dataset on this machine: use --local (target) or --source"
        )));
    }
    Ok((host, Some(dataset).filter(|_| !alone)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(words: &str) -> Result<DoctorJob, String> {
        let cli =
            Cli::try_parse_from(format!("zfsync doctor {words}").split(' ')).map_err(|error| error.to_string())?;
        let Command::Doctor(args) = cli.command else { panic!("{cli:?}") };
        let all = DoctorJob::all(&args).map_err(|error| error.to_string())?;
        let [job] = <[DoctorJob; 1]>::try_from(all).expect("one");
        Ok(job)
    }

    fn shown(end: Option<DoctorEnd>) -> String {
        let Some(DoctorEnd { link, dataset, .. }) = end else { return "-".into() };
        format!("{} {}", link.name(), dataset.map_or("-".into(), |dataset| dataset.to_string()))
    }

    #[test]
    fn hosts_with_and_without_a_dataset() {
        for (words, source, target) in [
            ("beta", "-", "beta -"),
            ("me@beta", "-", "me@beta -"),
            ("me@[fe80::1]", "-", "me@[fe80::1] -"),
            ("[::1]:b/x", "-", "[::1] b/x"),
            ("beta:b/x", "-", "beta b/x"),
            ("--source t/a beta:b/x", "this machine t/a", "beta b/x"),
            ("--source t/a", "this machine t/a", "-"),
            ("--source web:t/a --local b/x", "web t/a", "this machine b/x"),
            ("--local b/x", "-", "this machine b/x"),
        ] {
            let job = job(words).unwrap();
            assert!(job.target.as_ref().is_none_or(|target| target.link.ssh.verbose));
            assert_eq!((shown(job.source), shown(job.target)), (source.to_owned(), target.to_owned()), "{words}");
        }
    }

    #[test]
    fn what_makes_no_sense() {
        for (words, why) in [
            ("tank/data", "--local"),
            ("tank/a:b", "--local"),
            ("beta:", "has no dataset after the ':'"),
            (":b", "has no host before the ':'"),
            ("--local b beta", "cannot be used with"),
            ("--local beta:b", "leave out --local"),
            ("-p 22 --source web:t beta:b", "-p is ambiguous"),
            ("-x", "unexpected argument"),
        ] {
            let error = job(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
        let error = Cli::try_parse_from(["zfsync", "doctor"]).unwrap_err().to_string();
        assert!(error.contains("required arguments were not provided"), "{error}");
    }

    #[test]
    fn each_target_of_a_job() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[job.a]\nsource = 'p/a'\ntargets = ['b:q', 'r/a']\nssh.port = 2222\n[job.none]\nsource = 'p/n'\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let all = |words: &str| {
            let words = format!("zfsync doctor -c {path} --job {words}");
            let Command::Doctor(args) = Cli::try_parse_from(words.split(' ')).unwrap().command else { panic!() };
            DoctorJob::all(&args).map_err(|error| error.to_string())
        };
        let mut jobs = all("a").unwrap().into_iter();
        let next = jobs.next().unwrap();
        assert_eq!(next.target.as_ref().unwrap().link.ssh.port, Some(2222));
        assert_eq!((shown(next.source), shown(next.target)), ("this machine p/a".into(), "b q".into()));
        assert_eq!(shown(jobs.next().unwrap().target), "this machine r/a");
        assert!(jobs.next().is_none());
        for (words, why) in [
            ("none", "job none has no targets"),
            ("b", "there is no job \"b\""),
            ("a -p 22", "takes the options for ssh from the configuration file"),
        ] {
            let error = all(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
    }
}
