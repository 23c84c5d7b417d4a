//! Prunes snapshots on this machine and on targets: looks at all sides first, then destroys.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connections::ConnectionPool;
use super::link::{allowed_sender_of, check_helper, close, first_channel};
use super::needs::{self, Asked, Met, TargetNeeds};
use super::receiver::Receiver;
use super::signals::Signals;
use super::{lock, proof, source};
use crate::config::{PruneJob, run_number};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{
    Calendar, Choice, Cut, SourceDataset, TargetDataset, newest_of_others, prune_source, prune_target,
    relies_on_orphans, undated,
};
use crate::remote::client::ChannelId;
use crate::remote::link::{Access, Ends};
use crate::report::view::prune::{PruneReport, PrunedSide};
use crate::state::record::{Begun, Record, Thing};
use zfs::host::MAX_PRUNE;
use zfs::lock::Lock;
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName};
use zfs::{Failure, Pruned, Refusal, TAKEN_HERE, Tags, permission};

/// So long a listing of the source may stand still.
const STALL: Duration = Duration::from_secs(300);
/// So long the destroying in one dataset of this machine may take: the pool may be suspended.
const LIMIT: Duration = Duration::from_secs(3600);
/// So many datasets of this machine are pruned at a time.
const AT_ONCE: usize = 4;

/// A part of one dataset's snapshots that go.
pub type Portion = (DatasetName, Vec<(SnapshotName, Guid)>);

/// Prunes; what came of it is told by the returned sides.
pub async fn prune(job: &PruneJob) -> Result<PruneReport, StartError> {
    prune_until(job, None).await
}

/// The same, stopped in good order when it is late.
pub async fn prune_until(job: &PruneJob, until: Option<Instant>) -> Result<PruneReport, StartError> {
    let mut signals = Signals::listen_until(until)?;
    let sender = tokio::select! {
        sender = allowed_sender_of(&job.origin, &job.sources) => sender?.with_access(Access::of(job.dry_run)),
        signal = signals.next() => return Err(StartError::Interrupted(signal)),
    };
    let mut peers = Vec::new();
    let result = tokio::select! {
        result = run(job, &sender, &mut peers) => result,
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    };
    for Open { connections, .. } in peers {
        close(connections).await;
    }
    sender.close().await;
    result
}

/// A target that can be asked.
struct Open {
    ends: Arc<Ends>,
    /// The number of its claim of the tree; `None` in a dry run.
    run: Option<u64>,
    connections: ConnectionPool,
    first: ChannelId,
    _lock: Option<Lock>,
}

impl Open {
    async fn new(job: &PruneJob, ends: &Arc<Ends>, sender: &Endpoint) -> Result<Self, StartError> {
        let run = (!job.dry_run).then(run_number);
        let lock = match run {
            None => None,
            Some(run) => {
                let (lock, without) = lock::take(ends, run, Some(job.wait_lock)).await?;
                if let Some(words) = without {
                    tracing::warn!("{}: {words}", ends.target);
                }
                lock
            }
        };
        let (mut connections, mut events) =
            ConnectionPool::new(ends.target.link.clone(), None, Access::of(job.dry_run));
        connections.connect(1, Duration::ZERO);
        match first_channel(&mut connections, &mut events).await {
            Ok((first, hello)) => {
                let open = Self { ends: ends.clone(), run, connections, first, _lock: lock };
                check_helper(ends, sender, &hello).map(|()| open)
            }
            Err(error) => {
                close(connections).await;
                Err(error)
            }
        }
    }

    /// Claims the tree, and lists what the source's datasets are there; also who it is.
    async fn look(
        &self,
        trees: &[Tree],
        wait_lock: Duration,
    ) -> Result<(Met, HashMap<DatasetName, TargetDataset>), StartError> {
        let datasets = trees.iter().flat_map(|tree| &tree.datasets);
        // A name that would be too long there can't exist.
        let names = datasets.filter_map(|dataset| self.ends.target.dataset.join(&dataset.path).ok()).collect();
        let mut receiver = self.receiver()?;
        if let Some(run) = self.run {
            receiver.claim(run, wait_lock).await?;
        }
        let met = meet(&mut receiver).await?;
        let listed = receiver.list(names).await?;
        receiver.claimed().await?;
        if let Some(words) = receiver.unlocked.take() {
            tracing::warn!(
                "{}: {words}: other runs there are not prevented from working on this target",
                receiver.host()
            );
        }
        Ok((met, listed.into_iter().map(|(name, (dataset, _))| (name, dataset)).collect()))
    }

    fn receiver(&self) -> Result<Receiver<'_>, StartError> {
        Receiver::over(&self.connections, self.first, &self.ends)
    }
}

/// Who the target is. One that isn't there was mistyped, or is gone: either way nothing that it may need may go for its sake.
async fn meet(receiver: &mut Receiver<'_>) -> Result<Met, StartError> {
    let target = receiver.ends.target.dataset.clone();
    let names = [target.to_string(), target.pool().to_owned()];
    let found = receiver.ask(&names).await?;
    let guid = |at: u32| found.iter().find(|(place, ..)| *place == at).map(|(_, guid, _)| *guid);
    match guid(0) {
        Some(top) => Ok(Met { pool: guid(1), top }),
        None => Err(StartError::NoTarget {
            host: receiver.host(),
            target: target.to_string(),
            source_dataset: receiver.ends.source.to_string(),
        }),
    }
}

/// One of the sources, listed.
struct Tree {
    top: DatasetName,
    /// Those that are selected.
    datasets: Vec<SourceDataset>,
    /// The paths of all of them.
    paths: Vec<RelPath>,
}

impl Tree {
    async fn list(job: &PruneJob, sender: &Endpoint, top: &DatasetName) -> Result<Self, StartError> {
        let listed = source::list(sender, top.clone(), job.filter.depth(), Some(STALL)).await?;
        let paths = listed.iter().map(|dataset| dataset.path.clone()).collect();
        let datasets = listed.into_iter().filter(|dataset| job.filter.selects(&dataset.path)).collect();
        Ok(Self { top: top.clone(), datasets, paths })
    }

    /// What is to be said of globs that match nothing in any of these.
    fn idle(job: &PruneJob, trees: &[Self]) -> Vec<String> {
        job.filter.idle(&Self::paths(trees)).iter().map(ToString::to_string).collect()
    }

    fn paths(trees: &[Self]) -> Vec<(&DatasetName, Vec<&RelPath>)> {
        trees.iter().map(|tree| (&tree.top, tree.paths.iter().collect())).collect()
    }
}

/// What is a copy of another one that is named, or of something else, would lose as a source what it needs as a target.
async fn refuse_copies(sender: &Endpoint, trees: &[Tree]) -> Result<(), StartError> {
    for tree in trees.iter().filter(|_| trees.len() > 1) {
        let others = trees.iter().map(|other| &other.top).filter(|other| **other != tree.top);
        if needs::is_copy(sender, &tree.top, others).await? {
            return Err(StartError::IsCopy(tree.top.to_string()));
        }
        let old = Tags::by_name("").of(&tree.top);
        if trees.iter().flat_map(|other| &other.datasets).any(|dataset| old.newest(&dataset.bookmarks).is_some()) {
            return Err(StartError::IsCopy(tree.top.to_string()));
        }
    }
    Ok(())
}

async fn run(job: &PruneJob, sender: &Endpoint, peers: &mut Vec<Open>) -> Result<PruneReport, StartError> {
    for target in &job.targets {
        peers.push(Open::new(job, target, sender).await?);
    }
    let mut trees = Vec::new();
    for top in &job.sources {
        trees.push(Tree::list(job, sender, top).await?);
    }
    job.filter.check(&Tree::paths(&trees))?;
    refuse_copies(sender, &trees).await?;
    let mut theirs = Vec::new();
    for peer in &*peers {
        theirs.push(peer.look(&trees, job.wait_lock).await?);
    }
    let mut needs = Vec::new();
    for tree in &trees {
        let asked = |met, has| Some(Asked { met, has });
        let named = peers.iter().zip(&theirs).map(|(peer, (met, has))| (peer.ends.clone(), asked(*met, has)));
        needs.push(TargetNeeds::new(sender, &tree.top, named.collect(), !job.only_named_targets).await?);
    }
    for (tree, needs) in trees.iter_mut().zip(&needs) {
        believe_proven(job, sender, tree, needs).await;
    }
    let calendar = calendar(job);
    let mut sides = Vec::new();
    // The targets first: what is destroyed here may be what tells what they need.
    for (peer, (_, has)) in peers.iter().zip(&theirs) {
        let cuts = target_cuts(job, peer, &calendar, &trees, has).await?;
        let portions = portions(&cuts);
        let host = peer.ends.target.host().map(ToString::to_string);
        let open = written_down(job, host.clone(), &portions);
        let done = peer.receiver()?.prune(&portions, job.dry_run).await?;
        open.map(|open| open.pruned(&portions, &done));
        sides.push(PrunedSide::new(host, peer.ends.target.dataset.clone(), cuts, portions.into_iter().zip(done)));
    }
    for (tree, needs) in trees.iter().zip(&needs).filter(|_| job.prune_sources) {
        let cuts = source_cuts(job, sender, &calendar, tree, needs).await?;
        sides.push(prune_source_side(job, sender, tree, cuts).await.with_copies(needs.has_copies()));
    }
    let selected = trees.iter().any(|tree| !tree.datasets.is_empty());
    Ok(PruneReport { dry_run: job.dry_run, selected, idle: Tree::idle(job, &trees), rule: job.rule(), sides })
}

/// The same moment for all sides.
fn calendar(job: &PruneJob) -> Calendar {
    Calendar { zone: job.zone.clone(), now: Timestamp::now().as_second() }
}

async fn target_cuts(
    job: &PruneJob,
    peer: &Open,
    calendar: &Calendar,
    trees: &[Tree],
    has: &HashMap<DatasetName, TargetDataset>,
) -> Result<Vec<Cut>, StartError> {
    let target = peer.ends.target.dataset.clone();
    let both = trees.iter().flat_map(|tree| &tree.datasets).filter_map(|dataset| {
        let name = target.join(&dataset.path).ok()?;
        let there = has.get(&name)?;
        Some((name, there, dataset))
    });
    let both: Vec<_> = both.collect();
    let names: Vec<String> =
        both.iter().flat_map(|(name, there, _)| undated(name, &there.snapshots, &job.scope)).collect();
    let mut dates = HashMap::new();
    if !names.is_empty() && job.rules.periods.is_some() {
        for (place, date) in peer.receiver()?.dates(&names).await? {
            dates.extend(names.get(place as usize).map(|name| (name.clone(), date)));
        }
    }
    let (scope, rules, received) = (&job.scope, &job.rules, &HashSet::new());
    let choice = Choice { scope, rules, calendar, dates: &dates, received };
    Ok(both.into_iter().map(|(name, there, dataset)| prune_target(&name, &there.snapshots, dataset, &choice)).collect())
}

/// Prunes the sources alone, going by what their bookmarks tell of these targets: nothing that one without a bookmark may need.
/// Stopped by a signal, and when it is late.
pub async fn prune_by_bookmarks(
    job: &PruneJob,
    sender: &Endpoint,
    targets: &[Arc<Ends>],
    until: Option<Instant>,
) -> Result<PruneReport, StartError> {
    let mut signals = Signals::listen_until(until)?;
    tokio::select! {
        pruned = by_bookmarks(job, sender, targets) => pruned,
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    }
}

async fn by_bookmarks(job: &PruneJob, sender: &Endpoint, targets: &[Arc<Ends>]) -> Result<PruneReport, StartError> {
    let (mut sides, mut selected) = (Vec::new(), false);
    for top in &job.sources {
        let mut tree = Tree::list(job, sender, top).await?;
        let named = targets.iter().map(|ends| (ends.clone(), None)).collect();
        let needs = TargetNeeds::new(sender, &tree.top, named, !job.only_named_targets).await?;
        believe_proven(job, sender, &mut tree, &needs).await;
        selected |= !tree.datasets.is_empty();
        let cuts = source_cuts(job, sender, &calendar(job), &tree, &needs).await?;
        sides.push(prune_source_side(job, sender, &tree, cuts).await.with_copies(needs.has_copies()));
    }
    // The push before it has told of them.
    Ok(PruneReport { dry_run: job.dry_run, selected, idle: Vec::new(), rule: job.rule(), sides })
}

async fn source_cuts(
    job: &PruneJob,
    sender: &Endpoint,
    calendar: &Calendar,
    tree: &Tree,
    needs: &TargetNeeds<'_>,
) -> Result<Vec<Cut>, StartError> {
    let named = tree.datasets.iter().filter_map(|dataset| Some((tree.top.join(&dataset.path).ok()?, dataset)));
    let named: Vec<(DatasetName, &SourceDataset)> = named.collect();
    let unknown: Vec<String> =
        named.iter().flat_map(|(name, dataset)| undated(name, &dataset.snapshots, &job.scope)).collect();
    let mut dates = HashMap::new();
    if !unknown.is_empty() && job.rules.periods.is_some() {
        // One without a date is kept.
        dates.extend(sender.dates(&unknown, Some(STALL)).await.unwrap_or_default());
    }
    let received = newest_received(job, sender, &named, needs).await?;
    let (scope, rules, none) = (&job.scope, &job.rules, HashSet::new());
    let cut = |(name, dataset): (DatasetName, &SourceDataset)| {
        let peers = needs.peers(&name, dataset);
        let received = received.get(&name).unwrap_or(&none);
        let choice = Choice { scope, rules, calendar, dates: &dates, received };
        prune_source(&name, dataset, &peers, !job.only_named_targets, &choice)
    };
    Ok(named.into_iter().map(cut).collect())
}

/// Of those datasets that are copies: the snapshots from which their sources continue.
async fn newest_received(
    job: &PruneJob,
    sender: &Endpoint,
    named: &[(DatasetName, &SourceDataset)],
    needs: &TargetNeeds<'_>,
) -> Result<HashMap<DatasetName, HashSet<Guid>>, StartError> {
    let copies: Vec<_> = named.iter().filter(|(name, _)| needs.is_copy(name)).collect();
    let all: Vec<DatasetName> = copies.iter().map(|(name, _)| name.clone()).collect();
    let Some(first) = all.first() else { return Ok(HashMap::new()) };
    let taken = sender.snapshot_notes(TAKEN_HERE, &all, Some(STALL)).await;
    let taken = taken.map_err(|why| source::failed(sender, first, why))?;
    let of_one = |(name, dataset): &(DatasetName, &SourceDataset)| {
        let is_taken = |snapshot: &str| taken.contains_key(&name.at(snapshot));
        (name.clone(), newest_of_others(&dataset.snapshots, &job.scope, is_taken).into_iter().collect())
    };
    Ok(copies.into_iter().map(of_one).collect())
}

/// Takes the bookmarks for false that nothing proves, where anything hangs on them.
async fn believe_proven(job: &PruneJob, sender: &Endpoint, tree: &mut Tree, needs: &TargetNeeds<'_>) {
    let doubts = tree.datasets.iter().enumerate().filter_map(|(place, dataset)| {
        let name = tree.top.join(&dataset.path).ok()?;
        let relies = relies_on_orphans(dataset, &needs.peers(&name, dataset), !job.only_named_targets);
        if relies { Some(dataset.doubt(place, &name)) } else { None }
    });
    for (place, proofs) in proof::find_out(sender, doubts.collect(), Some(STALL)).await {
        if let Some(dataset) = tree.datasets.get_mut(place) {
            *dataset = dataset.with_proven(&proofs);
        }
    }
}

/// Destroys what goes of a source.
async fn prune_source_side(job: &PruneJob, sender: &Endpoint, tree: &Tree, cuts: Vec<Cut>) -> PrunedSide {
    if !job.dry_run {
        let datasets: HashMap<&RelPath, &SourceDataset> =
            tree.datasets.iter().map(|dataset| (&dataset.path, dataset)).collect();
        let going = cuts.iter().filter_map(|cut| {
            let dataset = *datasets.get(&cut.dataset.below(&tree.top)?)?;
            Some((&cut.dataset, dataset, cut.goes.iter().map(|(_, guid)| *guid).collect()))
        });
        if let Some(words) = proof::leave_witnesses(sender, going, Some(STALL)).await {
            let allow = permission::allow("USER", permission::NOTE, &tree.top);
            tracing::warn!(
                "{}: the evidence that validates bookmarks after their snapshots are destroyed can't be recorded: {words}\n  root on the source's host{}{allow}",
                sender.full_name(&tree.top),
                permission::GRANT
            );
        }
    }
    let portions = portions(&cuts);
    let open = written_down(job, sender.host(), &portions);
    let done = destroy_on_source(sender, &portions, job.dry_run).await;
    open.map(|open| open.pruned(&portions, &done));
    PrunedSide::new(sender.host(), tree.top.clone(), cuts, portions.into_iter().zip(done))
}

/// Writes down what is about to go; in a dry run nothing is.
fn written_down(job: &PruneJob, host: Option<String>, portions: &[Portion]) -> Option<Begun> {
    let things = portions.iter().flat_map(|(dataset, some)| Thing::snapshots(dataset, some));
    let begin = || Record::of(job.state_dir.as_deref()).begin(host, &job.rule(), things.collect());
    (!job.dry_run).then(begin)
}

/// What is told of a dataset for which nobody waits any more.
const HANGS: &str = "zfs destroy has not finished within an hour: is the pool suspended? Check zpool status";

/// What goes, in parts that fit into a request.
fn portions(cuts: &[Cut]) -> Vec<Portion> {
    let part = |cut: &Cut| {
        let parts = cut.goes.chunks(MAX_PRUNE).map(<[_]>::to_vec).collect::<Vec<_>>();
        parts.into_iter().map(|part| (cut.dataset.clone(), part)).collect::<Vec<_>>()
    };
    cuts.iter().flat_map(part).collect()
}

/// Destroys on this machine what the helper destroys on others, by the same code.
async fn destroy_on_source(sender: &Endpoint, portions: &[Portion], dry_run: bool) -> Vec<Result<Pruned, Failure>> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    // Once the host is gone nobody asks it for the rest.
    let lost = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for (place, (dataset, snapshots)) in portions.iter().cloned().enumerate() {
        let (sender, turns, lost) = (sender.clone(), turns.clone(), lost.clone());
        running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            if lost.load(Ordering::Relaxed) {
                return (place, Err(Failure::new(Refusal::Lost, "not tried, as the connection was lost")));
            }
            let work = sender.prune(dataset.clone(), snapshots, dry_run, None);
            let result = match tokio::time::timeout(LIMIT, work).await {
                // The helper of another host has explained it itself.
                Ok(result) if sender.remote().is_some() => result,
                Ok(result) => result.map_err(|why| explain(why, &dataset)),
                Err(_) => Err(Failure { refusal: Refusal::Other, words: HANGS.into() }),
            };
            if let Err(Failure { refusal: Refusal::Lost, .. }) = &result {
                lost.store(true, Ordering::Relaxed);
            }
            (place, result)
        });
    }
    let unknown = Failure::new(Refusal::Other, "an internal task ended without a result");
    let mut all: Vec<Result<Pruned, Failure>> = vec![Err(unknown); portions.len()];
    while let Some(done) = running.join_next().await {
        if let Ok((place, result)) = done {
            all[place] = result;
        }
    }
    all
}

fn explain(failure: Failure, dataset: &DatasetName) -> Failure {
    // The helper of another host has explained it itself.
    if failure.refusal != Refusal::Permission || failure.words.contains(permission::GRANT) {
        return failure;
    }
    let allow = permission::allow("USER", permission::DESTROY, dataset);
    Failure { words: format!("{}\n  root on the source's host{}{allow}", failure.words, permission::GRANT), ..failure }
}
