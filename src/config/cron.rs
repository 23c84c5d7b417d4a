//! A crontab's job, or one of a configuration file, checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::hooks::Hooks;
use super::{
    Direct, Faults, Log, OnlyThere, PruneJob, PushJob, SnapshotJob, Ways, ends, filter, link_to_source, location,
    missing, missing_needs, naming, run_number,
};
use crate::cli;
use crate::error::StartError;
use crate::format::Rate;
use crate::plan::{Class, Filter, PerClass, Resolutions, Rules, Scope, Zone};
use crate::remote::link::{End, Ends, Link};
use crate::remote::target::{Host, Target};
use zfs::name::DatasetName;
use zfs::{Allow, Volmode};

/// A crontab's job, or one of a configuration file, checked.
#[derive(Debug, Clone)]
pub struct CronJob {
    /// What it is called in reports: as in the file, or its first source.
    pub name: String,
    /// How the sources' host is reached.
    pub origin: Link,
    /// How snapshots are taken, if they are: of all branches at the same moment.
    pub snapshot: Option<SnapshotJob>,
    /// Its trees, one at least; served one after the other.
    pub branches: Vec<Branch>,
    /// What runs before and after.
    pub hooks: Hooks,
    /// Only when no own snapshot lies in the present one of the windows of so many seconds.
    pub window: Option<u64>,
    /// Whether what it keeps is told when it runs for the first time, as nobody may have said it.
    pub tells: bool,
    /// So long it may take.
    pub limit: Option<Duration>,
    /// What happens is written down here.
    pub log: Option<Log>,
}

/// A tree of a job.
#[derive(Debug, Clone)]
pub struct Branch {
    /// How its host is reached.
    pub origin: Link,
    /// Its top.
    pub source: DatasetName,
    /// Where it goes, all at the same time.
    pub targets: Vec<PushJob>,
    /// How the source is pruned, if it is.
    pub prune: Option<PruneJob>,
    /// How each target is pruned, if it is.
    pub prune_targets: Vec<PruneJob>,
}

/// What is wanted of a job.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(super) struct Wish {
    /// The host that all sources are on; `None`: this machine.
    pub host: Option<Host>,
    pub sources: Vec<DatasetName>,
    /// Whether each source goes below the targets, under its last name, and not to the targets themselves.
    pub below: bool,
    pub targets: Vec<Target>,
    pub snapshot: bool,
    pub if_changed: bool,
    pub skip_empty: bool,
    /// Whether a source on another host is trusted as this machine is.
    pub trust_source: bool,
    pub allow_unencrypted: bool,
    pub allow_unproven_bookmarks: bool,
    pub naming: cli::Naming,
    pub keep: Option<Rules>,
    pub keep_targets: Option<Rules>,
    pub time_zone: Option<Zone>,
    pub only_named_targets: bool,
    pub selection: cli::Selection,
    pub faults: cli::Faults,
    pub channels: u16,
    pub bwlimit: Option<Rate>,
    pub missing: cli::Missing,
    /// The way to the targets, and to the source if nothing else is said of that.
    pub ssh: cli::Ssh,
    /// The way to the source.
    pub source_ssh: Option<cli::Ssh>,
    /// Whether the source's host sends straight to the targets' hosts.
    pub direct: cli::Direct,
    pub state_dir: Option<PathBuf>,
}

impl CronJob {
    /// Checks the arguments.
    pub fn new(args: &cli::Cron) -> Result<Self, StartError> {
        let counts = Class::ALL.into_iter().zip([args.s, args.m, args.h, args.d]);
        let keep = Rules { classes: Some(PerClass::new(counts)), ..Rules::default() };
        let classes = keep.classes.clone().filter(|_| args.prune_targets);
        let keep_targets = Rules { classes, periods: args.keep_targets.clone(), last: None };
        let source = location(&args.source)?;
        let job = Self::build(Wish {
            host: source.host,
            sources: vec![source.dataset],
            below: false,
            targets: args.targets.iter().map(|text| text.parse()).collect::<Result<_, _>>()?,
            snapshot: true,
            if_changed: args.if_changed,
            skip_empty: args.skip_empty,
            trust_source: args.trust_source,
            allow_unencrypted: args.allow_unencrypted,
            allow_unproven_bookmarks: args.allow_unproven_bookmarks,
            naming: args.naming.clone(),
            keep_targets: Some(keep_targets).filter(|rules| !rules.is_empty()),
            time_zone: args.time_zone.clone(),
            keep: Some(keep),
            only_named_targets: args.only_named_targets,
            selection: args.selection.clone(),
            faults: args.faults.clone(),
            channels: args.channels,
            bwlimit: args.bwlimit,
            missing: args.missing.clone(),
            ssh: args.ssh.clone(),
            source_ssh: None,
            direct: args.direct,
            state_dir: args.state_dir.clone(),
        })?;
        let log = Log::new(args.log.as_ref(), args.log_format, "--log")?;
        Ok(Self { window: args.window, tells: true, ..job.logging(log) })
    }

    /// With a log, in which somebody may read what only the targets have.
    pub(super) fn logging(mut self, log: Option<Log>) -> Self {
        if log.is_some() {
            let targets = self.branches.iter_mut().flat_map(|branch| &mut branch.targets);
            targets.for_each(|target| target.only_there = OnlyThere::Counted);
        }
        Self { log, ..self }
    }

    /// Checks what is wanted.
    pub(super) fn build(wish: Wish) -> Result<Self, StartError> {
        let mut branches: Vec<Branch> = Vec::new();
        for source in &wish.sources {
            if let Some(other) = branches.iter().find(|other| overlap(&other.source, source)) {
                let words =
                    format!("the sources {} and {source} overlap: each includes all datasets below it", other.source);
                return Err(StartError::Usage(words));
            }
            let branch = Branch::new(&wish, source)?;
            if branches.iter().flat_map(|other| &other.targets).any(|other| branch.has(&other.ends.target)) {
                let words =
                    format!("two sources end in the same component as {source}, and would have the same targets");
                return Err(StartError::Usage(words));
            }
            branches.push(branch);
        }
        share_pace(&wish, &mut branches)?;
        let origin = wish.origin()?;
        let snapshot = SnapshotJob {
            origin: origin.clone(),
            filter: filter(&wish.selection, &wish.sources)?,
            datasets: wish.sources,
            naming: naming(&wish.naming),
            if_changed: wish.if_changed,
            dry_run: false,
        };
        Ok(Self {
            name: branches.first().map_or_else(|| "job".into(), |branch| branch.end().to_string()),
            origin,
            snapshot: wish.snapshot.then_some(snapshot),
            branches,
            hooks: Hooks::default(),
            window: None,
            tells: false,
            limit: None,
            log: None,
        })
    }

    /// What it is called in reports.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name
    }

    /// The tops of its trees.
    pub fn sources(&self) -> impl Iterator<Item = &DatasetName> {
        self.branches.iter().map(|branch| &branch.source)
    }
}

/// All pushes of a job together keep its limit.
fn share_pace(wish: &Wish, branches: &mut [Branch]) -> Result<(), StartError> {
    let pace = super::pace(wish.bwlimit);
    if pace.is_some() && wish.direct.direct && wish.targets.len() > 1 {
        let words = "a bandwidth limit (bwlimit) can't be kept with --direct and several targets, as SOURCE's host replicates to each of them on \
            its own: use a job for each target";
        return Err(StartError::Usage(words.into()));
    }
    branches.iter_mut().flat_map(|branch| &mut branch.targets).for_each(|push| push.pace.clone_from(&pace));
    Ok(())
}

fn overlap(one: &DatasetName, other: &DatasetName) -> bool {
    one.is_within(other) || other.is_within(one)
}

impl Branch {
    fn new(wish: &Wish, source: &DatasetName) -> Result<Self, StartError> {
        let naming = naming(&wish.naming);
        let zone = wish.time_zone.as_ref().map_or(&naming.zone, Zone::zone).clone();
        let scope = Scope::new(naming, false, &[], &[]).map_err(StartError::Usage)?;
        let filter = filter(&wish.selection, &wish.sources)?;
        let origin = wish.origin()?;
        let (place, ways) = (Target { host: wish.host.clone(), dataset: source.clone() }, wish.ways());
        let prune = |rules: &Rules| PruneJob {
            origin: origin.clone(),
            sources: vec![source.clone()],
            targets: Vec::new(),
            filter: filter.clone(),
            scope: scope.clone(),
            rules: rules.clone(),
            zone: zone.clone(),
            only_named_targets: wish.only_named_targets,
            prune_sources: true,
            wait_lock: Duration::ZERO,
            dry_run: false,
            state_dir: wish.state_dir.clone(),
        };
        let mut branch = Self {
            origin: origin.clone(),
            source: source.clone(),
            targets: Vec::new(),
            prune: wish.keep.as_ref().map(prune),
            prune_targets: Vec::new(),
        };
        for target in &wish.targets {
            let target = wish.place(source, target)?;
            let mut allow = missing_needs(&wish.missing);
            allow.extend(wish.allow_unencrypted.then_some(Allow::Unencrypted));
            let mut both = ends(place.clone(), target.clone(), ways, Vec::new(), false)?;
            super::ends::allow(&mut both, ways.target, &allow, wish.trust_source)?;
            let push = wish.push(both, filter.clone())?;
            if branch.has(&push.ends.target) {
                return Err(StartError::Usage(format!("the target {target} is listed twice")));
            }
            branch.targets.push(push);
            if let Some(rules) = &wish.keep_targets {
                let ends = ends(place.clone(), target, ways, vec![Allow::Destroy], false)?;
                let prune = PruneJob { targets: vec![Arc::new(ends)], prune_sources: false, ..prune(rules) };
                branch.prune_targets.push(prune);
            }
        }
        Ok(branch)
    }

    /// Its top, and where that is.
    #[must_use]
    pub fn end(&self) -> End {
        End { link: self.origin.clone(), dataset: self.source.clone() }
    }

    fn has(&self, target: &End) -> bool {
        self.targets.iter().any(|other| other.ends.target.same_place(target))
    }
}

impl Wish {
    fn ways(&self) -> Ways<'_> {
        let source = self.source_ssh.as_ref().unwrap_or(&self.ssh);
        Ways { source, target: &self.ssh, direct: self.direct.direct }
    }

    /// How the sources' host is reached by whoever takes snapshots there and prunes them.
    fn origin(&self) -> Result<Link, StartError> {
        let wanted = [(self.snapshot, Allow::Snapshot), (self.keep.is_some(), Allow::Destroy)];
        let allow: Vec<Allow> = wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, allow)| allow).collect();
        link_to_source(self.host.clone(), self.ways().source, &allow, false)
    }

    /// A push to one of the targets.
    fn push(&self, mut ends: Ends, filter: Filter) -> Result<PushJob, StartError> {
        let faults = Faults::new(&self.faults);
        (ends.source.link.silence, ends.target.link.silence) = (faults.stall_timeout, faults.stall_timeout);
        let direct = Direct::new(self.direct, &ends, self.ways())?;
        Ok(PushJob {
            filter,
            newest_only: false,
            skip_empty: self.skip_empty,
            decrypt: false,
            allow_unencrypted: self.allow_unencrypted,
            allow_key_mismatch: false,
            allow_unproven_bookmarks: self.allow_unproven_bookmarks,
            dry_run: false,
            sizes: true,
            resolutions: Resolutions::default(),
            missing: missing(&self.missing, &self.naming.format, &ends.source.dataset),
            only_there: OnlyThere::Ignored,
            resume: true,
            bookmarks: true,
            faults,
            channels: self.channels.into(),
            connections: None,
            pace: None,
            run: run_number(),
            until: None,
            volmode: Volmode::None,
            state_dir: self.state_dir.clone(),
            restore: None,
            direct,
            ends: Arc::new(ends),
        })
    }

    /// Where a source goes.
    fn place(&self, source: &DatasetName, target: &Target) -> Result<Target, StartError> {
        if !self.below {
            return Ok(target.clone());
        }
        let last = source.as_str().rsplit('/').next().unwrap_or_default();
        let name = format!("{}/{last}", target.dataset);
        let dataset = name.parse().map_err(|error| StartError::Usage(format!("{name}: {error}")))?;
        Ok(Target { dataset, ..target.clone() })
    }
}
