//! A push from its start to the plan: lock, connection and listing side by side, questions, then the run itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use super::ask::{Asker, Listed, host_name};
use super::fleet::{Fleet, Opened};
use super::lock::Lock;
use super::ready::Ready;
use super::resume::{self, Judged};
use super::signals::Signals;
use super::{dry_run, run, source};
use crate::config::{PushJob, check_overlap};
use crate::error::{Exit, StartError};
use crate::name::DatasetName;
use crate::plan::{Negotiation, SourceDataset, TargetDataset, TargetLimits};
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel};
use crate::remote::wire::Hello;
use crate::report::{Event, Reporter};
use crate::zfs::Zfs;

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
    let mut asker = Asker::new(fleet, events, first, job);
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
