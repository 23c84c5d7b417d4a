//! The dry run: the plan with estimated sizes, and nothing else.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ready::Ready;
use super::source;
use crate::config::PushJob;
use crate::error::{Exit, StartError};
use crate::plan::{Cure, PlannedDataset, Step, Verdict};
use crate::report::{PlanAction, PlanRow, print_plan};
use crate::zfs::Zfs;

/// Prints the plan; only `zfs send -n` runs, on this machine.
pub async fn show(job: &PushJob, zfs: &Zfs, ready: &Ready, json: bool) -> Result<Exit, StartError> {
    let mut rows = Vec::new();
    // Rows whose size is asked for.
    let mut wanted = Vec::new();
    for dataset in &ready.plan.datasets {
        match &dataset.verdict {
            Verdict::Send(steps) | Verdict::FillEmpty(steps) | Verdict::Overwrite(steps) => {
                add_steps(&mut rows, &mut wanted, dataset, steps);
            }
            Verdict::Cure(remedy) => {
                let action = match remedy.cure {
                    Cure::Rollback { .. } => PlanAction::Rollback,
                    Cure::SetAside { .. } => PlanAction::SetAside,
                    Cure::Replace { .. } => PlanAction::Replace,
                };
                rows.push(PlanRow { note: Some(remedy.describe()), ..row(dataset, action) });
                add_steps(&mut rows, &mut wanted, dataset, &remedy.then);
            }
            Verdict::InSync => rows.push(row(dataset, PlanAction::InSync)),
            Verdict::NoSnapshots => rows.push(row(dataset, PlanAction::NoSnapshots)),
            Verdict::Conflict(conflict) => {
                rows.push(PlanRow { note: Some(conflict.to_string()), ..row(dataset, PlanAction::Conflict) });
            }
        }
    }
    let mut sizes = JoinSet::new();
    let turns = Arc::new(Semaphore::new(job.channels));
    for (at, dataset, step) in wanted {
        let command = ready.estimate(zfs, dataset, step, job);
        let turns = turns.clone();
        sizes.spawn(async move {
            let _turn = turns.acquire_owned().await;
            (at, source::estimate(command).await)
        });
    }
    while let Some(size) = sizes.join_next().await {
        // A worker that failed leaves the size unknown.
        if let Ok((at, bytes)) = size {
            rows[at].bytes = bytes;
        }
    }
    print_plan(&rows, json).map_err(|error| StartError::System { what: "can't print the plan", error })?;
    let conflicts = rows.iter().any(|row| row.action == PlanAction::Conflict);
    Ok(if conflicts { Exit::Failed } else { Exit::InSync })
}

fn add_steps<'a>(
    rows: &mut Vec<PlanRow>,
    wanted: &mut Vec<(usize, &'a PlannedDataset, &'a Step)>,
    dataset: &'a PlannedDataset,
    steps: &'a [Step],
) {
    for step in steps {
        wanted.push((rows.len(), dataset, step));
        rows.push(step_row(dataset, step));
    }
}

fn row(dataset: &PlannedDataset, action: PlanAction) -> PlanRow {
    PlanRow {
        dataset: dataset.source.to_string(),
        target: dataset.target.to_string(),
        action,
        from: None,
        to: None,
        snapshots: 0,
        bytes: None,
        note: None,
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
