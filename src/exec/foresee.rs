//! What a dry run asks the target's host beside its plan: whether it would destroy what is missing at the source, whether another
//! run has the tree, and how much room there is.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ready::{Cleared, stream};
use super::receiver::Receiver;
use crate::config::PushJob;
use crate::endpoint::{Endpoint, TRIALS};
use crate::error::StartError;
use crate::format::bytes;
use crate::plan::{Plan, TargetLimits, Verdict};
use crate::remote::link::End;
use crate::report::Event;
use zfs::host::MAX_PRUNE;
use zfs::{Failure, Outlook, Refusal};

/// Finds out what of all that would be cleared away would stay, and why.
pub async fn what_stays(receiver: &mut Receiver<'_>, cleared: &mut Cleared) -> Result<(), StartError> {
    if cleared.is_withheld() {
        return Ok(());
    }
    let mut refused = HashMap::new();
    for doomed in &cleared.due.datasets {
        if let Some(failure) = receiver
            .try_destroy(doomed.dataset.clone(), doomed.snapshots.iter().map(|(_, guid)| *guid).collect())
            .await?
        {
            refused.insert(doomed.dataset.to_string(), failure);
        }
    }
    let portions: Vec<_> = (cleared.due.snapshots.iter())
        .flat_map(|(dataset, some)| some.chunks(MAX_PRUNE).map(|some| (dataset.clone(), some.to_vec())))
        .collect();
    for ((dataset, some), result) in portions.iter().zip(receiver.prune(&portions, true).await?) {
        match result {
            Ok(pruned) => refused.extend(
                pruned
                    .pinned
                    .into_iter()
                    .map(|(name, words)| (dataset.at(name.as_str()), Failure { refusal: Refusal::Held, words })),
            ),
            Err(failure) => {
                refused.extend(some.iter().map(|(name, _)| (dataset.at(name.as_str()), failure.clone())));
            }
        }
    }
    cleared.refused = refused;
    Ok(())
}

/// What speaks against datasets of the plan that only an attempt tells, by their places: the target's host refuses the resolution, or
/// what is sent after that can't begin; and so can't what must be decrypted.
pub async fn refused(
    job: &PushJob,
    sender: &Endpoint,
    (plan, limits): (&Plan, &TargetLimits),
    receiver: &mut Receiver<'_>,
) -> Result<HashMap<usize, Failure>, StartError> {
    let (places, resolutions): (Vec<_>, Vec<_>) = plan.resolutions().into_iter().unzip();
    let answers = receiver.try_resolutions(resolutions).await?;
    let mut all: HashMap<usize, Failure> =
        places.into_iter().zip(answers).filter_map(|(place, failure)| Some((place, failure?))).collect();
    let (turns, mut trials) = (Arc::new(Semaphore::new(TRIALS)), JoinSet::new());
    for (place, dataset) in plan.datasets.iter().enumerate() {
        let resolves = matches!(dataset.verdict, Verdict::Resolve(_));
        if all.contains_key(&place) || !(resolves || (job.decrypt && dataset.encrypted == Some(true))) {
            continue;
        }
        let Some(step) = dataset.verdict.steps().first() else { continue };
        let (sender, turns, stream) = (sender.clone(), Arc::clone(&turns), stream(limits, dataset, step, job));
        trials.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (place, sender.try_stream(stream).await)
        });
    }
    while let Some(tried) = trials.join_next().await {
        if let Ok((place, Err(why))) = tried {
            all.insert(place, why);
        }
    }
    Ok(all)
}

/// What is to be told of the outlook before the plan is shown.
pub fn lock_notice(target: &End, outlook: &Outlook) -> Option<Event> {
    let holder = outlook.locked.as_ref()?;
    let text = format!(
        "another run is working on {} on {}: {holder}; until it finishes, a run would fail, and its changes aren't shown here",
        target.dataset,
        target.link.name()
    );
    Some(Event::Notice { dataset: None, text })
}

/// The same once the sizes are known.
pub fn space_notice(target: &End, outlook: &Outlook, sent: u64) -> Option<Event> {
    let available = outlook.available.filter(|available| sent > *available)?;
    let text = format!(
        "{} are to be sent, but {} has {} available on {} (zfs get available,quota): it may run out of space",
        bytes(sent),
        target.dataset,
        bytes(available),
        target.link.name()
    );
    Some(Event::Notice { dataset: None, text })
}
