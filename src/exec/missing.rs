//! What the target has and the source has no more, or under another name: told, and where the user says so renamed or destroyed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::connections::ConnectionPool;
use super::direction::Direction;
use super::link::{check_helper, close, first_channel};
use super::ready::{Cleared, Unread};
use super::receiver::{Listed, Receiver};
use super::renames::{bring_along, can_follow, follow, renamed, supersede};
use super::targets::Targets;
use super::{recorded, source};
use crate::config::{OnlyThere, PushJob, source_tag};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{
    Clocks, Doomed, Due, Missing, Move, Negotiation, NotDestroyed, Notes, TargetDataset, Times, TooMuch, When, dated,
    discard,
};
use crate::remote::link::Access;
use crate::report::{Event, Reporter, Telling};
use zfs::host::MAX_PRUNE;
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::{Hello, Note, Noted, Pruned};

/// Tells what only the target has, and finds out what of it is a dataset of the source under an old name: that is renamed if the
/// user says so. The renames, done or (in a dry run) to be done.
pub async fn look_around(
    direction: &mut Direction<'_>,
    negotiation: &mut Negotiation,
    (receiver, known): (&mut Receiver<'_>, &Targets),
    unread: &mut Vec<Unread>,
    reporter: &mut dyn Reporter,
) -> Result<Vec<Move>, StartError> {
    let job = direction.job;
    let in_full = job.only_there == OnlyThere::Named;
    let (names, listed) = match there(negotiation, receiver, in_full).await {
        Ok(there) => there,
        // All else is replicated.
        Err(why @ StartError::Ask { .. }) => {
            if job.needs_names() || known.has_strangers(job, negotiation) {
                unread.push(Unread::target(&job.ends, &why));
            } else {
                let text = format!("the datasets that only the target has are unknown: {why}");
                reporter.event(&Event::Notice { dataset: Some(job.ends.source.dataset.to_string()), text });
            }
            return Ok(Vec::new());
        }
        Err(why) => return Err(why),
    };
    if !negotiation.target_exists() || !negotiation.is_complete() {
        return Ok(Vec::new());
    }
    negotiation.tree(&names);
    let only_there = negotiation.only_there(&names);
    let renamed = renamed(job, negotiation, receiver, &only_there, reporter).await?;
    supersede(job, negotiation, (receiver, known), &names).await?;
    let moves = if job.missing.follow_renames {
        let can =
            can_follow((direction.sender, &job.ends.target.dataset), negotiation, receiver, &renamed, reporter).await?;
        let moves = negotiation.moves(&can);
        direction.check_moves(&moves, &names, receiver).await?;
        let moves = follow(job, negotiation, receiver, reporter, moves).await?;
        bring_along(job, direction.sender, negotiation).await;
        moves
    } else {
        Vec::new()
    };
    negotiation.sent_anew(&renamed);
    let still = negotiation.only_there(&only_there);
    let snapshots = negotiation.snapshots_only_there(&listed);
    if !job.missing.datasets {
        tell_unborn(&still, &listed, receiver, reporter);
    }
    if job.only_there > OnlyThere::Ignored && !(still.is_empty() && snapshots.is_empty()) {
        let texts = |names: Vec<zfs::name::SnapshotName>| names.iter().map(ToString::to_string).collect();
        reporter.event(&Event::OnlyThere {
            datasets: still.iter().map(ToString::to_string).collect(),
            snapshots: snapshots.into_iter().map(|(dataset, names)| (dataset.to_string(), texts(names))).collect(),
            listed: in_full,
            told: Telling::of(job.tells_later(), job.dry_run),
        });
    }
    Ok(moves)
}

/// Tells what is left of first receives that nobody will go on with.
fn tell_unborn(
    only_there: &[DatasetName],
    listed: &HashMap<DatasetName, TargetDataset>,
    receiver: &Receiver<'_>,
    reporter: &mut dyn Reporter,
) {
    for name in only_there.iter().filter(|name| listed.get(name).is_some_and(|dataset| dataset.unborn)) {
        let text = format!(
            "{name} is partially received, and the source has no such dataset: it stays until it is discarded on {}: {}",
            receiver.host(),
            discard(name)
        );
        reporter.event(&Event::Notice { dataset: None, text });
    }
}

/// The names of the target's datasets, and (`in_full`) all that they have.
async fn there(
    negotiation: &Negotiation,
    receiver: &mut Receiver<'_>,
    in_full: bool,
) -> Result<(Vec<DatasetName>, HashMap<DatasetName, TargetDataset>), StartError> {
    let names = receiver.names().await?;
    if !in_full || !negotiation.target_exists() || !negotiation.is_complete() {
        return Ok((names, HashMap::new()));
    }
    Ok((names, targets(receiver.tree(receiver.ends.target.dataset.clone()).await?)))
}

pub(super) fn targets(listed: Listed) -> HashMap<DatasetName, TargetDataset> {
    listed.into_iter().map(|(name, (dataset, _))| (name, dataset)).collect()
}

/// Finds out what is recorded on the target. Without that a conflict is told all the same; but nothing is made in what may be another
/// source's copy.
pub async fn look_at_records(
    sender: &Endpoint,
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    datasets: BTreeSet<DatasetName>,
) -> Result<(), StartError> {
    match receiver.notes().await {
        Ok(notes) => {
            let host = sender.hello().host;
            negotiation.records(datasets, &notes_of(notes), |top| source_tag(&host, top));
        }
        Err(why @ StartError::Ask { .. }) if negotiation.strangers().is_empty() => tracing::info!("{why}"),
        Err(why) => return Err(why),
    }
    Ok(())
}

/// What came of clearing away.
#[derive(Debug, Default)]
pub struct Swept {
    /// Something that was to go could not go.
    pub failed: bool,
    /// Why something stays that was to go, for the last words.
    pub withheld: Option<String>,
}

/// Destroys on the target what the source has no more and zfsync has put there. Where the run has failed, it only notes what has come:
/// what the source loses before all is in sync again would else never be known to have come from there.
pub async fn sweep_or_note(
    failed: bool,
    job: &PushJob,
    sender: &Endpoint,
    negotiation: &Negotiation,
    reporter: &mut dyn Reporter,
) -> Result<Swept, StartError> {
    once_more(job, sender, patience(failed, job.faults.wait_lock), async |connected| {
        let Connected { mut receiver, clocks } = connected;
        tell_unlocked(&mut receiver, reporter);
        let mut cleared = look(job, negotiation, &mut receiver, When::After, clocks).await?;
        if failed {
            // Nothing is missing while something is not in sync.
            let failed = keep_notes(&mut receiver, &cleared.missing, &Due::default(), clocks, reporter).await?;
            return Ok(Swept { failed, withheld: None });
        }
        let back = if cleared.is_withheld() {
            Vec::new()
        } else {
            keep_what_is_back(job, sender, negotiation, &mut cleared.due).await?
        };
        cleared.missing.stay.extend(back);
        carry_out(job, &mut receiver, cleared, reporter).await
    })
    .await
}

/// So long another run's lock is waited for at the end. A run that has failed says so at once: it may have lost the lock to that very run.
fn patience(failed: bool, wait_lock: Duration) -> Duration {
    if failed { Duration::ZERO } else { wait_lock }
}

/// A target that is asked once more when a run is over.
struct Connected<'a> {
    receiver: Receiver<'a>,
    clocks: Clocks,
}

/// Over a connection of its own: those of the run may be gone by now.
async fn once_more<T>(
    job: &PushJob,
    sender: &Endpoint,
    wait_lock: Duration,
    then: impl AsyncFnOnce(Connected<'_>) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let (mut connections, mut events) = ConnectionPool::new(job.ends.target.link.clone(), None, Access::Full);
    connections.connect(1, Duration::ZERO);
    let came = async {
        let (first, hello) = first_channel(&mut connections, &mut events).await?;
        let clocks = clocks(&hello);
        check_helper(&job.ends, sender, &hello)?;
        let mut receiver = Receiver::over(&connections, first, &job.ends)?;
        receiver.claim(job.run, wait_lock).await?;
        receiver.claimed().await?;
        then(Connected { receiver, clocks }).await
    };
    let came = came.await;
    close(connections).await;
    came
}

fn tell_unlocked(receiver: &mut Receiver<'_>, reporter: &mut dyn Reporter) {
    if let Some(words) = receiver.unlocked.take() {
        let text = format!(
            "{}: {words}: other runs there are not prevented from working on it at the same time",
            receiver.host()
        );
        reporter.event(&Event::Notice { dataset: None, text });
    }
}

/// Both sides' clocks, at a greeting that has just come.
pub fn clocks(hello: &Hello) -> Clocks {
    Clocks::new(jiff::Timestamp::now().as_second(), hello.clock)
}

/// Lists the source once more before anything goes: the run may have taken long. What is there again stays, and is returned.
async fn keep_what_is_back(
    job: &PushJob,
    sender: &Endpoint,
    negotiation: &Negotiation,
    due: &mut Due,
) -> Result<Vec<(DatasetName, NotDestroyed)>, StartError> {
    if due.datasets.is_empty() && due.snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let now = source::list(sender, job.ends.source.dataset.clone(), None, job.faults.stall_timeout).await?;
    Ok(negotiation.keep_what_is_back(due, &now))
}

/// What may go, and what of it goes now.
pub async fn look(
    job: &PushJob,
    negotiation: &Negotiation,
    receiver: &mut Receiver<'_>,
    when: When,
    clocks: Clocks,
) -> Result<Cleared, StartError> {
    let (target, policy) = (receiver.ends.target.dataset.clone(), &job.missing);
    let there = targets(receiver.tree(target).await?);
    let notes = if there.is_empty() { Vec::new() } else { receiver.notes().await? };
    let mut missing = negotiation.missing(&there, &notes_of(notes), policy, when);
    let mut asked = if policy.grace.is_zero() { Vec::new() } else { missing.undated() };
    asked.extend(missing.snapshots_back.iter().cloned());
    let since = receiver.notes_on(&asked).await?;
    let mut times: HashMap<String, Option<i64>> = HashMap::new();
    for Noted { name, value, .. } in since.into_iter().filter(|noted| noted.note == Note::MissingSince) {
        let time = value.parse().ok();
        // What is told twice is no proof.
        times.entry(name).and_modify(|time| *time = None).or_insert(time);
    }
    missing.snapshots_back.retain(|name| times.contains_key(name));
    let since = times.into_iter().filter_map(|(name, time)| Some((name, time?))).collect();
    let clocks = clocks.at(jiff::Timestamp::now().as_second());
    let now = clocks.now();
    let witnesses = missing.witnesses(&since, now, policy.grace);
    let dates = if witnesses.is_empty() { Vec::new() } else { receiver.dates(&witnesses).await? };
    let made = dates.into_iter().filter_map(|(place, date)| Some((witnesses.get(place as usize)?.clone(), date)));
    let due = missing.due(Times { since: &since, made: &made.collect(), now }, policy.grace);
    let too_much = due.too_much(missing.total, policy.max);
    let is_any = !(missing.datasets.is_empty() && missing.snapshots.is_empty());
    let mut wrong_clock = clocks.wrong(policy.grace).filter(|_| is_any);
    if is_any && wrong_clock.is_none() && !policy.grace.is_zero() {
        let newest = dated(&there);
        let dates = receiver.dates(&newest).await?.into_iter();
        let dates = dates.filter_map(|(place, date)| Some((newest.get(place as usize)?.clone(), date)));
        wrong_clock = clocks.behind(&dates.collect::<Vec<_>>(), policy.grace);
    }
    Ok(Cleared { missing, due, too_much, clocks, wrong_clock, refused: HashMap::new() })
}

/// The notes by dataset. What can't be read is not there; nor is what is told twice, as a line feed in a property of another dataset
/// can forge a line.
pub(super) fn notes_of(all: Vec<Noted>) -> HashMap<DatasetName, Notes> {
    let mut notes: HashMap<DatasetName, Notes> = HashMap::new();
    let mut told = HashSet::new();
    for Noted { name, note, value } in all {
        let Ok(name) = name.parse::<DatasetName>() else { continue };
        let value = if told.insert((name.clone(), note)) { value } else { String::new() };
        let of = notes.entry(name).or_default();
        match note {
            Note::Received => of.put = value.parse().ok(),
            Note::MissingSince => of.since = value.parse().ok(),
            Note::Placeholder => of.placeholder = value == "on",
        }
    }
    notes
}

async fn carry_out(
    job: &PushJob,
    receiver: &mut Receiver<'_>,
    Cleared { missing, mut due, too_much, clocks, wrong_clock, .. }: Cleared,
    reporter: &mut dyn Reporter,
) -> Result<Swept, StartError> {
    if wrong_clock.is_some() {
        // A time that is not known is not noted either.
        due.noted.clear();
    }
    let in_short = match &too_much {
        Some(too_much) if wrong_clock.is_none() => too_much.in_short(),
        _ => "nothing destroyed on the target (see above)".to_owned(),
    };
    let withheld = wrong_clock.or_else(|| too_much.as_ref().map(listed)).or_else(|| not_in_sync(&missing));
    if let Some(text) = withheld {
        keep_notes(receiver, &missing, &due, clocks, reporter).await?;
        reporter.event(&Event::Problem { text });
        return Ok(Swept { failed: true, withheld: Some(in_short) });
    }
    let mut stay: Vec<(String, String)> =
        missing.stay.iter().map(|(name, why)| (name.to_string(), why.to_string())).collect();
    stay.extend(missing.elsewhere().map(|(name, why)| (name, why.to_string())));
    stay.extend(missing.foreign.iter().map(|(name, snapshots)| {
        let why = NotDestroyed::Foreign(snapshots.clone());
        (name.to_string(), why.to_string())
    }));
    let notes_failed = keep_notes(receiver, &missing, &due, clocks, reporter).await?;
    let mut came = Deeds { stay, ..Deeds::default() };
    came.destroy_datasets(job, receiver, due.datasets, reporter).await?;
    came.destroy_snapshots(job, receiver, &due.snapshots, reporter).await?;
    let (datasets_wait, snapshots_wait, next) = (due.datasets_wait, due.snapshots_wait, due.next);
    let Deeds { datasets, snapshots, freed, stay, failed } = came;
    let withheld = (!failed.is_empty()).then(|| format!("{} could not be destroyed on the target", failed.len()));
    let swept = Swept { failed: notes_failed || !failed.is_empty(), withheld };
    let verbose = job.only_there == OnlyThere::Named;
    reporter.event(&Event::Cleared {
        datasets,
        snapshots,
        freed,
        datasets_wait,
        snapshots_wait,
        next,
        stay,
        failed,
        verbose,
    });
    Ok(swept)
}

/// What came of destroying: names, and for those that are still there why.
#[derive(Default)]
struct Deeds {
    datasets: Vec<String>,
    snapshots: Vec<String>,
    freed: u64,
    stay: Vec<(String, String)>,
    failed: Vec<(String, String)>,
}

impl Deeds {
    async fn destroy_datasets(
        &mut self,
        job: &PushJob,
        receiver: &mut Receiver<'_>,
        doomed: Vec<Doomed>,
        reporter: &mut dyn Reporter,
    ) -> Result<(), StartError> {
        for doomed in doomed {
            let rule = recorded::missing_rule(job, "datasets");
            let open = recorded::doomed(job, &rule, &doomed);
            let guids = doomed.snapshots.iter().map(|(_, guid)| *guid).collect();
            let failure = receiver.destroy(doomed.dataset.clone(), guids).await?;
            recorded::tell(job, &rule, open.ended(failure.as_ref()), reporter);
            match failure {
                None => self.datasets.push(doomed.dataset.to_string()),
                Some(failure) => {
                    let list = if failure.refusal.is_a_reason_to_stay() { &mut self.stay } else { &mut self.failed };
                    list.push((doomed.dataset.to_string(), failure.words));
                }
            }
        }
        Ok(())
    }

    async fn destroy_snapshots(
        &mut self,
        job: &PushJob,
        receiver: &mut Receiver<'_>,
        due: &[(DatasetName, Vec<(SnapshotName, Guid)>)],
        reporter: &mut dyn Reporter,
    ) -> Result<(), StartError> {
        let portions: Vec<_> = due
            .iter()
            .flat_map(|(dataset, snapshots)| snapshots.chunks(MAX_PRUNE).map(|some| (dataset.clone(), some.to_vec())))
            .collect();
        let rule = recorded::missing_rule(job, "snapshots");
        let open = recorded::portions(job, &rule, &portions);
        let pruned = receiver.prune(&portions, false).await?;
        recorded::tell(job, &rule, open.pruned(&portions, &pruned), reporter);
        for ((dataset, some), result) in portions.iter().zip(pruned) {
            match result {
                Ok(Pruned { freed, pinned, absent, .. }) => {
                    self.freed = self.freed.saturating_add(freed);
                    let is_pinned = |name| absent.contains(name) || pinned.iter().any(|(other, _)| other == name);
                    let went = some.iter().filter(|(name, _)| !is_pinned(name));
                    self.snapshots.extend(went.map(|(name, _)| dataset.at(name.as_str())));
                    self.stay.extend(pinned.into_iter().map(|(name, why)| (dataset.at(name.as_str()), why)));
                }
                Err(failure) => self.failed.push((dataset.to_string(), failure.words)),
            }
        }
        Ok(())
    }
}

/// Why nothing goes where too much would, with all of it.
fn listed(too_much: &TooMuch) -> String {
    let names = too_much.names.iter().map(|name| format!("\n  {name}"));
    format!("{too_much}{}", names.collect::<String>())
}

/// The same while something is not in sync.
pub fn not_in_sync(missing: &Missing) -> Option<String> {
    let first = missing.not_in_sync.first()?;
    let those = match missing.not_in_sync.len() {
        1 => format!("{first} is"),
        all => format!("{first} and {} more are", all - 1),
    };
    Some(format!("nothing that is missing on the source is destroyed on the target, as {those} not in sync now"))
}

/// Brings the notes on the target up to date; whether that failed.
async fn keep_notes(
    receiver: &mut Receiver<'_>,
    missing: &Missing,
    due: &Due,
    clocks: Clocks,
    reporter: &mut dyn Reporter,
) -> Result<bool, StartError> {
    let puts = missing.puts.iter();
    let mut notes: Vec<(Note, Option<String>, Vec<String>)> =
        puts.map(|(dataset, put)| (Note::Received, Some(put.to_string()), vec![dataset.to_string()])).collect();
    let back = missing.back.iter().map(ToString::to_string).chain(missing.snapshots_back.iter().cloned());
    notes.push((Note::MissingSince, None, back.collect()));
    notes.push((Note::MissingSince, Some(clocks.now().to_string()), due.noted.clone()));
    let failure = receiver.note(notes).await?;
    if let Some(failure) = &failure {
        let text = format!(
            "can't record on the target what was received, and since when the source lacks it: {}",
            failure.words
        );
        reporter.event(&Event::Notice { dataset: None, text });
    }
    Ok(failure.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_sync_is_named() {
        let of = |names: &[&str]| {
            let all = names.iter().map(|name| name.parse().unwrap()).collect();
            not_in_sync(&Missing { not_in_sync: all, ..Missing::default() })
        };
        assert_eq!(of(&[]), None);
        assert!(of(&["p/a"]).unwrap().ends_with(", as p/a is not in sync now"));
        assert!(of(&["p/a", "p/b", "p/c"]).unwrap().ends_with(", as p/a and 2 more are not in sync now"));
    }

    #[test]
    fn a_run_that_has_failed_waits_for_no_lock_to_say_so() {
        let hour = Duration::from_secs(3600);
        assert_eq!((patience(true, hour), patience(false, hour)), (Duration::ZERO, hour));
    }

    #[test]
    fn what_is_noted_twice_is_no_proof() {
        let noted = |name: &str, value: &str| Noted { name: name.into(), note: Note::Received, value: value.into() };
        let put = "00000007.00000008-000000000000001f@25";
        let found = |all: Vec<Noted>| notes_of(all).remove(&"b/x".parse().unwrap()).unwrap().put;
        assert!(found(vec![noted("b/x", put), noted("b/y", put)]).is_some());
        assert!(found(vec![noted("b/x", put), noted("b/x", put)]).is_none());
        assert!(found(vec![noted("b/x", put), noted("b/x", put), noted("b/x", put)]).is_none());
    }
}
