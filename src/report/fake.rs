//! For the tests of the reporters: events, a clock that is set by hand, and a writer whose text can be read back.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::Clock;
use super::event::Event;
use crate::plan::StepId;

pub(crate) fn planned(steps: usize) -> Event {
    Event::Planned { datasets: 9, in_sync: 9_usize.saturating_sub(steps), steps }
}

pub(crate) fn started(step: StepId, dataset: &str) -> Event {
    let (dataset, from, to) = (dataset.to_owned(), Some("@old".to_owned()), "new".to_owned());
    Event::StepStarted { step, dataset, from, resumed: false, to, snapshots: 2 }
}

pub(crate) fn estimated(step: StepId, total: u64) -> Event {
    Event::StepEstimated { step, total }
}

pub(crate) fn progress(step: StepId, bytes: u64) -> Event {
    Event::Progress { step, bytes }
}

pub(crate) fn sent(step: StepId, bytes: u64) -> Event {
    Event::StepSent { step, bytes }
}

pub(crate) fn done(step: StepId, dataset: &str, bytes: u64) -> Event {
    let (dataset, to, took) = (dataset.to_owned(), "new".to_owned(), Duration::from_secs(2));
    Event::StepDone { step, dataset, to, snapshots: 2, bytes, took }
}

pub(crate) fn step_failed(step: StepId, dataset: &str, retry: bool) -> Event {
    let error = "ssh: broken pipe\nmore".to_owned();
    Event::StepFailed { step, dataset: dataset.to_owned(), retry, wait: Duration::from_secs(2), error }
}

pub(crate) fn dataset_failed(dataset: &str) -> Event {
    let (dataset, target) = (dataset.to_owned(), "q/x".to_owned());
    Event::DatasetFailed {
        dataset,
        target,
        kind: "conflict".into(),
        error: "no common snapshot\nonly on the source: @a".to_owned(),
    }
}

pub(crate) fn notice(dataset: Option<&str>) -> Event {
    Event::Notice { dataset: dataset.map(str::to_owned), text: "no snapshots".to_owned() }
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct FakeClock {
    start: Instant,
    passed: Arc<Mutex<Duration>>,
}

impl FakeClock {
    pub fn new() -> Self {
        Self { start: Instant::now(), passed: Arc::default() }
    }

    pub fn pass(&self, seconds: f64) {
        *self.passed.lock().unwrap() += Duration::from_secs_f64(seconds);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.start + *self.passed.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_384_665_250) + *self.passed.lock().unwrap()
    }
}

/// A place for text.
#[derive(Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    /// What was written since the last call.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
