//! The ends of datasets: counted, told, and left to the bookmarks.

use super::Run;
use crate::exec::bookmarks::Outcome;
use crate::exec::machine::DatasetOutcome;
use crate::plan::LastResult;
use crate::report::{DatasetEnd, Event};

impl Run<'_> {
    pub(super) fn dataset_ended(&mut self, dataset: usize, end: DatasetOutcome) {
        if let Some(bookmarks) = &mut self.bookmarks {
            let outcome = match &end {
                DatasetOutcome::InSync { .. } => Outcome::InSync,
                DatasetOutcome::Conflict(_) => Outcome::Conflict,
                DatasetOutcome::NoSnapshots
                | DatasetOutcome::Failed(_)
                | DatasetOutcome::Skipped(_)
                | DatasetOutcome::Interrupted => Outcome::Open,
            };
            bookmarks.ended(dataset, &self.ready.plan.datasets[dataset], &self.ready.negotiation, outcome);
        }
        let (result, error) = match end {
            DatasetOutcome::InSync { updated } => return self.in_sync(dataset, updated),
            DatasetOutcome::NoSnapshots => {
                let planned = &self.ready.plan.datasets[dataset];
                let names = (planned.source.to_string(), planned.target.to_string());
                return self.without_snapshots(&names);
            }
            DatasetOutcome::Interrupted if self.taken => {
                (LastResult::Failed, "another run took over the target".into())
            }
            DatasetOutcome::Interrupted => return self.told(dataset, LastResult::Interrupted),
            DatasetOutcome::Conflict(error) => (LastResult::Conflict, error),
            DatasetOutcome::Failed(error) => (LastResult::Failed, error),
            DatasetOutcome::Skipped(error) => (LastResult::Skipped, error),
        };
        let planned = &self.ready.plan.datasets[dataset];
        let names = (planned.source.to_string(), planned.target.to_string());
        self.failed(names, result, error);
    }

    fn failed(&mut self, (dataset, target): (String, String), result: LastResult, error: String) {
        let end = DatasetEnd {
            dataset: &dataset,
            target: &target,
            result,
            updated: false,
            error: Some(&error),
            newest: None,
        };
        self.reporter.ended(&end);
        self.summary.failed += 1;
        self.summary.conflicts += usize::from(result == LastResult::Conflict);
        let headline = error.lines().next().unwrap_or_default().to_owned();
        self.summary.failures.push((dataset.clone(), headline));
        self.reporter.event(&Event::DatasetFailed { dataset, target, kind: result.key().into(), error });
    }

    /// Datasets that can't be called so on the target have no part in the run, and their ends are known before it begins.
    pub(super) fn misfits_ended(&mut self) {
        for misfit in std::mem::take(&mut self.ready.plan.misfits) {
            let (names, error) = ((misfit.source.to_string(), misfit.target.clone()), misfit.why().to_string());
            if misfit.without_snapshots {
                self.without_snapshots(&names);
            } else {
                self.failed(names, LastResult::Failed, error);
            }
        }
    }

    fn without_snapshots(&mut self, (dataset, target): &(String, String)) {
        self.summary.without_snapshots += 1;
        // The same words stand for one dataset and for several.
        let text = "no snapshots, so there is nothing to send".into();
        self.reporter.event(&Event::Notice { dataset: Some(dataset.clone()), text });
        let result = LastResult::NoSnapshots;
        self.reporter.ended(&DatasetEnd { dataset, target, result, updated: false, error: None, newest: None });
    }

    fn in_sync(&mut self, dataset: usize, updated: bool) {
        self.summary.in_sync += 1;
        self.summary.updated += usize::from(updated);
        let planned = &self.ready.plan.datasets[dataset];
        let source = self.ready.negotiation.source(dataset);
        self.reporter.ended(&DatasetEnd {
            dataset: planned.source.as_str(),
            target: planned.target.as_str(),
            result: LastResult::InSync,
            updated,
            error: None,
            newest: source.and_then(|source| source.snapshots.newest()).map(|newest| newest.name),
        });
    }

    /// A dataset has ended otherwise than in sync.
    pub(super) fn told(&mut self, dataset: usize, result: LastResult) {
        let planned = &self.ready.plan.datasets[dataset];
        let (dataset, target) = (planned.source.as_str(), planned.target.as_str());
        self.reporter.ended(&DatasetEnd { dataset, target, result, updated: false, error: None, newest: None });
    }
}
