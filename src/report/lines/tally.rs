//! What the last words tell that is no figure of the run: it is counted, or kept, as it is told.

use super::SKIPPED;
use crate::report::{DatasetEnd, Event, Reporter, Summary, Telling};

/// Passes events on, and the last one with what was counted.
pub(in crate::report) struct Tally<R: Reporter> {
    to: R,
    skipped: usize,
    /// Datasets and snapshots.
    destroyed: (usize, usize),
    /// What only the target has, until the end tells what has become of that. A run that destroys nothing, for whatever reason, doesn't.
    only_there: Option<Event>,
}

impl<R: Reporter> Tally<R> {
    pub fn new(to: R) -> Self {
        Self { to, skipped: 0, destroyed: (0, 0), only_there: None }
    }

    fn tell_only_there(&mut self) {
        if let Some(event) = self.only_there.take() {
            self.to.event(&event);
        }
    }
}

/// A run that is given up has no last event.
impl<R: Reporter> Drop for Tally<R> {
    fn drop(&mut self) {
        self.tell_only_there();
    }
}

impl<R: Reporter> Reporter for Tally<R> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::DatasetFailed { kind, .. } if kind == SKIPPED => self.skipped += 1,
            Event::OnlyThere { datasets, snapshots, listed, told: Telling::AtEnd } => {
                let (datasets, snapshots, listed) = (datasets.clone(), snapshots.clone(), *listed);
                self.only_there = Some(Event::OnlyThere { datasets, snapshots, listed, told: Telling::Now });
                return;
            }
            Event::Cleared { datasets, snapshots, .. } => {
                self.only_there = None;
                self.destroyed.0 += datasets.len();
                self.destroyed.1 += snapshots.len();
            }
            Event::Finished(summary) => {
                self.tell_only_there();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fake::{FakeClock, Page};
    use crate::report::lines::Plain;

    #[test]
    fn what_only_the_target_has_is_told_once() {
        let line = "zfsync: only on the target: 2 datasets (-v lists them)\n";
        let only_there = |told| Event::OnlyThere {
            datasets: vec!["q/x".into(), "q/y".into()],
            snapshots: Vec::new(),
            listed: false,
            told,
        };
        let cleared = Event::Cleared {
            datasets: vec!["q/x".into(), "q/y".into()],
            snapshots: Vec::new(),
            freed: 0,
            datasets_wait: 0,
            snapshots_wait: 0,
            next: None,
            stay: Vec::new(),
            failed: Vec::new(),
            verbose: false,
        };
        let told = |events: &[Event]| {
            let page = Page::default();
            let mut reporter = Tally::new(Plain::new(Box::new(page.clone()), Box::new(FakeClock::new()), 0));
            for event in events {
                reporter.event(event);
            }
            reporter.event(&Event::Finished(Summary::default()));
            page.take().matches(line).count()
        };
        assert_eq!(told(&[only_there(Telling::Now)]), 1);
        // As where the run fails, is interrupted, or withholds it.
        assert_eq!(told(&[only_there(Telling::AtEnd)]), 1);
        assert_eq!(told(&[only_there(Telling::AtEnd), cleared]), 0);
        // As where the connection is lost after the plan.
        let given_up = |telling| {
            let page = Page::default();
            let mut reporter = Tally::new(Plain::new(Box::new(page.clone()), Box::new(FakeClock::new()), 0));
            reporter.event(&only_there(telling));
            drop(reporter);
            page.take().matches(line).count()
        };
        assert_eq!(given_up(Telling::AtEnd), 1);
        // A dry run has no last event either, and its plan has a row for each.
        assert_eq!(given_up(Telling::of(true, true)), 0);
    }
}
