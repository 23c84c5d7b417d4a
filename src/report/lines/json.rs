//! Events for programs: one JSON object a line on stdout, each with its time.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::plan::StepId;
use crate::report::event::Event;
use crate::report::{Clock, Reporter, SCHEMA_VERSION};

/// A step's progress comes at most this often.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long progress waits for the estimate that should come before it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes events as JSON lines.
pub(in crate::report) struct Json {
    /// `None` once the reader is gone.
    out: Option<Box<dyn Write + Send>>,
    clock: Box<dyn Clock>,
    steps: BTreeMap<StepId, Step>,
    label: Option<Label>,
}

/// Where lines about different things come together: which these are about.
#[derive(Serialize)]
pub(in crate::report) struct Label {
    /// The job, by its name in the file, or by its source.
    pub job: String,
    /// The target, or a part of the job.
    pub about: String,
}

struct Step {
    started: Instant,
    estimated: bool,
    /// When progress was last written, and how much.
    told: Option<(Instant, u64)>,
    sent: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    schema_version: u32,
    #[serde(flatten)]
    label: Option<&'a Label>,
    #[serde(flatten)]
    event: &'a Event,
}

impl Json {
    pub fn new(out: Box<dyn Write + Send>, clock: Box<dyn Clock>) -> Self {
        Self { out: Some(out), clock, steps: BTreeMap::new(), label: None }
    }

    /// Each line gets a label.
    pub fn labelled(self, label: Label) -> Self {
        Self { label: Some(label), ..self }
    }

    fn line(&mut self, event: &Event) {
        let Some(out) = &mut self.out else { return };
        let time = jiff::Timestamp::try_from(self.clock.wall()).unwrap_or_default();
        let (time, label) = (format!("{time:.3}"), self.label.as_ref());
        let Ok(mut line) = serde_json::to_vec(&Line { time, schema_version: SCHEMA_VERSION, label, event }) else {
            return;
        };
        line = zfs::text::json(line);
        line.push(b'\n');
        // One write for the whole line, so that a reader never sees half of one for longer than needed.
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            // The reader is gone; the run goes on without it.
            self.out = None;
        }
    }

    /// Whether progress is due now: not before the estimate, and not too often.
    fn due(&mut self, id: StepId, bytes: u64) -> bool {
        let now = self.clock.now();
        let Some(step) = self.steps.get_mut(&id) else { return false };
        let due = match step.told {
            _ if step.sent => false,
            Some((told, _)) => now.duration_since(told) >= INTERVAL,
            None => step.estimated || now.duration_since(step.started) >= PATIENCE,
        };
        if due {
            step.told = Some((now, bytes));
        }
        due
    }

    /// The last progress of a step says all of its bytes.
    fn last_progress(&mut self, id: StepId, bytes: u64) {
        let now = self.clock.now();
        let Some(step) = self.steps.get_mut(&id) else { return };
        step.sent = true;
        if step.told.is_none_or(|(_, told)| told != bytes) {
            step.told = Some((now, bytes));
            self.line(&Event::Progress { step: id, bytes });
        }
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step, .. } => {
                let started = self.clock.now();
                self.steps.insert(*step, Step { started, estimated: false, told: None, sent: false });
            }
            Event::StepEstimated { step, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.estimated = true;
                }
            }
            Event::Progress { step, bytes } => {
                if !self.due(*step, *bytes) {
                    return;
                }
            }
            Event::StepSent { step, bytes } => self.last_progress(*step, *bytes),
            Event::StepDone { step, bytes, .. } => {
                self.last_progress(*step, *bytes);
                self.steps.remove(step);
            }
            Event::StepFailed { step, .. } => {
                self.steps.remove(step);
            }
            Event::Connected { .. }
            | Event::Planned { .. }
            | Event::Notice { .. }
            | Event::Problem { .. }
            | Event::OnlyThere { .. }
            | Event::Destroyed { .. }
            | Event::Cleared { .. }
            | Event::DatasetFailed { .. }
            | Event::Finished(_) => {}
        }
        self.line(event);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::Value;

    use super::*;
    use crate::report::event::Summary;
    use crate::report::fake::{self, FakeClock, Page};

    fn json() -> (Json, FakeClock, Page) {
        let (clock, page) = (FakeClock::new(), Page::default());
        (Json::new(Box::new(page.clone()), Box::new(clock.clone())), clock, page)
    }

    /// The kinds of the events on the page, with the bytes of progress.
    fn kinds(page: &Page) -> Vec<String> {
        let text = page.take();
        assert!(text.is_empty() || text.ends_with('\n'));
        let kind = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            let kind = value["event"].as_str().unwrap().to_owned();
            if kind == "progress" { format!("{kind} {}", value["bytes"]) } else { kind }
        };
        text.lines().map(kind).collect()
    }

    #[test]
    fn lines_have_their_time_first() {
        let (mut json, _, page) = json();
        json.event(&fake::estimated(1, 7));
        assert_eq!(
            page.take(),
            "{\"time\":\"2026-11-22T21:57:45.250Z\",\"schema_version\":1,\"event\":\"step_estimated\",\"step\":1,\"total\":7}\n"
        );
        let failures = vec![("p/a".to_owned(), "why".to_owned())];
        json.event(&Event::Finished(Summary { failures, took: Duration::from_millis(1500), ..Summary::default() }));
        let value: Value = serde_json::from_str(&page.take()).unwrap();
        assert_eq!(value["event"], "finished");
        assert_eq!((&value["seconds"], &value["failures"][0][0]), (&Value::from(1.5), &Value::from("p/a")));
    }

    #[test]
    fn progress_is_rare_and_ends_with_all_bytes() {
        let (mut json, clock, page) = json();
        for event in [fake::started(1, "p"), fake::progress(1, 5), fake::estimated(1, 100)] {
            json.event(&event);
        }
        for tenth in 1..=25 {
            clock.pass(0.1);
            json.event(&fake::progress(1, tenth));
        }
        json.event(&fake::sent(1, 99));
        json.event(&fake::progress(1, 98));
        json.event(&fake::done(1, "p", 99));
        let expected = ["step_started", "step_estimated", "progress 1", "progress 11", "progress 21", "progress 99"];
        assert_eq!(kinds(&page), [&expected[..], &["step_sent", "step_done"]].concat());
    }

    #[test]
    fn the_quickest_step_has_progress_too() {
        let (mut json, clock, page) = json();
        for event in [fake::started(1, "p"), fake::estimated(1, 9), fake::progress(1, 9), fake::done(1, "p", 9)] {
            json.event(&event);
        }
        assert_eq!(kinds(&page), ["step_started", "step_estimated", "progress 9", "step_done"]);
        // Without an estimate progress comes late, but it comes.
        json.event(&fake::started(2, "p"));
        json.event(&fake::progress(2, 1));
        clock.pass(2.0);
        json.event(&fake::progress(2, 2));
        json.event(&fake::step_failed(2, "p", true));
        assert_eq!(kinds(&page), ["step_started", "progress 2", "step_failed"]);
    }

    #[test]
    fn a_reader_that_left_is_left_alone() {
        struct Broken(Arc<AtomicUsize>);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let writes = Arc::new(AtomicUsize::new(0));
        let mut json = Json::new(Box::new(Broken(writes.clone())), Box::new(FakeClock::new()));
        json.event(&fake::planned(1));
        json.event(&fake::planned(1));
        assert_eq!(writes.load(Ordering::Relaxed), 1);
    }
}
