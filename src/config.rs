//! From what the user wrote to a job that makes sense: everything is parsed and checked here, before anything starts.

mod cron;
mod direct;
mod doctor;
mod ends;
mod file;
mod hooks;
mod keep;
mod prune;
mod restore;
mod run;
mod status;
mod targets;
mod trust;
mod verify;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use crate::cli::{self, DeleteMissing, LogFormat};
use crate::error::StartError;
use crate::format::Rate;
use crate::plan::{Filter, Format, MissingPolicy, Naming, Resolutions};
use crate::remote::link::{Ends, Link};
use crate::remote::ssh::SshOptions;
use crate::remote::target::{Target, host_name_here};
pub use cron::{Branch, CronJob};
pub use direct::{Direct, order, ordered};
pub use doctor::{DoctorEnd, DoctorJob};
pub use ends::{Ways, check_overlap, source_tag};
use ends::{allow, ends, link_to_source, location, source};
use helper::pace::Pace;
pub use hooks::{HookCommand, Hooks, When};
pub use keep::{Keep, KeepJob};
pub use prune::PruneJob;
pub use restore::Restore;
pub use run::{jobs as jobs_of, read as read_jobs};
pub use status::StatusJob;
pub use targets::{ForgetJob, targets_of};
pub use verify::VerifyJob;
use zfs::Allow;
use zfs::Volmode;
use zfs::name::DatasetName;

/// A push, checked.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct PushJob {
    /// From where to where.
    pub ends: Arc<Ends>,
    /// Which datasets take part.
    pub filter: Filter,
    /// Whether only each dataset's newest snapshot is sent.
    pub newest_only: bool,
    /// Whether snapshots that change nothing are left out.
    pub skip_empty: bool,
    /// Whether encrypted datasets leave this host in plaintext.
    pub decrypt: bool,
    /// Whether what the source has unencrypted below an encrypted dataset is stored so below its raw copy.
    pub allow_unencrypted: bool,
    /// Whether copies get raw increments whose keys they can't open.
    pub allow_key_mismatch: bool,
    /// Whether increments start from bookmarks that nothing proves, though something is received into the source.
    pub allow_unproven_bookmarks: bool,
    /// Whether only the plan is shown.
    pub dry_run: bool,
    /// Whether the plan has sizes: each costs a `zfs send -n`.
    pub sizes: bool,
    /// What may be done about conflicts.
    pub resolutions: Resolutions,
    /// How closely the target follows what goes away at the source.
    pub missing: MissingPolicy,
    /// How much is told of what only the target has.
    pub only_there: OnlyThere,
    /// Whether receives can be resumed, and cut ones are.
    pub resume: bool,
    /// Whether the source gets bookmarks of what has arrived.
    pub bookmarks: bool,
    /// How often and how patiently is tried again.
    pub faults: Faults,
    /// How many streams run at the same time.
    pub channels: usize,
    /// How many SSH connections carry them; `None` for as many as the data deserves.
    pub connections: Option<usize>,
    /// How fast its streams may go together, and with those of other pushes of its job.
    pub pace: Option<Arc<Pace>>,
    /// Names this run to helpers: those of one run don't lock each other out.
    pub run: u64,
    /// When it is stopped in good order.
    pub until: Option<Instant>,
    /// What device nodes the volumes get that come into being.
    pub volmode: Volmode,
    /// Where the last results are kept.
    pub state_dir: Option<PathBuf>,
    /// What it does beside a push, if it is a restore.
    pub restore: Option<Restore>,
    /// How the source's host is asked to do it, if that sends straight to the target's.
    pub direct: Option<Direct>,
}

/// A file that takes down what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where.
    pub path: PathBuf,
    /// How.
    pub format: LogFormat,
}

impl Log {
    /// What the options ask for; `flag` is that of the file.
    pub fn new(path: Option<&PathBuf>, format: Option<LogFormat>, flag: &str) -> Result<Option<Self>, StartError> {
        match path {
            None if format.is_some() => {
                Err(StartError::Usage(format!("a log format is given, but no log: {flag} is missing")))
            }
            path => Ok(path.map(|path| Self { path: path.clone(), format: format.unwrap_or_default() })),
        }
    }
}

/// A run that takes snapshots, checked.
#[derive(Debug, Clone)]
pub struct SnapshotJob {
    /// How the datasets' host is reached.
    pub origin: Link,
    /// The tops of the trees, each once, in the order of the command line.
    pub datasets: Vec<DatasetName>,
    /// Which datasets take part; relative to each top.
    pub filter: Filter,
    /// What the snapshots are called.
    pub naming: Naming,
    /// Whether datasets are left out to which nothing was written since their newest snapshot.
    pub if_changed: bool,
    /// Whether it is only shown what would be done.
    pub dry_run: bool,
}

impl SnapshotJob {
    /// Checks the arguments.
    pub fn new(args: &cli::Snapshot) -> Result<Self, StartError> {
        let mut datasets: Vec<DatasetName> = Vec::with_capacity(args.dataset.len());
        for text in &args.dataset {
            let dataset = source(text).map_err(|error| match error {
                StartError::RemoteSource(_) => taken_there(text),
                StartError::Source(error) => StartError::Usage(format!("DATASET: {error}")),
                StartError::SourceLocation(error) => StartError::Usage(format!("DATASET: {error}")),
                error => error,
            })?;
            if !datasets.contains(&dataset) {
                datasets.push(dataset);
            }
        }
        Ok(Self {
            origin: Link::default(),
            filter: filter(&args.selection, &datasets)?,
            datasets,
            naming: naming(&args.naming),
            if_changed: args.if_changed,
            dry_run: args.dry_run,
        })
    }
}

/// What to run for a dataset of another host.
fn taken_there(text: &str) -> StartError {
    let (host, dataset) = text.rsplit_once(':').unwrap_or(("HOST", text));
    StartError::Usage(format!(
        "{text:?} is on another host, and snapshots are taken on this machine: run zfsync snapshot there, for example: ssh {host} zfsync \
         snapshot {dataset}"
    ))
}

/// What own snapshots are called, from the command line.
fn naming(args: &cli::Naming) -> Naming {
    let zone = if args.local_time { TimeZone::system() } else { TimeZone::UTC };
    Naming { format: args.format.clone(), zone }
}

/// How a run deals with what doesn't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Tries without progress.
    pub retries: u32,
    /// The longest pause between two of them.
    pub retry_max_wait: Duration,
    /// So long nothing may move; `None` for ever.
    pub stall_timeout: Option<Duration>,
    /// So long another run's lock is waited for.
    pub wait_lock: Duration,
}

impl PushJob {
    /// Checks a push's arguments.
    pub fn new(args: &cli::Push) -> Result<Self, StartError> {
        Self::allowed(args, &[])
    }

    /// The same; the target's helper must be allowed to do some things more.
    fn allowed(args: &cli::Push, more: &[Allow]) -> Result<Self, StartError> {
        let (source, target) = (location(&args.source)?, args.target.parse::<Target>()?);
        let may_ask = !args.output.talk.quiet && !args.output.json;
        let ways = Ways { direct: args.direct.direct, ..Ways::same(&args.ssh) };
        let mut ends = ends(source, target, ways, Vec::new(), may_ask)?;
        allow(&mut ends, &args.ssh, &[&allowed(args), more].concat(), args.trust_source)?;
        let faults = Faults::new(&args.faults);
        (ends.source.link.silence, ends.target.link.silence) = (faults.stall_timeout, faults.stall_timeout);
        Ok(Self {
            filter: filter(&args.selection, std::slice::from_ref(&ends.source.dataset))?,
            newest_only: args.newest_only,
            skip_empty: args.skip_empty,
            decrypt: args.decrypt,
            volmode: args.volmode,
            allow_unencrypted: args.allow_unencrypted,
            allow_key_mismatch: args.allow_key_mismatch,
            allow_unproven_bookmarks: args.allow_unproven_bookmarks,
            dry_run: args.dry_run,
            sizes: true,
            resolutions: resolutions(args, &ends.target.dataset)?,
            missing: missing(&args.missing, &Format::default(), &ends.source.dataset),
            only_there: OnlyThere::new(args),
            resume: !args.no_resume,
            bookmarks: !args.no_bookmark,
            faults,
            channels: args.channels.into(),
            connections: args.connections.map(Into::into),
            pace: pace(args.bwlimit),
            run: run_number(),
            until: None,
            state_dir: args.state_dir.clone(),
            restore: None,
            direct: Direct::new(args.direct, &ends, Ways::same(&args.ssh))?,
            ends: Arc::new(ends),
        })
    }
}

/// How much a push looks for what only the target has, and tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnlyThere {
    /// Not at all: nobody would read it.
    Ignored,
    /// How many datasets: costs one more `zfs list` there.
    Counted,
    /// All datasets and snapshots, for which the target is listed.
    Named,
}

impl OnlyThere {
    fn new(args: &cli::Push) -> Self {
        match (args.output.talk.verbose > 0, args.output.talk.quiet && args.log.log_file.is_none()) {
            (true, _) => Self::Named,
            (false, true) => Self::Ignored,
            (false, false) => Self::Counted,
        }
    }
}

impl PushJob {
    /// Whether the names of the target's datasets are asked for.
    #[must_use]
    pub fn looks_around(&self) -> bool {
        self.needs_names() || self.resolutions.set_aside
    }

    /// Whether it can't do without them. To destroy some: what was renamed must not be taken for gone. What is set aside is so without
    /// them, too: only the end says less.
    #[must_use]
    pub fn needs_names(&self) -> bool {
        self.only_there > OnlyThere::Ignored || self.missing.follow_renames || self.missing.datasets
    }

    /// Whether a flag lets it roll back, rename or destroy something on the target.
    #[must_use]
    pub fn may_change_what_is_there(&self) -> bool {
        self.resolutions.any() || self.missing.follow_renames || self.missing.destroys()
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            retries: 5,
            retry_max_wait: Duration::from_secs(60),
            stall_timeout: Some(Duration::from_secs(300)),
            wait_lock: Duration::ZERO,
        }
    }
}

impl Faults {
    fn new(args: &cli::Faults) -> Self {
        Self {
            retries: args.retries,
            retry_max_wait: args.retry_max_wait,
            stall_timeout: Some(args.stall_timeout).filter(|timeout| !timeout.is_zero()),
            wait_lock: args.wait_lock,
        }
    }
}

fn pace(limit: Option<Rate>) -> Option<Arc<Pace>> {
    limit.map(|rate| Arc::new(Pace::new(rate.per_second())))
}

/// Which datasets of these trees take part.
fn filter(args: &cli::Selection, tops: &[DatasetName]) -> Result<Filter, StartError> {
    let depth = if args.no_recursive { Some(0) } else { args.depth };
    Ok(Filter::new(depth, &args.include, &args.exclude)?.relative_to(tops)?)
}

/// `may_ask`: there is somebody to answer questions about passwords and host keys.
fn ssh(args: &cli::Ssh, may_ask: bool) -> SshOptions {
    SshOptions {
        port: args.port,
        identity: args.identity.clone(),
        config: args.ssh_config.clone(),
        options: args.ssh_option.clone(),
        interactive: std::io::stderr().is_terminal() && may_ask,
        forward_agent: false,
        verbose: false,
    }
}

/// What a run calls itself in claims of trees: the only randomness that the standard library has.
#[must_use]
pub fn run_number() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

/// What may be done about conflicts; what `--replace` names must be within TARGET.
fn resolutions(args: &cli::Push, target: &DatasetName) -> Result<Resolutions, StartError> {
    let replace = args.replace.iter().map(|name| {
        let words = match name.parse::<DatasetName>() {
            Ok(dataset) if dataset.is_within(target) => return Ok(dataset),
            Ok(_) => format!("it is not within the target {target}"),
            Err(error) => error.to_string(),
        };
        let hint = meant(name, &args.source, target).map_or_else(String::new, |it| format!("; did you mean {it}?"));
        Err(StartError::Replace(name.clone(), words + &hint))
    });
    // Told by clap already, unless it is another host's order.
    if args.rollback && args.set_aside {
        return Err(StartError::Usage("--rollback cannot be used with --set-aside".into()));
    }
    Ok(Resolutions { rollback: args.rollback, set_aside: args.set_aside, replace: replace.collect::<Result<_, _>>()? })
}

/// The target's dataset, where it was named with a host or by the source's name.
fn meant(name: &str, source: &str, target: &DatasetName) -> Option<DatasetName> {
    let of = |name: &str| name.rsplit_once(':').map_or(name, |(_, dataset)| dataset).parse::<DatasetName>().ok();
    let named = of(name)?;
    if named.is_within(target) {
        return Some(named);
    }
    target.join(&named.below(&of(source)?)?).ok()
}

/// What the flags need of the helper. With a forced command over there, that command's own line decides.
fn allowed(args: &cli::Push) -> Vec<Allow> {
    let missing = missing_needs(&args.missing);
    let wanted = [
        (args.rollback, Allow::Rollback),
        (args.set_aside || missing.contains(&Allow::Rename), Allow::Rename),
        (!args.replace.is_empty() || missing.contains(&Allow::Destroy), Allow::Destroy),
        (args.volmode == Volmode::Inherit, Allow::Volmode),
        (args.allow_unencrypted, Allow::Unencrypted),
        (args.allow_rekey, Allow::Rekey),
    ];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, allow)| allow).collect()
}

/// What following the source needs of the helper.
fn missing_needs(args: &cli::Missing) -> Vec<Allow> {
    let wanted = [(args.follow_renames, Allow::Rename), (args.delete_missing.is_some(), Allow::Destroy)];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, allow)| allow).collect()
}

/// `format`: how own snapshots are called.
fn missing(args: &cli::Missing, format: &Format, source: &DatasetName) -> MissingPolicy {
    let what = |one| args.delete_missing.is_some_and(|what| what == one || what == DeleteMissing::Both);
    MissingPolicy {
        datasets: what(DeleteMissing::Datasets),
        snapshots: what(DeleteMissing::Snapshots),
        grace: args.grace.unwrap_or(GRACE),
        max: args.max_delete.unwrap_or_default(),
        follow_renames: args.follow_renames,
        format: format.clone(),
        by: source_tag(&host_name_here(), source),
    }
}

/// So long what is missing stays, if not told otherwise.
const GRACE: Duration = Duration::from_secs(7 * 24 * 3600);
