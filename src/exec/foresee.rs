//! What a dry run asks the target's host beside its plan: whether it would destroy what is missing at the source, whether another
//! run has the tree, and how much room there is.

use std::collections::HashMap;

use tokio::task::{self, JoinSet};

use super::machine::source_advice;
use super::ready::{Cleared, stream};
use super::receiver::Receiver;
use super::source::failed;
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::format::bytes;
use crate::plan::{Plan, Solvable, TargetLimits, Verdict};
use crate::remote::link::End;
use crate::report::Event;
use zfs::host::MAX_PRUNE;
use zfs::{Failure, Outlook, Refusal, StreamSpec};

/// A stream is tried so often.
const TRIES: usize = 3;

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

/// What is said where a resolution isn't begun, as what would be sent then can't be.
pub fn unsendable(solvable: &Solvable, failure: &Failure) -> String {
    solvable.unsendable(&cannot_send(failure))
}

/// The words of a `zfs send` that did not begin, and what to do about them.
fn cannot_send(Failure { refusal, words }: &Failure) -> String {
    let words = words.strip_prefix("warning: ").unwrap_or(words);
    format!("{words}{}", source_advice(*refusal, words))
}

/// What speaks against datasets of the plan that only an attempt tells, by their places, in the words for the user: the target's host
/// refuses the resolution, or what is sent after that can't begin; and so can't what must be decrypted.
pub async fn refused(
    job: &PushJob,
    sender: &Endpoint,
    (plan, limits): (&Plan, &TargetLimits),
    receiver: &mut Receiver<'_>,
) -> Result<HashMap<usize, Failure>, StartError> {
    let (places, resolutions): (Vec<_>, Vec<_>) = plan.resolutions().into_iter().unzip();
    let (mut all, mut known) = (HashMap::new(), HashMap::new());
    for (place, resolution) in places.iter().zip(&resolutions) {
        let raw = !job.decrypt && plan.datasets[*place].encrypted == Some(true);
        let failure = receiver.not_permitted(resolution, raw, &mut known).await?;
        all.extend(failure.map(|failure| (*place, failure)));
    }
    for (place, failure) in places.into_iter().zip(receiver.try_resolutions(resolutions).await?) {
        if let Some(failure) = failure {
            // A run asks for permissions first, and doesn't come to the resolution then.
            all.entry(place).or_insert(failure);
        }
    }
    for (place, failure) in &mut all {
        if let Verdict::Resolve(solvable) = &plan.datasets[*place].verdict {
            failure.words = solvable.refused(failure);
        }
    }
    let (mut trials, mut tried) = (JoinSet::new(), HashMap::new());
    for (place, dataset) in plan.datasets.iter().enumerate() {
        let resolves = matches!(dataset.verdict, Verdict::Resolve(_));
        if all.contains_key(&place) || !(resolves || (job.decrypt && dataset.encrypted == Some(true))) {
            continue;
        }
        let Some(step) = dataset.verdict.steps().first() else { continue };
        let (sender, stream) = (sender.clone(), stream(limits, dataset, step, job));
        tried.insert(trials.spawn(async move { try_again(&sender, stream).await }).id(), place);
    }
    for (place, why) in cant_begin(trials, &tried).await {
        let dataset = &plan.datasets[place];
        if why.refusal == Refusal::Lost {
            return Err(failed(sender, &dataset.source, why));
        }
        let words = match &dataset.verdict {
            Verdict::Resolve(solvable) => unsendable(solvable, &why),
            _ => cannot_send(&why),
        };
        all.insert(place, Failure { words, ..why });
    }
    Ok(all)
}

/// Whether a stream can be sent. An interrupted `zfs send`, which a run tries again, tells nothing of that.
async fn try_again(sender: &Endpoint, stream: StreamSpec) -> Result<(), Failure> {
    for _ in 1..TRIES {
        match sender.try_stream(stream.clone()).await {
            Err(Failure { refusal: Refusal::Killed, .. }) => {}
            tried => return tried,
        }
    }
    sender.try_stream(stream).await
}

/// Why streams can't be sent, each by the place of its dataset. A task that has failed shows of none that it can.
async fn cant_begin(
    mut trials: JoinSet<Result<(), Failure>>,
    places: &HashMap<task::Id, usize>,
) -> Vec<(usize, Failure)> {
    let mut all = Vec::new();
    while let Some(tried) = trials.join_next_with_id().await {
        let (id, tried) = match tried {
            Ok((id, tried)) => (id, tried),
            Err(error) => (error.id(), Err(Failure::new(Refusal::Other, &error.to_string()))),
        };
        if let (Some(place), Err(why)) = (places.get(&id), tried) {
            all.push((*place, why));
        }
    }
    all
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_does_not_count_as_a_stream_that_can_be_sent() {
        let mut trials = JoinSet::new();
        let fine = trials.spawn(async { Ok(()) }).id();
        let broken = trials.spawn(async { panic!("on purpose") }).id();
        let all = cant_begin(trials, &[(fine, 1), (broken, 2)].into()).await;
        assert_eq!(all.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [2]);
    }
}
