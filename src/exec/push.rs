//! A push from its start to the plan: lock, connection and listing side by side, questions, then the run itself.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use super::fleet::{Fleet, Opened};
use super::lock::Lock;
use super::resume::{self, Judged};
use super::signals::Signals;
use super::{dry_run, run, source};
use crate::config::{PushJob, check_overlap};
use crate::error::{Exit, StartError};
use crate::name::{DatasetName, Guid, ResumeToken, Txg};
use crate::plan::{
    BaseKind, Negotiation, Plan, PlannedDataset, SourceDataset, Step, TargetDataset, TargetLimits, Versions,
};
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel, HelperError};
use crate::remote::wire::{Failure, Hello, Reply, Request, TargetFacts};
use crate::report::{Event, Reporter};
use crate::zfs::{SendBase, SendSpec, Zfs};

/// So many bytes, and so many names, go into one question: its answer must fit into a frame too.
const QUESTION: (usize, usize) = (256 * 1024, 8000);

/// Brings the target in sync with the source, or shows what that would take.
pub async fn push(job: PushJob, json: bool, reporter: &mut dyn Reporter) -> Result<Exit, StartError> {
    let started = Instant::now();
    let zfs = Zfs::find().ok_or(StartError::NoZfsHere)?;
    let mut signals = Signals::listen()?;
    let _lock = if job.dry_run { None } else { Some(Lock::take(&job.target)?) };
    let job = Arc::new(job);
    let (mut fleet, mut from_channels) = Fleet::new(job.clone());
    let ready = tokio::select! {
        ready = prepare(&job, &zfs, &mut fleet, &mut from_channels, started, reporter) => ready,
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    };
    let result = match ready {
        Err(error) => Err(error),
        Ok(ready) if job.dry_run => {
            tokio::select! {
                exit = dry_run::show(&job, &zfs, &ready, json) => exit,
                signal = signals.next() => Err(StartError::Interrupted(signal)),
            }
        }
        Ok(ready) => {
            Ok(run::run(&job, &zfs, ready, &mut fleet, &mut from_channels, &mut signals, started, reporter).await)
        }
    };
    // What is still open ends with its stdin; a host that is gone must not hold us up.
    let patience = std::time::Duration::from_secs(5);
    if tokio::time::timeout(patience, fleet.close()).await.is_err() {
        tracing::warn!("the connections did not close within {patience:?}");
    }
    result
}

/// What is known when the first step could start.
pub struct Ready {
    /// The plan.
    pub plan: Plan,
    /// To plan single datasets anew.
    pub negotiation: Negotiation,
    /// What streams may carry.
    pub limits: TargetLimits,
    /// The first channel: its helper has greeted.
    pub first: ChannelId,
}

impl Ready {
    /// The `zfs send` of a step.
    pub fn send(&self, zfs: &Zfs, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> Command {
        match &step.resume {
            Some(token) => zfs.resume(token),
            None => zfs.send(&self.spec(dataset, step, job)),
        }
    }

    /// The same, only to learn its size.
    pub fn estimate(&self, zfs: &Zfs, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> Command {
        match &step.resume {
            Some(token) => zfs.inspect(token),
            None => zfs.estimate(&self.spec(dataset, step, job)),
        }
    }

    fn spec(&self, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> SendSpec {
        let base = step.base.as_ref().map(|base| match (base.kind, step.intermediates) {
            (BaseKind::Bookmark, _) => SendBase::Bookmark(base.name.clone()),
            (BaseKind::Snapshot, true) => SendBase::SnapshotAll(base.name.clone()),
            (BaseKind::Snapshot, false) => SendBase::SnapshotOne(base.name.clone()),
        });
        let flags = self.limits.flags(dataset.facts(), job.decrypt);
        SendSpec { dataset: dataset.source.clone(), to: step.to.clone(), base, flags }
    }
}

async fn prepare(
    job: &PushJob,
    zfs: &Zfs,
    fleet: &mut Fleet,
    events: &mut UnboundedReceiver<FromChannel>,
    started: Instant,
    reporter: &mut dyn Reporter,
) -> Result<Ready, StartError> {
    fleet.connect(1, std::time::Duration::ZERO);
    let listing = source::list(zfs.clone(), job.source.clone(), job.filter.depth());
    let ((first, hello), listed) = tokio::try_join!(first_channel(fleet, events), listing)?;
    check_helper(job, &hello)?;
    reporter.event(&Event::Connected {
        host: job.target.host.as_ref().map(ToString::to_string),
        helper: format!("zfsync {}, OpenZFS {}", hello.version, hello.zfs.as_deref().unwrap_or("unknown")),
        took: started.elapsed(),
    });
    let selected: Vec<SourceDataset> = listed.into_iter().filter(|dataset| job.filter.selects(&dataset.path)).collect();
    if selected.is_empty() {
        reporter.event(&Event::Notice {
            dataset: None,
            text: "no dataset is selected: look at --include, --exclude".into(),
        });
    }
    let mut negotiation = Negotiation::new(&job.source, &job.target.dataset, selected, job.newest_only)?;
    let mut asker = Asker { fleet, events, channel: first, job, next: 1 };
    let limits = negotiate(&mut negotiation, &mut asker, zfs, reporter).await?;
    let plan = negotiation.plan();
    Ok(Ready { plan, negotiation, limits, first })
}

/// Waits for the first connection and its helper's greeting.
async fn first_channel(
    fleet: &mut Fleet,
    events: &mut UnboundedReceiver<FromChannel>,
) -> Result<(ChannelId, Hello), StartError> {
    // Greeting and handle come by different ways.
    let mut greeted = None;
    loop {
        tokio::select! {
            opened = fleet.opened() => match opened {
                Opened::Connection { connection, channels, master } => fleet.connected(connection, channels, master?),
                Opened::Channel { channel, opened } => fleet.add(channel, opened?),
            },
            Some(FromChannel { channel, event }) = events.recv() => match event {
                ChannelEvent::Ready(hello) => greeted = Some((channel, hello)),
                ChannelEvent::Closed(error) => return Err(error.into()),
                _ => {}
            },
        }
        if let Some((channel, hello)) = greeted.take_if(|(channel, _)| fleet.channel(*channel).is_some()) {
            return Ok((channel, hello));
        }
    }
}

fn check_helper(job: &PushJob, hello: &Hello) -> Result<(), StartError> {
    let host = host_name(job);
    if hello.zfs_path.is_none() {
        return Err(StartError::NoZfsThere(host));
    }
    let ours = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // An ssh to this very machine, under whatever name.
    if !hello.boot_id.is_empty() && hello.boot_id.trim() == ours.trim() {
        check_overlap(&job.source, &job.target)?;
    }
    Ok(())
}

/// The target host for messages.
pub fn host_name(job: &PushJob) -> String {
    job.target.host.as_ref().map_or_else(|| "this machine".into(), ToString::to_string)
}

async fn negotiate(
    negotiation: &mut Negotiation,
    asker: &mut Asker<'_>,
    zfs: &Zfs,
    reporter: &mut dyn Reporter,
) -> Result<TargetLimits, StartError> {
    loop {
        let names = negotiation.questions();
        if names.is_empty() {
            break;
        }
        let found = asker.ask(&names).await?;
        negotiation.answers(&found);
    }
    let unlisted = negotiation.unlisted();
    if !unlisted.is_empty() {
        let listings = asker.list(unlisted).await?;
        let listings = resume_points(negotiation, asker, zfs, listings, reporter).await?;
        negotiation.listed(listings);
    }
    if negotiation.plan().steps() == 0 && negotiation.wants_facts(false).is_empty() {
        return Ok(TargetLimits::default());
    }
    let Some(nearest) = negotiation.nearest() else {
        let (dataset, host) = (&asker.job.target.dataset, host_name(asker.job));
        return Err(StartError::NoPool { host, pool: dataset.pool().to_owned(), dataset: dataset.to_string() });
    };
    // Both sides are asked at the same time; in the rare case that the target has limits, more must be known of the source.
    let needed = negotiation.wants_facts(false);
    let (limits, facts) = tokio::try_join!(asker.probe(nearest), source::facts(zfs.clone(), needed))?;
    negotiation.facts(&facts);
    if !limits.none() {
        let facts = source::facts(zfs.clone(), negotiation.wants_facts(true)).await?;
        negotiation.facts(&facts);
    }
    Ok(limits)
}

type Listed = HashMap<DatasetName, (TargetDataset, Option<ResumeToken>)>;

/// Finds out which cut receives this source can go on with, and drops the others, so that they are in nobody's way.
async fn resume_points(
    negotiation: &Negotiation,
    asker: &mut Asker<'_>,
    zfs: &Zfs,
    listings: Listed,
    reporter: &mut dyn Reporter,
) -> Result<HashMap<DatasetName, TargetDataset>, StartError> {
    let mut all = HashMap::with_capacity(listings.len());
    let mut again = Vec::new();
    for (name, (mut target, token)) in listings {
        if let (Some(token), Some(source)) = (token, negotiation.source_of(&name)) {
            match resume::judge(zfs, source, token, asker.job.decrypt).await {
                Judged::Resumable(point) => target.resume = Some(point),
                // What the run would find after clearing it; a first receive that was cut leaves nothing then.
                Judged::Useless(_) if asker.job.dry_run && target.snapshots.is_empty() => continue,
                Judged::Useless(_) if asker.job.dry_run => target.partial = false,
                Judged::Useless(why) => {
                    reporter.event(&resume::cleared(source, &why));
                    if let Some(failure) = asker.clear(name.clone()).await? {
                        tracing::warn!("{name}: {}", failure.words);
                    } else {
                        again.push(name);
                        continue;
                    }
                }
            }
        }
        all.insert(name, target);
    }
    if !again.is_empty() {
        all.extend(asker.list(again).await?.into_iter().map(|(name, (target, _))| (name, target)));
    }
    Ok(all)
}

/// Asks the helper on the first channel, one batch after the other.
struct Asker<'a> {
    fleet: &'a mut Fleet,
    events: &'a mut UnboundedReceiver<FromChannel>,
    channel: ChannelId,
    job: &'a PushJob,
    next: u64,
}

impl Asker<'_> {
    fn send(&mut self, request: impl FnOnce(u64) -> Request) -> Result<u64, StartError> {
        let id = self.next;
        self.next += 1;
        let lost = || HelperError::Lost { host: host_name(self.job), reason: "the channel is closed".into() };
        self.fleet.channel(self.channel).ok_or_else(lost)?.request(request(id));
        Ok(id)
    }

    async fn reply(&mut self) -> Result<Reply, StartError> {
        loop {
            match self.events.recv().await.map(|from| from.event) {
                Some(ChannelEvent::Reply(reply)) => return Ok(reply),
                Some(ChannelEvent::Closed(error)) => return Err(error.into()),
                Some(_) => {}
                None => {
                    let reason = "the channel is closed".into();
                    return Err(HelperError::Lost { host: host_name(self.job), reason }.into());
                }
            }
        }
    }

    fn failed(&self, failure: Failure) -> StartError {
        StartError::Ask { host: host_name(self.job), dataset: self.job.target.to_string(), words: failure.words }
    }

    async fn ask(&mut self, names: &[String]) -> Result<Vec<(u32, Guid, Txg)>, StartError> {
        let mut offsets = HashMap::new();
        let mut start = 0;
        while start < names.len() {
            let mut bytes = 0;
            let fits = names[start..].iter().take(QUESTION.1).take_while(|name| {
                bytes += name.len() + 3;
                bytes <= QUESTION.0
            });
            let end = start + fits.count().max(1);
            let some = names[start..end].to_vec();
            offsets.insert(self.send(|id| Request::Ask { id, names: some })?, start);
            start = end;
        }
        let mut all = Vec::new();
        while !offsets.is_empty() {
            match self.reply().await? {
                Reply::Found { id, found } => {
                    let offset = u32::try_from(offsets.remove(&id).unwrap_or(0)).unwrap_or(u32::MAX);
                    all.extend(found.into_iter().map(|(place, guid, txg)| (place.saturating_add(offset), guid, txg)));
                }
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
        Ok(all)
    }

    async fn clear(&mut self, dataset: DatasetName) -> Result<Option<Failure>, StartError> {
        self.send(|id| Request::Clear { id, dataset })?;
        loop {
            if let Reply::Done { failure, .. } = self.reply().await? {
                return Ok(failure);
            }
        }
    }

    async fn list(&mut self, datasets: Vec<DatasetName>) -> Result<Listed, StartError> {
        let mut open = 0;
        for some in datasets.chunks(1000) {
            let datasets = some.to_vec();
            self.send(|id| Request::List { id, datasets })?;
            open += 1;
        }
        let mut listings = Listings::default();
        while open > 0 {
            match self.reply().await? {
                Reply::Listed { dataset, facts, snapshots, .. } => listings.add(dataset, facts, snapshots),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                Reply::Done { .. } => open -= 1,
                _ => {}
            }
        }
        Ok(listings.finish())
    }

    async fn probe(&mut self, dataset: DatasetName) -> Result<TargetLimits, StartError> {
        self.send(|id| Request::Probe { id, dataset })?;
        loop {
            match self.reply().await? {
                Reply::Probed { disabled, encrypted, .. } => return Ok(TargetLimits { disabled, encrypted }),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
    }
}

/// Gathers the parts of listings.
#[derive(Debug, Default)]
pub struct Listings(HashMap<DatasetName, (TargetFacts, Versions)>);

impl Listings {
    /// Takes a part.
    pub fn add(
        &mut self,
        dataset: DatasetName,
        facts: TargetFacts,
        snapshots: Vec<(crate::name::SnapshotName, Guid, Txg)>,
    ) {
        let (_, versions) = self.0.entry(dataset).or_insert_with(|| (facts, Versions::default()));
        for (name, guid, txg) in snapshots {
            versions.push(&name, guid, txg);
        }
    }

    /// All that was listed, each with the token of its cut receive.
    #[must_use]
    pub fn finish(self) -> HashMap<DatasetName, (TargetDataset, Option<ResumeToken>)> {
        let dataset = |(facts, mut snapshots): (TargetFacts, Versions)| {
            snapshots.sort();
            let TargetFacts { kind, partial, token, empty } = facts;
            (TargetDataset { kind, partial, resume: None, empty, snapshots }, token)
        };
        self.0.into_iter().map(|(name, listed)| (name, dataset(listed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Version;

    #[test]
    fn listings_come_in_parts_and_get_sorted() {
        let facts = TargetFacts { kind: crate::plan::Kind::Filesystem, partial: false, token: None, empty: false };
        let mut listings = Listings::default();
        let snapshot = |name: &str, txg| (name.parse().unwrap(), Guid(txg), Txg(txg));
        listings.add("p/a".parse().unwrap(), facts.clone(), vec![snapshot("b", 2)]);
        listings.add("p/a".parse().unwrap(), facts, vec![snapshot("a", 1)]);
        let all = listings.finish();
        let names: Vec<String> =
            all[&"p/a".parse().unwrap()].0.snapshots.iter().map(|v: Version<'_>| v.name.to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
