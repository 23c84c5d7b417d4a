//! The dry run: the plan with estimated sizes, and nothing else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ready::{Cleared, Ready};
use super::{foresee, missing, recorded};
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::Exit;
use crate::format::duration;
use crate::plan::{
    FirstContact, Move, NotDestroyed, Nothing, Plan, PlannedDataset, Step, UNRESOLVED, Verdict, Withheld,
};
use crate::report::view::dry_run::{PlanAction, PlanRow};
use crate::report::{Event, Reporter};
use zfs::name::DatasetName;
use zfs::{Failure, Resolution};

/// A row whose size is asked for: its place, and what is sent.
type Wanted<'a> = (usize, &'a PlannedDataset, &'a Step);

/// The plan, row by row. Of `zfs` only `zfs send -n` runs for it.
pub async fn rows(job: &PushJob, sender: &Endpoint, ready: &Ready, reporter: &mut dyn Reporter) -> Vec<PlanRow> {
    let mut rows = Vec::new();
    // Rows whose size is asked for.
    let mut wanted = Vec::new();
    // What is set aside.
    let mut asides: Vec<&DatasetName> = Vec::new();
    let refused = &ready.refused;
    let plan = ready.negotiation.in_turn(&ready.plan, &|place| refused.contains_key(&place));
    for (place, dataset) in plan.datasets.iter().enumerate() {
        if let Some(why) = kept_back(&ready.plan, refused, place) {
            rows.push(PlanRow { note: Some(why.to_string()), ..row(dataset, PlanAction::Skipped) });
            continue;
        }
        // What a resolution above changes is not what was tried.
        let is_as_tried = ready.plan.datasets[place].verdict == dataset.verdict;
        let first = rows.len();
        add_rows(&mut rows, &mut wanted, dataset, refused.get(&place).filter(|_| is_as_tried));
        if let (Verdict::Resolve(solvable), Some(row)) = (&dataset.verdict, rows.get_mut(first))
            && row.action != PlanAction::Conflict
        {
            let along = ready.negotiation.along(&dataset.target, asides.iter().copied());
            row.note = Some(solvable.describe(&along));
            asides.extend((row.action == PlanAction::SetAside).then_some(&dataset.target));
        }
    }
    for misfit in &ready.plan.misfits {
        let (action, note) = if misfit.without_snapshots {
            (PlanAction::NoSnapshots, None)
        } else {
            (PlanAction::Fails, Some(misfit.why().to_string()))
        };
        rows.push(PlanRow { note, ..plain_row(misfit.source.to_string(), misfit.target.clone(), action) });
    }
    rows.splice(0..0, ready.moves.iter().map(|one| move_row(job, one)));
    for (at, ..) in &mut wanted {
        *at += ready.moves.len();
    }
    if let Some(cleared) = &ready.cleared {
        rows.extend(cleared_rows(job, cleared));
    }
    if job.sizes {
        estimate(job, sender, ready, wanted, &mut rows).await;
    }
    let held = ready.cleared.as_ref().filter(|cleared| cleared.wrong_clock.is_none());
    // Where no row says so: a dataset that has lost its snapshots, and has a copy.
    if let Some(text) = held.and_then(|cleared| missing::not_in_sync(&cleared.missing))
        && !rows.iter().any(PlanRow::fails)
    {
        reporter.event(&Event::Problem { text });
    }
    let sent = rows.iter().filter_map(|row| row.bytes).fold(0, u64::saturating_add);
    if let Some(notice) = foresee::space_notice(&job.ends.target, &ready.outlook, sent) {
        reporter.event(&notice);
    }
    rows
}

/// Why a run would not send this dataset: the resolution of the conflict at the top will be refused.
fn kept_back(plan: &Plan, refused: &HashMap<usize, Failure>, place: usize) -> Option<Withheld> {
    let top = plan.datasets.first().filter(|_| place > 0 && refused.contains_key(&0))?;
    let is_sent = plan.datasets.get(place)?.verdict != Verdict::NoSnapshots;
    top.verdict.first_contact().filter(|_| is_sent).map(FirstContact::withheld)
}

/// What is to be done with one dataset. `refused`: what speaks against it, in the words for the user.
fn add_rows<'a>(
    rows: &mut Vec<PlanRow>,
    wanted: &mut Vec<Wanted<'a>>,
    dataset: &'a PlannedDataset,
    refused: Option<&Failure>,
) {
    if let (Some(refused), Verdict::Send(_) | Verdict::FillEmpty(_)) = (refused, &dataset.verdict) {
        return rows.push(PlanRow { note: Some(refused.words.clone()), ..row(dataset, PlanAction::Fails) });
    }
    match &dataset.verdict {
        Verdict::Send(steps) | Verdict::Overwrite(steps) => add_steps(rows, wanted, dataset, steps),
        Verdict::FillEmpty(steps) => {
            let first = rows.len();
            add_steps(rows, wanted, dataset, steps);
            if let Some(row) = rows.get_mut(first) {
                row.note = Some(format!("{} is replaced: {}", dataset.target, recorded::INTO_EMPTY));
            }
        }
        Verdict::Resolve(solvable) => {
            if let Some(refused) = refused {
                return rows.push(PlanRow { note: Some(refused.words.clone()), ..row(dataset, PlanAction::Conflict) });
            }
            let action = match solvable.resolution {
                Resolution::Rollback { .. } => PlanAction::Rollback,
                Resolution::SetAside { .. } => PlanAction::SetAside,
                Resolution::Replace { .. } => PlanAction::Replace,
            };
            rows.push(row(dataset, action));
            add_steps(rows, wanted, dataset, &solvable.then);
        }
        Verdict::InSync => rows.push(row(dataset, PlanAction::InSync)),
        Verdict::NoSnapshots => rows.push(row(dataset, PlanAction::NoSnapshots)),
        Verdict::Conflict(conflict) => {
            let (note, until_next_snapshot) = (Some(conflict.to_string()), conflict.ends_with_next_snapshot());
            rows.push(PlanRow { note, until_next_snapshot, ..row(dataset, PlanAction::Conflict) });
        }
        Verdict::Unresolved => {
            rows.push(PlanRow { note: Some(UNRESOLVED.into()), ..row(dataset, PlanAction::Fails) });
        }
        Verdict::Withheld(why) => {
            rows.push(PlanRow { note: Some(why.to_string()), ..row(dataset, PlanAction::Skipped) });
        }
        Verdict::Blocked(blocked) => {
            rows.push(PlanRow { note: Some(blocked.to_string()), ..row(dataset, PlanAction::Fails) });
        }
    }
}

/// Asks for the sizes of these, some at a time.
async fn estimate(job: &PushJob, sender: &Endpoint, ready: &Ready, wanted: Vec<Wanted<'_>>, rows: &mut [PlanRow]) {
    let mut sizes = JoinSet::new();
    let turns = Arc::new(Semaphore::new(job.channels));
    for (at, dataset, step) in wanted {
        let stream = ready.stream(dataset, step, job);
        let (sender, turns, stall) = (sender.clone(), turns.clone(), job.faults.stall_timeout);
        sizes.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (at, sender.estimate(stream, stall).await)
        });
    }
    while let Some(size) = sizes.join_next().await {
        // A worker that failed leaves the size unknown.
        if let Ok((at, bytes)) = size {
            rows[at].bytes = bytes;
        }
    }
}

/// How a run with this plan would end.
pub fn exit(ready: &Ready, rows: &[PlanRow]) -> Exit {
    let fails = rows.iter().any(|row| matches!(row.action, PlanAction::Conflict | PlanAction::Fails));
    let withheld = ready.cleared.as_ref().is_some_and(Cleared::is_withheld);
    if fails || withheld || !ready.unread.is_empty() { Exit::Failed } else { Exit::InSync }
}

/// Why a run with these rows would have nothing to replicate.
pub fn nothing(source: &DatasetName, rows: &[PlanRow]) -> Option<Nothing> {
    let only_there = [PlanAction::Rename, PlanAction::Destroy, PlanAction::Waits, PlanAction::Stays];
    let selected = || rows.iter().filter(|row| !only_there.contains(&row.action));
    Nothing::of(source, selected().count(), selected().filter(|row| row.action == PlanAction::NoSnapshots).count())
}

/// Why a run with these rows would destroy nothing of what the source has no more: each reason once.
pub fn withheld(rows: &[PlanRow]) -> Vec<String> {
    let mut all = Vec::new();
    for note in rows.iter().filter(|row| row.action == PlanAction::Stays).filter_map(|row| row.note.as_ref()) {
        if !all.contains(note) {
            all.push(note.clone());
        }
    }
    all
}

fn add_steps<'a>(
    rows: &mut Vec<PlanRow>,
    wanted: &mut Vec<Wanted<'a>>,
    dataset: &'a PlannedDataset,
    steps: &'a [Step],
) {
    for step in steps {
        wanted.push((rows.len(), dataset, step));
        rows.push(step_row(dataset, step));
    }
}

fn row(dataset: &PlannedDataset, action: PlanAction) -> PlanRow {
    plain_row(dataset.source.to_string(), dataset.target.to_string(), action)
}

/// A dataset that gets another name on the target.
fn move_row(job: &PushJob, one: &Move) -> PlanRow {
    let (dataset, target) = (at_the_source(job, one.to.as_str()), one.to.to_string());
    PlanRow { from: Some(one.from.to_string()), ..plain_row(dataset, target, PlanAction::Rename) }
}

/// How something that only the target has would be called at the source.
fn at_the_source(job: &PushJob, name: &str) -> String {
    let rest = name.strip_prefix(job.ends.target.dataset.as_str()).unwrap_or_default();
    format!("{}{rest}", job.ends.source.dataset)
}

/// What the source has no more: what goes, what waits, what stays.
fn cleared_rows(job: &PushJob, cleared: &Cleared) -> Vec<PlanRow> {
    let Cleared { missing, due, too_much, refused, wrong_clock, .. } = cleared;
    let row = |target: String, action, note| PlanRow { note, ..plain_row(at_the_source(job, &target), target, action) };
    let withheld = |name, note: &String| PlanRow { withheld: true, ..row(name, PlanAction::Stays, Some(note.clone())) };
    if let Some(note) = wrong_clock {
        let names = missing.datasets.iter().map(|doomed| doomed.dataset.to_string()).chain(missing.undated());
        return names.map(|name| withheld(name, note)).collect();
    }
    if let Some(too_much) = too_much {
        let note = too_much.to_string();
        return too_much.names.iter().map(|name| withheld(name.clone(), &note)).collect();
    }
    let destroyed = |name: String| match refused.get(&name) {
        Some(why) if why.refusal.is_a_reason_to_stay() => row(name, PlanAction::Stays, Some(why.words.clone())),
        Some(why) => row(name, PlanAction::Fails, Some(why.words.clone())),
        None => row(name, PlanAction::Destroy, Some(recorded::is_to_go(job))),
    };
    let datasets = due.datasets.iter().map(|doomed| destroyed(doomed.dataset.to_string()));
    let mut rows: Vec<PlanRow> = datasets.collect();
    let names = due.snapshots.iter().flat_map(|(dataset, some)| some.iter().map(|(name, _)| dataset.at(name.as_str())));
    rows.extend(names.map(destroyed));
    let goes: HashSet<String> = rows.iter().map(|row| row.target.clone()).collect();
    let waiting = missing.datasets.iter().map(|doomed| doomed.dataset.to_string()).chain(missing.undated());
    let note = format!("destroyed once it has been missing for {} (--grace)", duration(job.missing.grace));
    let waiting = waiting.filter(|name| !goes.contains(name));
    rows.extend(waiting.map(|name| row(name, PlanAction::Waits, Some(note.clone()))));
    rows.extend(missing.stay.iter().map(|(name, why)| row(name.to_string(), PlanAction::Stays, Some(why.to_string()))));
    let elsewhere = missing.elsewhere().map(|(name, why)| (name, why.to_string()));
    let foreign = missing.foreign.iter().flat_map(|(dataset, names)| {
        names.iter().map(|name| (dataset.at(name.as_str()), NotDestroyed::NotOurs.to_string()))
    });
    rows.extend(elsewhere.chain(foreign).map(|(name, why)| row(name, PlanAction::Stays, Some(why))));
    rows
}

fn plain_row(dataset: String, target: String, action: PlanAction) -> PlanRow {
    PlanRow {
        dataset,
        target,
        action,
        from: None,
        to: None,
        snapshots: 0,
        bytes: None,
        note: None,
        until_next_snapshot: false,
        withheld: false,
    }
}

fn step_row(dataset: &PlannedDataset, step: &Step) -> PlanRow {
    let action = match (&step.resume, &step.base) {
        (Some(_), _) => PlanAction::Resume,
        (None, Some(_)) => PlanAction::Incremental,
        (None, None) => PlanAction::Full,
    };
    PlanRow {
        from: step.base.as_ref().map(crate::plan::Base::marked),
        to: Some(format!("@{}", step.to)),
        snapshots: step.snapshots,
        ..row(dataset, action)
    }
}
