//! Keeps zfsync's own bookmarks on the source, beside the streams: a task makes them while their snapshots are on the
//! way, so that no crash leaves a target without a base, and destroys the older ones when a dataset is through.

mod problem;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use self::problem::Problem;
use crate::endpoint::Endpoint;
use crate::plan::{Base, BaseKind, Negotiation, Plan, PlannedDataset, SourceDataset, Step, Verdict};
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::{Failure, MarkKind, NewBookmark, Origin, Refusal, Tags, Version, permission};

/// So many go into one channel program: far below its limits, and below every system's for arguments.
pub(super) const BATCH: usize = 200;
/// No bookmark takes so long, unless its pool is suspended.
const LIMIT: Duration = Duration::from_secs(1800);

/// How a dataset ended, as far as its bookmarks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The target has the newest snapshot.
    InSync,
    /// Something is still missing there; what is on the way may have arrived.
    Open,
    /// The target was looked at, and what was on the way is not there.
    Conflict,
}

/// Bookmarks of a dataset that go, unless the one that takes their place could not be made.
type Gone = (DatasetName, Vec<SnapshotName>, Option<SnapshotName>);

/// What the task is told.
enum Work {
    Make(NewBookmark),
    /// Have one take the place of the one that it is made of.
    Replace {
        old: SnapshotName,
        new: NewBookmark,
    },
    /// Destroy these, unless the bookmark that takes their place could not be made.
    Destroy {
        dataset: DatasetName,
        names: Vec<SnapshotName>,
        instead: Option<SnapshotName>,
    },
    /// Say that all of the above is done.
    Tell(oneshot::Sender<()>),
}

/// One dataset's bookmarks in this run.
#[derive(Default)]
struct Own {
    made: Vec<(SnapshotName, Guid)>,
    /// Of those that were there, what has got another name.
    gone: HashSet<SnapshotName>,
    /// That name.
    withdrawn: HashSet<SnapshotName>,
    /// What the target has: bases, and what arrived.
    received: HashSet<Guid>,
    /// What was on its way: it may have arrived although nobody has heard of it.
    sent: HashSet<Guid>,
    /// What its steps start from, as they were planned one after the other.
    bases: HashSet<Guid>,
    /// How its snapshots are marked while they are on their way.
    kind: Option<MarkKind>,
    /// What the first step starts from.
    start: Option<Start>,
}

impl Own {
    /// The dataset's bookmarks that were there, as far as they still are.
    fn before<'a>(&'a self, source: &'a SourceDataset) -> impl Iterator<Item = (SnapshotName, Guid)> + 'a {
        let all = source.bookmarks.iter().chain(source.false_bookmarks.iter());
        all.map(|version| (version.snapshot_name(), version.guid)).filter(|(name, _)| !self.gone.contains(name))
    }

    /// All of its bookmarks.
    fn all<'a>(&'a self, source: &'a SourceDataset) -> impl Iterator<Item = (SnapshotName, Guid)> + 'a {
        self.before(source).chain(self.made.iter().cloned())
    }

    /// What the target has: a base, or what has arrived from it on.
    fn newest_received<'a>(&self, source: &'a SourceDataset) -> Option<Version<'a>> {
        source.snapshots.iter().rev().find(|version| self.received.contains(&version.guid))
    }
}

/// What the first step of a dataset tells about its target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It has nothing.
    Nothing,
    /// It has this.
    Base(Guid),
    /// It has something, only the token knows what.
    Rest,
}

/// The bookmarks of a run.
pub struct BookmarkKeeper {
    tags: Tags,
    own: HashMap<usize, Own>,
    host: String,
    work: UnboundedSender<Work>,
    problems: oneshot::Receiver<Vec<String>>,
}

impl BookmarkKeeper {
    /// Starts the task.
    pub fn open(sender: &Endpoint, tags: Tags) -> Self {
        let (work, todo) = unbounded_channel();
        let (tell, problems) = oneshot::channel();
        let keeper = Keeper { sender: sender.clone(), failed: HashSet::new(), problems: Vec::new() };
        tokio::spawn(async move {
            // Nobody may wait for it any more.
            let _ = tell.send(keeper.run(todo).await);
        });
        Self { tags, own: HashMap::new(), host: sender.name(), work, problems }
    }

    /// Makes the bookmarks of all that is planned, in as few transactions as possible.
    pub fn planned(&mut self, plan: &Plan, negotiation: &Negotiation) {
        for (index, planned) in plan.datasets.iter().enumerate() {
            self.withdraw(index, planned, negotiation);
            let steps: &[Step] = match &planned.verdict {
                Verdict::Send(steps) | Verdict::FillEmpty(steps) => steps,
                _ => continue,
            };
            for step in steps {
                self.step(index, planned, negotiation, step);
            }
        }
    }

    /// Waits until what is planned has its bookmarks, where some target has none yet: only they tell others that something is on its way
    /// to it. Not longer than that.
    pub async fn announced(&self, patience: Duration) {
        if !self.own.values().any(|own| own.kind == Some(MarkKind::Waiting)) {
            return;
        }
        let (tell, told) = oneshot::channel();
        if self.work.send(Work::Tell(tell)).is_ok() {
            let _ = tokio::time::timeout(patience, told).await;
        }
    }

    /// The target was looked at, or changed as the user has said: what was believed so far is old.
    pub fn replanned(&mut self, index: usize, planned: &PlannedDataset, negotiation: &Negotiation) {
        let own = self.own.entry(index).or_default();
        (own.start, own.kind) = (None, None);
        own.received.retain(|guid| !negotiation.target_lacks(index, *guid));
        let (there, sent) = own.sent.iter().partition(|guid| negotiation.target_has(index, **guid));
        let there: HashSet<Guid> = there;
        own.received.extend(there);
        own.sent = sent;
        self.withdraw(index, planned, negotiation);
    }

    /// Where the target lacks what a bookmark says that it has, and everything newer: from now on the bookmark stands for what nobody
    /// knows. It stays, as it can be a base again.
    fn withdraw(&mut self, index: usize, planned: &PlannedDataset, negotiation: &Negotiation) {
        let Some(source) = negotiation.source(index) else { return };
        let tag = self.tags.of(&planned.target);
        let own = self.own.entry(index).or_default();
        let there: Vec<(SnapshotName, Guid)> = own.all(source).collect();
        let mut claims: Vec<&(SnapshotName, Guid)> =
            there.iter().filter(|(name, _)| tag.owns_as(MarkKind::Arrived, name.as_str())).collect();
        // The oldest is what tells.
        claims.sort_by_key(|(_, guid)| source.place_of(*guid));
        if !claims.first().is_some_and(|(_, guid)| negotiation.target_lacks(index, *guid)) {
            return;
        }
        for (old, guid) in claims {
            let name = tag.withdrawn(&planned.source, (old.as_str(), *guid), &there);
            let dataset = planned.source.clone();
            let _ = self.work.send(match &name {
                Some(name) => {
                    let (origin, name) = (Origin::Bookmark(old.clone()), name.clone());
                    Work::Replace { old: old.clone(), new: NewBookmark { dataset, origin, name } }
                }
                None => Work::Destroy { dataset, names: vec![old.clone()], instead: None },
            });
            own.made.retain(|(name, _)| name != old);
            own.gone.insert(old.clone());
            own.withdrawn.extend(name.clone());
            own.made.extend(name.map(|name| (name, *guid)));
        }
    }

    /// A step starts; its snapshot gets its bookmark if it hasn't got one.
    pub fn step(&mut self, index: usize, planned: &PlannedDataset, negotiation: &Negotiation, step: &Step) {
        let Some(source) = negotiation.source(index) else { return };
        let own = self.own.entry(index).or_default();
        own.bases.extend(step.base.as_ref().map(|base| base.guid));
        let start = *own.start.get_or_insert(match &step.base {
            Some(base) => Start::Base(base.guid),
            None if step.resume.is_some() => Start::Rest,
            None => Start::Nothing,
        });
        // A base that this run sends itself is not there yet.
        let base = step.base.as_ref().filter(|base| base.kind == BaseKind::Snapshot && !own.sent.contains(&base.guid));
        own.received.extend(base.map(|base| base.guid));
        own.sent.insert(step.to_guid);
        // The oldest tells what the target has, so the base has one before anything newer gets its own.
        if let Some(Base { name, guid, .. }) = base {
            self.make(MarkKind::Arrived, index, planned, source, (name, *guid));
        }
        let tag = self.tags.of(&planned.target);
        let own = self.own.entry(index).or_default();
        // Those that were there when it began: what is made beside this one may fail, or come later.
        let mut marks = source.bookmarks.iter().filter(|mark| {
            tag.owns_as(MarkKind::Arrived, mark.name) && !own.gone.iter().any(|gone| gone.as_str() == mark.name)
        });
        let proven = match start {
            Start::Base(guid) => marks.any(|mark| mark.guid == guid),
            Start::Rest => marks.next().is_some(),
            Start::Nothing => false,
        };
        // Once said of the first one it holds for all that follow it.
        let kind = *own.kind.get_or_insert(if proven { MarkKind::Arrived } else { MarkKind::Waiting });
        self.make(kind, index, planned, source, (&step.to, step.to_guid));
    }

    /// A step's snapshot has arrived.
    pub fn received(&mut self, index: usize, guid: Guid) {
        self.own.entry(index).or_default().received.insert(guid);
    }

    fn make(
        &mut self,
        kind: MarkKind,
        index: usize,
        planned: &PlannedDataset,
        source: &SourceDataset,
        (snapshot, guid): (&SnapshotName, Guid),
    ) {
        let own = self.own.entry(index).or_default();
        let there: Vec<(SnapshotName, Guid)> = own.all(source).collect();
        let dataset = planned.source.clone();
        let name = self.tags.of(&planned.target).name_for(kind, &dataset, (snapshot, guid), &there);
        let Some(name) = name else { return };
        own.made.push((name.clone(), guid));
        let origin = Origin::Snapshot(snapshot.clone());
        let _ = self.work.send(Work::Make(NewBookmark { dataset, origin, name }));
    }

    /// A dataset is through: what is no longer needed goes.
    pub fn ended(&mut self, index: usize, planned: &PlannedDataset, negotiation: &Negotiation, outcome: Outcome) {
        let Some(source) = negotiation.source(index) else { return };
        let Some(newest) = source.snapshots.newest() else { return };
        let arrived = match outcome {
            Outcome::InSync => Some(newest),
            // Steps come in the order of their snapshots.
            Outcome::Open => self.own.get(&index).and_then(|own| own.newest_received(source)),
            // It has this at least, and may need all since: what an older run has marked can be too new by now.
            Outcome::Conflict => {
                let has = self.tags.of(&planned.target).has(&source.bookmarks);
                negotiation.newest_common(index).filter(|common| has.is_none_or(|has| has.txg > common.txg))
            }
        };
        if let Some(arrived) = arrived {
            self.make(MarkKind::Arrived, index, planned, source, (&arrived.snapshot_name(), arrived.guid));
            self.received(index, arrived.guid);
        }
        let own = self.own.remove(&index).unwrap_or_default();
        let tag = self.tags.of(&planned.target);
        // What the target's dataset was called before this run renamed it; and before the source was, where that copy is superseded now.
        let former = if outcome == Outcome::InSync { negotiation.former_names(index) } else { &[] };
        let old_tags: Vec<_> =
            negotiation.old_name(index).into_iter().chain(former).map(|old| self.tags.of(old)).collect();
        let is_old = |name: &SnapshotName| old_tags.iter().any(|tag| tag.owns(name.as_str()));
        let before: Vec<(SnapshotName, Guid)> =
            own.before(source).filter(|(name, _)| tag.owns(name.as_str()) || is_old(name)).collect();
        let before = before.into_iter();
        let gone = |(name, _): (SnapshotName, Guid)| name;
        let (names, instead): (Vec<SnapshotName>, _) = match (outcome, own.start) {
            (Outcome::InSync, _) => {
                let is_it = |name: &SnapshotName, guid: Guid| {
                    guid == newest.guid && tag.owns_as(MarkKind::Arrived, name.as_str()) && tag.names_now(name.as_str())
                };
                let stale = before.chain(own.made.iter().cloned()).filter(|(name, guid)| !is_it(name, *guid));
                let instead = own.made.iter().find(|(name, guid)| is_it(name, *guid)).map(|(name, _)| name.clone());
                (stale.map(gone).collect(), instead)
            }
            (Outcome::Open, None | Some(Start::Rest)) => return,
            // Those of earlier runs that didn't get through either: else they would pile up while a target is full.
            (Outcome::Open, Some(Start::Nothing | Start::Base(_))) => {
                let keeps = |guid: &Guid| match arrived {
                    Some(arrived) => *guid == arrived.guid || own.sent.contains(guid) && !own.received.contains(guid),
                    None => own.sent.contains(guid) || own.bases.contains(guid),
                };
                let instead = own.made.iter().find(|(_, guid)| arrived.is_some_and(|one| one.guid == *guid));
                let instead = instead.map(|(name, _)| name.clone());
                let stale = before.chain(own.made.iter().cloned()).filter(|(_, guid)| !keeps(guid));
                (stale.map(gone).collect(), instead)
            }
            (Outcome::Conflict, _) => {
                let stays =
                    |(name, guid): &&(SnapshotName, Guid)| own.received.contains(guid) || own.withdrawn.contains(name);
                let made = own.made.iter().filter(|one| !stays(one));
                (made.cloned().map(gone).collect(), None)
            }
        };
        if !names.is_empty() {
            let _ = self.work.send(Work::Destroy { dataset: planned.source.clone(), names, instead });
        }
    }

    /// Waits for what is still to be done, not longer than that; returns what the user should know.
    pub async fn close(self, patience: Duration) -> Vec<String> {
        drop(self.work);
        match tokio::time::timeout(patience, self.problems).await {
            Ok(Ok(problems)) => problems,
            Ok(Err(_)) => vec!["the source's bookmarks could not be updated: an internal task failed".into()],
            Err(_) => vec![format!("zfs on {} has not created all bookmarks within {patience:?}", self.host)],
        }
    }
}

/// The task's side.
struct Keeper {
    sender: Endpoint,
    /// Bookmarks that could not be made.
    failed: HashSet<(DatasetName, SnapshotName)>,
    problems: Vec<Problem>,
}

impl Keeper {
    async fn run(mut self, mut todo: UnboundedReceiver<Work>) -> Vec<String> {
        while let Some(first) = todo.recv().await {
            let (mut new, mut old) = (Vec::new(), Vec::new());
            let mut replaces = false;
            let mut all = vec![first];
            while let Ok(work) = todo.try_recv() {
                all.push(work);
            }
            for work in all {
                // A name that becomes free may be needed next.
                if replaces != matches!(work, Work::Replace { .. }) || matches!(work, Work::Tell(_)) {
                    self.both(&mut new, &mut old).await;
                    replaces = matches!(work, Work::Replace { .. });
                }
                match work {
                    Work::Make(bookmark) => new.push(bookmark),
                    Work::Replace { old: name, new: bookmark } => {
                        old.push((bookmark.dataset.clone(), vec![name], Some(bookmark.name.clone())));
                        new.push(bookmark);
                    }
                    Work::Destroy { dataset, names, instead } => old.push((dataset, names, instead)),
                    // Whoever waited may have left.
                    Work::Tell(waiting) => _ = waiting.send(()),
                }
            }
            self.both(&mut new, &mut old).await;
        }
        let user = self.sender.hello().user;
        self.problems.iter().map(|problem| problem.text(&user)).collect()
    }

    /// Makes first, then destroys.
    async fn both(&mut self, new: &mut Vec<NewBookmark>, old: &mut Vec<Gone>) {
        for some in new.chunks(BATCH) {
            self.make(some).await;
        }
        new.clear();
        self.destroy(std::mem::take(old)).await;
    }

    async fn make(&mut self, new: &[NewBookmark]) {
        let made =
            self.sender.bookmark(new.to_vec(), Some(LIMIT)).await.unwrap_or_else(|why| vec![Some(why); new.len()]);
        for (bookmark, why) in new.iter().zip(made) {
            let Some(failure) = why else { continue };
            self.failed.insert((bookmark.dataset.clone(), bookmark.name.clone()));
            // A snapshot that is gone by now is told by its step.
            if failure.refusal != Refusal::Missing {
                let meaning = "bookmarks can't be created on the source, so the newest common snapshot must be kept there \
                                       (--no-bookmark does without them)";
                self.problem(("bookmark", permission::BOOKMARK), &failure, &bookmark.dataset, meaning);
            }
        }
    }

    async fn destroy(&mut self, old: Vec<Gone>) {
        let mut going = Vec::new();
        for (dataset, names, instead) in old {
            if instead.is_some_and(|name| self.failed.contains(&(dataset.clone(), name))) {
                continue;
            }
            tracing::debug!("destroying own bookmarks of {dataset} that are no longer needed: {names:?}");
            let kept = |name: &SnapshotName| self.failed.contains(&(dataset.clone(), name.clone()));
            going.extend(names.iter().filter(|name| !kept(name)).map(|name| (dataset.clone(), name.clone())));
        }
        let len = going.len();
        if len == 0 {
            return;
        }
        let asked = going.clone();
        let gone = self.sender.drop_bookmarks(going, Some(LIMIT)).await.unwrap_or_else(|why| vec![Some(why); len]);
        for ((dataset, _), why) in asked.iter().zip(gone) {
            let Some(failure) = why.filter(|why| why.refusal != Refusal::Missing) else { continue };
            let meaning = "older bookmarks of zfsync are kept on the source (--no-bookmark does without them)";
            self.problem(("destroy", permission::CLEAR), &failure, dataset, meaning);
        }
    }

    /// Each kind of problem is told once.
    fn problem(
        &mut self,
        (kind, permissions): (&str, &'static str),
        Failure { refusal, words }: &Failure,
        dataset: &DatasetName,
        meaning: &'static str,
    ) {
        tracing::info!("{kind}: {words}");
        if self.problems.iter().all(|problem| problem.meaning != meaning) {
            // A helper has named a command for this dataset alone.
            let words: Vec<&str> = words.lines().filter(|line| !line.contains(permission::GRANT)).collect();
            let said = format!("zfs {kind} says: {}", words.join("\n"));
            self.problems.push(Problem::new(meaning, said, permissions));
        }
        let known = self.problems.iter_mut().find(|problem| problem.meaning == meaning);
        if let Some(known) = known.filter(|_| *refusal == Refusal::Permission) {
            known.lacks(dataset);
        }
    }
}
