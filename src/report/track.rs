//! What a run has done so far and how fast, as far as its events tell: what bars and plain lines are made from.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::event::Event;
use crate::format::per_second;
use crate::plan::StepId;

/// Rates are taken over this much of the past: receives come in bursts, and a rate that follows each can't be read.
const WINDOW: Duration = Duration::from_secs(8);

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Phase {
    Connecting,
    Planning,
    Running,
}

/// A step under way.
#[derive(Debug)]
pub(in crate::report) struct Running {
    pub dataset: String,
    pub to: String,
    /// Expected bytes, once known.
    pub total: Option<u64>,
    pub bytes: u64,
    /// Since when the receiver is finishing.
    pub sent: Option<Instant>,
    meter: Meter,
}

impl Running {
    pub fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    /// How long the rest takes at the present rate.
    pub fn eta(&self, now: Instant) -> Option<Duration> {
        eta(self.total?, self.bytes, self.rate(now))
    }
}

/// The run as a whole.
#[derive(Debug)]
pub(in crate::report) struct Track {
    pub phase: Phase,
    pub started: Instant,
    /// By number, and so in the order of their start.
    pub running: BTreeMap<StepId, Running>,
    /// Steps that are over, well or badly.
    pub ended: usize,
    planned: usize,
    /// Bytes of the steps that are over.
    ended_bytes: u64,
    /// Bytes that moved; those of steps that are begun anew count twice.
    moved: u64,
    meter: Meter,
}

impl Track {
    pub fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Connecting,
            started: now,
            running: BTreeMap::new(),
            ended: 0,
            planned: 0,
            ended_bytes: 0,
            moved: 0,
            meter: Meter::new(now),
        }
    }

    pub fn event(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Connected { .. } => self.phase = self.phase.max(Phase::Planning),
            Event::Planned { steps, .. } => {
                self.phase = Phase::Running;
                self.planned = *steps;
            }
            Event::StepStarted { step, dataset, to, .. } => self.start(*step, dataset, to, now),
            Event::StepEstimated { step, total } => {
                if let Some(running) = self.running.get_mut(step) {
                    // An estimate of nothing is none: zfs prints 0 for what it can't tell.
                    running.total = (*total > 0).then_some(*total);
                }
            }
            Event::Progress { step, bytes } => self.advance(*step, *bytes, now),
            Event::StepSent { step, bytes } => {
                self.advance(*step, *bytes, now);
                if let Some(running) = self.running.get_mut(step) {
                    running.sent = Some(now);
                }
            }
            Event::StepDone { step, bytes, .. } => {
                self.advance(*step, *bytes, now);
                self.end(*step);
            }
            Event::StepFailed { step, retry, .. } => {
                if *retry {
                    self.running.remove(step);
                } else {
                    self.end(*step);
                }
            }
            Event::Notice { .. }
            | Event::Problem { .. }
            | Event::OnlyThere { .. }
            | Event::Destroyed { .. }
            | Event::Cleared { .. }
            | Event::DatasetFailed { .. }
            | Event::Finished(_) => {}
        }
    }

    fn start(&mut self, step: StepId, dataset: &str, to: &str, now: Instant) {
        self.phase = Phase::Running;
        if self.running.is_empty() {
            // Time without any step is no time in which nothing moved.
            self.meter = Meter::new(now);
            self.meter.add(now, self.moved);
        }
        let (dataset, to) = (dataset.to_owned(), to.to_owned());
        let running = Running { dataset, to, total: None, bytes: 0, sent: None, meter: Meter::new(now) };
        self.running.insert(step, running);
    }

    fn advance(&mut self, step: StepId, bytes: u64, now: Instant) {
        let Some(running) = self.running.get_mut(&step) else { return };
        self.moved = self.moved.saturating_add(bytes.saturating_sub(running.bytes));
        running.bytes = bytes;
        running.meter.add(now, bytes);
        self.meter.add(now, self.moved);
    }

    fn end(&mut self, step: StepId) {
        if let Some(running) = self.running.remove(&step) {
            self.ended += 1;
            self.ended_bytes = self.ended_bytes.saturating_add(running.bytes);
        }
    }

    /// All steps as far as they are known: a plan can grow.
    pub fn steps(&self) -> usize {
        self.planned.max(self.ended + self.running.len())
    }

    pub fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    pub fn bytes(&self) -> u64 {
        self.running.values().fold(self.ended_bytes, |sum, step| sum.saturating_add(step.bytes))
    }

    /// The bytes of all steps: those that haven't told yet are taken for average ones. `None` when none has told.
    pub fn total(&self) -> Option<u64> {
        let told = self.running.values().filter_map(|step| step.total.map(|total| total.max(step.bytes)));
        let known = told.clone().fold(self.ended_bytes, u64::saturating_add);
        let sized = self.ended + told.count();
        let mean = known.checked_div(u64::try_from(sized).ok()?)?;
        let silent = u64::try_from(self.steps().saturating_sub(sized)).ok()?;
        Some(known.saturating_add(mean.saturating_mul(silent)).max(self.bytes()))
    }

    /// How long the rest takes at the present rate.
    pub fn eta(&self, now: Instant) -> Option<Duration> {
        eta(self.total()?, self.bytes(), self.rate(now))
    }
}

impl Phase {
    fn max(self, other: Self) -> Self {
        if self == Self::Running { self } else { other }
    }
}

fn eta(total: u64, done: u64, rate: u64) -> Option<Duration> {
    // A stream starts with a header and a pause: what its first bytes promise is nonsense.
    let begun = done >= total / 100;
    let rest = total.checked_sub(done).filter(|&rest| rest > 0 && begun)?;
    Some(Duration::from_secs(rest.checked_div(rate)?))
}

/// The rate of a growing number over the last [`WINDOW`].
#[derive(Debug)]
struct Meter {
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self { samples: VecDeque::from([(now, 0)]) }
    }

    fn add(&mut self, now: Instant, value: u64) {
        self.samples.push_back((now, value));
        // One sample from before the window stays, to measure from.
        while self.samples.get(1).is_some_and(|(time, _)| now.duration_since(*time) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Measured up to `now`, so that it falls when nothing moves any more.
    fn rate(&self, now: Instant) -> u64 {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return 0 };
        let start = self.samples.iter().rev().find(|(time, _)| now.duration_since(*time) >= WINDOW).unwrap_or(first);
        per_second(last.1.saturating_sub(start.1), now.duration_since(start.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fake;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_fall_when_nothing_moves() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.rate(start), 0);
        for second in 1..=20 {
            meter.add(start + SECOND * second, u64::from(second) * 100);
        }
        assert_eq!(meter.rate(start + SECOND * 20), 100);
        assert!(meter.samples.len() <= 10);
        assert!((40..60).contains(&meter.rate(start + SECOND * 24)));
        assert_eq!(meter.rate(start + SECOND * 40), 0);
    }

    #[test]
    fn totals_are_extrapolated_from_what_is_known() {
        let start = Instant::now();
        let mut track = Track::new(start);
        let mut tell = |event: &Event| {
            track.event(event, start);
            (track.total(), track.bytes(), track.steps())
        };
        assert_eq!(tell(&fake::planned(4)), (None, 0, 4));
        assert_eq!(tell(&fake::started(1, "p/a")), (None, 0, 4));
        assert_eq!(tell(&fake::estimated(1, 100)), (Some(400), 0, 4));
        assert_eq!(tell(&fake::started(2, "p/b")), (Some(400), 0, 4));
        assert_eq!(tell(&fake::estimated(2, 300)), (Some(800), 0, 4));
        assert_eq!(tell(&fake::progress(1, 50)), (Some(800), 50, 4));
        assert_eq!(tell(&fake::done(1, "p/a", 120)), (Some(840), 120, 4));
        // A step that is tried again is neither over nor are its bytes.
        assert_eq!(tell(&fake::progress(2, 10)), (Some(840), 130, 4));
        assert_eq!(tell(&fake::step_failed(2, "p/b", true)), (Some(480), 120, 4));
        assert_eq!(track.ended, 1);
    }

    #[test]
    fn unknown_steps_are_ignored() {
        let start = Instant::now();
        let mut track = Track::new(start);
        for event in [fake::progress(9, 1), fake::sent(9, 2), fake::done(9, "p", 3), fake::estimated(9, 4)] {
            track.event(&event, start);
        }
        assert_eq!((track.ended, track.bytes(), track.steps(), track.eta(start)), (0, 0, 0, None));
    }
}
