//! What the last words tell that is no figure of the run: it is counted as it is told.

use super::SKIPPED;
use crate::report::{DatasetEnd, Event, Reporter, Summary};

/// Passes events on, and the last one with what was counted.
pub(in crate::report) struct Tally<R> {
    to: R,
    skipped: usize,
    /// Datasets and snapshots.
    destroyed: (usize, usize),
}

impl<R> Tally<R> {
    pub fn new(to: R) -> Self {
        Self { to, skipped: 0, destroyed: (0, 0) }
    }
}

impl<R: Reporter> Reporter for Tally<R> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::DatasetFailed { kind, .. } if kind == SKIPPED => self.skipped += 1,
            Event::Cleared { datasets, snapshots, .. } => {
                self.destroyed.0 += datasets.len();
                self.destroyed.1 += snapshots.len();
            }
            Event::Finished(summary) => {
                let (skipped, destroyed) = (self.skipped, self.destroyed);
                return self.to.event(&Event::Finished(Summary { skipped, destroyed, ..summary.clone() }));
            }
            _ => {}
        }
        self.to.event(event);
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        self.to.ended(end);
    }
}
