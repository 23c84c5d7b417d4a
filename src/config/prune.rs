//! A prune, checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Ways, ends, filter, link_to_source, location, naming, source};
use crate::cli;
use crate::error::StartError;
use crate::plan::{Filter, Rules, Scope, Zone};
use crate::remote::link::{Ends, Link};
use crate::remote::target::Target;
use zfs::Allow;
use zfs::name::DatasetName;

/// A prune, checked.
#[derive(Debug, Clone)]
pub struct PruneJob {
    /// How the sources' host is reached.
    pub origin: Link,
    /// The trees there; a single one if there are targets.
    pub sources: Vec<DatasetName>,
    /// The targets, each with the source.
    pub targets: Vec<Arc<Ends>>,
    /// Which datasets take part.
    pub filter: Filter,
    /// Which snapshots.
    pub scope: Scope,
    /// What stays of them.
    pub rules: Rules,
    /// Whose hours and days count.
    pub zone: TimeZone,
    /// Whether targets that are known by bookmarks alone count for nothing.
    pub only_named_targets: bool,
    /// Whether the sources are pruned, and not the targets alone.
    pub prune_sources: bool,
    /// So long another run's lock on a target is waited for.
    pub wait_lock: Duration,
    /// Whether only to tell what would go.
    pub dry_run: bool,
    /// The folder of the record of what was destroyed, where the user names one.
    pub state_dir: Option<PathBuf>,
}

impl PruneJob {
    /// Checks a prune's arguments.
    pub fn new(args: &cli::Prune) -> Result<Self, StartError> {
        let usage = |words: &str| StartError::Usage(words.to_owned());
        let (targets, sources): (Vec<&String>, Vec<&String>) =
            args.datasets.iter().partition(|text| text.parse::<Target>().is_ok_and(|target| target.host.is_some()));
        let targets: Vec<&String> = targets.into_iter().chain(&args.target).collect();
        let mut sources = sources.into_iter().map(|text| source(text)).collect::<Result<Vec<_>, _>>()?;
        let elsewhere = args.source.as_deref().map(location).transpose()?;
        let host = elsewhere.as_ref().and_then(|source| source.host.clone());
        if let Some(elsewhere) = elsewhere {
            if !sources.is_empty() {
                return Err(usage("give either --source or a DATASET on this machine, not both"));
            }
            sources.push(elsewhere.dataset);
        }
        let origin = link_to_source(host.clone(), &args.ssh, &[Allow::Destroy], !args.talk.quiet)?;
        let [first, others @ ..] = &sources[..] else {
            let target = targets.first().map_or("TARGET", |target| target.as_str());
            return Err(StartError::Usage(format!(
                "{target} is a target without its source: name the source first (zfsync prune ... DATASET {target}), so that what the \
                 target still needs is known; if {target} is to be pruned as a source, use --source {target}"
            )));
        };
        if !targets.is_empty() && !others.is_empty() {
            return Err(usage("with targets, give a single DATASET on this machine: the source of all of them"));
        }
        let rules = Rules { last: args.keep_last, classes: args.keep_class.clone(), periods: args.keep.clone() };
        if rules.is_empty() {
            return Err(usage(
                "no retention rule given: use at least one of --keep, --keep-last and --keep-class (without one, every snapshot that is \
                 not protected would be destroyed)",
            ));
        }
        let naming = naming(&args.naming);
        let zone = args.time_zone.as_ref().map_or(&naming.zone, Zone::zone).clone();
        let scope = Scope::new(naming, args.foreign, &args.snapshot, &args.exclude_snapshot);
        let target = |text: &&String| {
            let source = Target { host: host.clone(), dataset: first.clone() };
            let (ways, allow) = (Ways::same(&args.ssh), vec![Allow::Destroy]);
            Ok(Arc::new(ends(source, text.parse()?, ways, allow, !args.talk.quiet)?))
        };
        Ok(Self {
            targets: targets.iter().map(target).collect::<Result<_, StartError>>()?,
            filter: filter(&args.selection, &sources)?,
            scope: scope.map_err(|words| StartError::Usage(format!("--snapshot, --exclude-snapshot: {words}")))?,
            rules,
            zone,
            only_named_targets: args.only_named_targets,
            prune_sources: true,
            wait_lock: args.wait_lock,
            dry_run: args.dry_run,
            state_dir: args.state_dir.clone(),
            sources,
            origin,
        })
    }

    /// The rules, as they are written on the command line.
    #[must_use]
    pub fn rule(&self) -> String {
        let Rules { last, classes, periods } = &self.rules;
        let all = [
            periods.as_ref().map(|periods| format!("--keep {periods}")),
            last.map(|last| format!("--keep-last {last}")),
            classes.as_ref().map(|classes| format!("--keep-class {classes}")),
        ];
        all.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}
