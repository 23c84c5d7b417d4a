//! Asks both sides for what [`Inquiry`] wants to know before there is a plan.

use std::collections::HashMap;

use super::direction::Direction;
use super::ready::Unread;
use super::receiver::{Listed, Receiver};
use super::renames::tell_renamed;
use super::resume::{self, Judged};
use super::targets::Targets;
use super::{missing, proof, recorded, restore, source};
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::format::sanitise;
use crate::plan::{Ask, Inquiry, Move, Negotiation, NoPool, TargetDataset, TargetLimits, nearest};
use crate::remote::link::Ends;
use crate::report::{Event, Reporter};
use zfs::PoolState;
use zfs::name::DatasetName;

/// Asks both sides all that the plan needs, in the order of [`Inquiry`]. What streams may carry, and what was renamed on the target.
pub async fn negotiate(
    direction: &mut Direction<'_>,
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    targets: &mut Targets,
    unread: &mut Vec<Unread>,
    reporter: &mut dyn Reporter,
) -> Result<(TargetLimits, Vec<Move>), StartError> {
    let (job, sender, stall) = (direction.job, direction.sender, receiver.stall());
    let (mut inquiry, mut limits, mut moves) = (Inquiry::default(), None, Vec::new());
    loop {
        let ask = match inquiry.next(negotiation) {
            Ok(Some(ask)) => ask,
            Ok(None) => break,
            Err(NoPool) => return Err(no_pool(&job.ends, &receiver.pools().await.unwrap_or_default())),
        };
        match ask {
            Ask::Names(names) => {
                let found = receiver.ask(&names).await?;
                negotiation.unread(std::mem::take(&mut receiver.unread));
                negotiation.answers(&found);
                targets.meet(job, negotiation);
            }
            Ask::Origins(pairs) => direction.check(&pairs, receiver, reporter).await?,
            Ask::OnlyThere => {
                check_new(direction, negotiation, receiver).await?;
                moves = missing::look_around(direction, negotiation, (receiver, targets), unread, reporter).await?;
            }
            Ask::List(datasets) => list_anew(direction, negotiation, receiver, datasets, reporter).await?,
            Ask::Proofs(doubts) => {
                let found = proof::find_out(sender, doubts, stall).await;
                proof::tell(&negotiation.proofs(found), reporter);
            }
            Ask::Below(datasets) => {
                for dataset in datasets {
                    below(negotiation, receiver, dataset).await?;
                }
            }
            Ask::Records(datasets) => missing::look_at_records(sender, negotiation, receiver, datasets).await?,
            Ask::Vacancy(name) => {
                let is_vacant = is_vacant(receiver, &name).await?;
                negotiation.vacant(name, is_vacant);
            }
            Ask::Facts { nearest, snapshots } => {
                let found = facts(negotiation, receiver, sender, nearest, &snapshots).await?;
                inquiry.limited(&found);
                limits = Some(found);
            }
            Ask::MoreFacts(datasets) => negotiation.facts(&source::facts(sender, &datasets, stall).await?),
            Ask::Holders(holders) => {
                let names: Vec<String> =
                    holders.iter().map(|name| name_there(job, negotiation, name).to_string()).collect();
                negotiation.holders(&holders, receiver.bases(&names, false).await?);
            }
            Ask::Bases(wanted) => {
                let names: Vec<String> = wanted.iter().map(|(_, name)| name.clone()).collect();
                negotiation.bases(&wanted, receiver.bases(&names, false).await?);
            }
            Ask::SharersBelow(target) => {
                negotiation.sharers_below(names_below(receiver, target).await?);
            }
            Ask::IvSets(names) => negotiation.iv_sets(&sender.iv_sets(&names, stall).await),
            Ask::History(pairs) => {
                let there: Vec<String> = pairs.iter().map(|pair| pair.there.clone()).collect();
                let here: Vec<String> = pairs.iter().map(|pair| pair.here.clone()).collect();
                let here = async { Ok(sender.iv_sets(&here, stall).await) };
                let (there, here) = tokio::try_join!(receiver.bases(&there, true), here)?;
                negotiation.history(&pairs, &there, &here);
            }
        }
    }
    // Only what is recorded on the target tells whether anything is sent at all.
    if !job.missing.follow_renames {
        tell_renamed(negotiation, reporter);
    }
    // Nobody has asked where there is nothing to send.
    let Some(limits) = limits else { return Ok((TargetLimits::default(), moves)) };
    for (dataset, text) in negotiation.warnings().into_iter().chain(negotiation.unfillable(limits.encrypted)) {
        reporter.event(&Event::Notice { dataset: Some(dataset.to_string()), text });
    }
    Ok((limits, moves))
}

/// Refuses a NEW that is there already, unless an interrupted restore can go on there.
async fn check_new(
    direction: &Direction<'_>,
    negotiation: &Negotiation,
    receiver: &mut Receiver<'_>,
) -> Result<(), StartError> {
    restore::check_new(direction.job, negotiation.target_exists())?;
    if direction.job.restore.is_none() || !negotiation.target_exists() {
        return Ok(());
    }
    direction.check_restored(receiver).await
}

/// Lists datasets of the target in full, with where their cut receives can go on.
async fn list_anew(
    direction: &Direction<'_>,
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    datasets: Vec<DatasetName>,
    reporter: &mut dyn Reporter,
) -> Result<(), StartError> {
    let (job, sender) = (direction.job, direction.sender);
    let listings = list(job, negotiation, receiver, datasets).await?;
    negotiation.unread(std::mem::take(&mut receiver.unread));
    let listings = resume_points(job, negotiation, receiver, sender, listings, reporter).await?;
    negotiation.listed(listings);
    Ok(())
}

/// Finds out which datasets there are from this one down. Where it is empty and nobody tells, nothing shows that others' don't lie there.
async fn below(
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    dataset: DatasetName,
) -> Result<(), StartError> {
    receiver.ask_names(dataset.clone());
    let words = match receiver.names().await {
        Ok(names) if names.contains(&dataset) => {
            negotiation.below(&dataset, &names);
            return Ok(());
        }
        Ok(_) => "the list of its datasets lacks the dataset itself".into(),
        Err(StartError::Ask { words, .. }) => words,
        Err(why) => return Err(why),
    };
    if negotiation.below_unknown(&dataset, words.clone()) {
        tracing::warn!("can't tell what lies below {dataset} on {}: {words}", receiver.host());
        return Ok(());
    }
    Err(StartError::Below { host: receiver.host(), dataset: dataset.to_string(), words })
}

/// The datasets from TARGET down; `None` where they can't be listed: then any may have a key that is replaced.
async fn names_below(receiver: &mut Receiver<'_>, target: DatasetName) -> Result<Option<Vec<DatasetName>>, StartError> {
    receiver.ask_names(target.clone());
    match receiver.names().await {
        Ok(names) => Ok(Some(names).filter(|names| names.contains(&target))),
        Err(why @ StartError::Ask { .. }) => {
            tracing::warn!("{why}");
            Ok(None)
        }
        Err(why) => Err(why),
    }
}

/// Whether there is nothing of this name. What can't be read exists.
async fn is_vacant(receiver: &mut Receiver<'_>, name: &DatasetName) -> Result<bool, StartError> {
    let found = receiver.ask(&[name.to_string()]).await?;
    Ok(found.is_empty() && std::mem::take(&mut receiver.unread).is_empty())
}

/// The error for a target whose pool is not among those of its host.
pub(super) fn no_pool(Ends { target, .. }: &Ends, pools: &[String]) -> StartError {
    let (host, local, pool) = (target.link.name(), target.host().is_none(), target.dataset.pool().to_owned());
    let near = nearest(&pool, pools.iter().map(String::as_str));
    let near = near.into_iter().map(|name| sanitise(name).into_owned()).collect();
    StartError::NoPool { host, local, pool, dataset: target.dataset.to_string(), near }
}

/// Asks both sides at the same time: what the target allows streams to carry, which is returned, and what the source is.
async fn facts(
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    sender: &Endpoint,
    nearest: DatasetName,
    snapshots: &[String],
) -> Result<TargetLimits, StartError> {
    let stall = receiver.stall();
    let (known, pool) = (&*negotiation, receiver.ends.source.dataset.pool());
    let facts = async {
        let encrypted = sender.may_have_encrypted(pool, stall).await;
        source::facts(sender, &known.wants_facts(encrypted), stall).await
    };
    let written = async { Ok(sender.written(snapshots, stall).await) };
    let sends = known.plan().steps() > 0;
    let limits = async {
        let pools = if sends { receiver.ask_pools() } else { None };
        let limits = receiver.probe(nearest).await?;
        let pools = match pools {
            Some(pools) => receiver.told(pools).await,
            None => None,
        };
        Ok((limits, pools.unwrap_or_default()))
    };
    let ((limits, pools), facts, written) = tokio::try_join!(limits, facts, written)?;
    check_pool(receiver, &pools)?;
    negotiation.facts(&facts);
    negotiation.written(&written);
    Ok(limits)
}

/// Refuses to send to a pool that takes nothing at all: each dataset would fail for that.
fn check_pool(receiver: &Receiver<'_>, pools: &[PoolState]) -> Result<(), StartError> {
    let target = &receiver.ends.target.dataset;
    let Some(pool) = pools.iter().find(|pool| pool.name == target.pool()) else { return Ok(()) };
    let (why, advice) = match pool.health.as_str() {
        "SUSPENDED" => ("is suspended", "zpool status says why, and zpool clear resumes it"),
        _ if pool.readonly => ("was imported read-only", "zpool export and zpool import make it writable"),
        _ => return Ok(()),
    };
    let (host, pool) = (receiver.host(), sanitise(&pool.name).into_owned());
    Err(StartError::Pool { host, pool, why, advice })
}

/// What it is called on the target now: in a dry run, those that would have been renamed have their old names.
fn name_there<'a>(job: &PushJob, negotiation: &'a Negotiation, name: &'a DatasetName) -> &'a DatasetName {
    negotiation.name_before(name).filter(|_| job.dry_run).unwrap_or(name)
}

/// Lists these datasets; in a dry run those that would have been renamed under their old names.
async fn list(
    job: &PushJob,
    negotiation: &Negotiation,
    receiver: &mut Receiver<'_>,
    datasets: Vec<DatasetName>,
) -> Result<Listed, StartError> {
    if !job.dry_run {
        return receiver.list_readable(datasets).await;
    }
    let old = |name: &DatasetName| name_there(job, negotiation, name).clone();
    let names: HashMap<DatasetName, DatasetName> = datasets.into_iter().map(|name| (old(&name), name)).collect();
    let listed = receiver.list_readable(names.keys().cloned().collect()).await?;
    Ok(listed.into_iter().filter_map(|(old, listed)| Some((names.get(&old)?.clone(), listed))).collect())
}

/// Finds out which cut receives this source can go on with, and drops the others, so that they are in nobody's way.
async fn resume_points(
    job: &PushJob,
    negotiation: &Negotiation,
    receiver: &mut Receiver<'_>,
    sender: &Endpoint,
    listings: Listed,
    reporter: &mut dyn Reporter,
) -> Result<HashMap<DatasetName, TargetDataset>, StartError> {
    let mut all = HashMap::with_capacity(listings.len());
    let mut again = Vec::new();
    for (name, (mut target, token)) in listings {
        if let (Some(token), Some(source)) = (token, negotiation.source_of(&name)) {
            match resume::judge(sender, source, token, None, job).await {
                Judged::Resumable(point) => target.resume = Some(point),
                Judged::Unclear(why) => reporter.event(&resume::kept(source, &why)),
                // What the run would find after clearing it; a first receive that was cut leaves nothing then.
                Judged::Useless(why) if job.dry_run => {
                    reporter.event(&resume::to_clear(source, &why));
                    if target.snapshots.is_empty() {
                        continue;
                    }
                    target.partial = false;
                }
                Judged::Useless(why) => {
                    reporter.event(&resume::cleared(source, &why));
                    let open = recorded::partial(job, &name);
                    let failure = receiver.clear(name.clone()).await?;
                    recorded::tell(job, recorded::CUT, open.ended(failure.as_ref()), reporter);
                    if let Some(failure) = failure {
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
        all.extend(receiver.list_readable(again).await?.into_iter().map(|(name, (target, _))| (name, target)));
    }
    Ok(all)
}
