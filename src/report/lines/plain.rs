//! Lines on stderr where no terminal is, and the mode that only speaks when something is wrong.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use super::words::Words;
use crate::format::{bytes, duration, percent, rate, sanitise};
use crate::plan::StepId;
use crate::report::event::Event;
use crate::report::look::Look;
use crate::report::track::{Running, Track};
use crate::report::{Clock, Reporter};

/// How often a running step gets a line.
const INTERVAL: Duration = Duration::from_secs(30);

/// A log is read anywhere: ASCII, no colours.
const WORDS: Words = Words(Look { colour: false, utf8: false });

/// One line for each thing that happens, and now and then one for each running step.
pub(in crate::report) struct Plain {
    out: Box<dyn Write + Send>,
    clock: Box<dyn Clock>,
    verbose: u8,
    track: Track,
    /// When each running step had its last line.
    told: BTreeMap<StepId, Instant>,
}

impl Plain {
    pub fn new(out: Box<dyn Write + Send>, clock: Box<dyn Clock>, verbose: u8) -> Self {
        let track = Track::new(clock.now());
        Self { out, clock, verbose, track, told: BTreeMap::new() }
    }

    fn line(&mut self, text: &str) {
        // Nobody is left to be told that the log is gone.
        let _ = writeln!(self.out, "{text}");
    }

    /// A line for each running step that had none for a while, also for those that stand still.
    fn tell_running(&mut self, now: Instant) {
        let due: Vec<String> = self
            .told
            .iter_mut()
            .filter(|(_, told)| now.duration_since(**told) >= INTERVAL)
            .filter_map(|(step, told)| {
                *told = now;
                self.track.running.get(step).map(|running| state(running, now))
            })
            .collect();
        for line in due {
            self.line(&line);
        }
    }

    /// The line for an event, if it deserves one.
    fn words(&self, event: &Event) -> Option<String> {
        match event {
            Event::Connected { helper, took, .. } if self.verbose > 0 => {
                Some(format!("zfsync: {}", Words::connected(helper, *took)))
            }
            Event::Planned { datasets, in_sync, steps } if *steps > 0 => {
                Some(format!("zfsync: {}", Words::planned(*datasets, *in_sync, *steps)))
            }
            Event::StepStarted { dataset, from, resumed, to, snapshots, .. } => {
                let from = if *resumed { Some("resumed stream") } else { from.as_deref() };
                Some(Words::started(dataset, from, to, *snapshots))
            }
            Event::StepDone { dataset, to, snapshots, bytes, took, .. } => {
                Some(Words::done(dataset, to, *snapshots, *bytes, *took))
            }
            Event::Destroyed { host, names, rule } if self.verbose > 0 => {
                Some(Words::destroyed(host.as_deref(), names, rule))
            }
            event => WORDS.always(event).or_else(|| Words::planned_anew(event).filter(|_| self.verbose > 0)),
        }
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        let now = self.clock.now();
        self.track.event(event, now);
        if let Event::StepStarted { step, .. } = event {
            self.told.insert(*step, now);
        }
        self.told.retain(|step, _| self.track.running.contains_key(step));
        if let Some(text) = self.words(event) {
            self.line(&text);
        }
        self.tell_running(now);
    }
}

/// `pool/a: 512 MiB of about 1.00 GiB (50 %), 34.1 MiB/s`
fn state(step: &Running, now: Instant) -> String {
    let sent = bytes(step.bytes);
    let text = match (step.sent, step.total) {
        (Some(since), _) => {
            format!("{sent} sent, the receiver has been finishing for {}", duration(now.duration_since(since)))
        }
        (None, Some(total)) => {
            let eta = step.eta(now).map_or(String::new(), |eta| format!(", {} left", duration(eta)));
            let percent = percent(step.bytes, total);
            format!("{sent} of about {} ({percent} %), {}{eta}", bytes(total), rate(step.rate(now)))
        }
        (None, None) => format!("{sent}, {}", rate(step.rate(now))),
    };
    format!("{}: {text}", sanitise(&step.dataset))
}

/// Failures only.
pub(in crate::report) struct Quiet {
    out: Box<dyn Write + Send>,
}

impl Quiet {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }
}

impl Reporter for Quiet {
    fn event(&mut self, event: &Event) {
        let wanted = match event {
            Event::DatasetFailed { .. } | Event::Problem { .. } => true,
            Event::Cleared { failed, .. } => !failed.is_empty(),
            Event::Finished(summary) => summary.failed > 0 || summary.interrupted || summary.nothing.is_some(),
            _ => false,
        };
        if let (true, Some(text)) = (wanted, WORDS.always(event)) {
            let _ = writeln!(self.out, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::Summary;
    use crate::report::fake::{self, FakeClock, Page};

    const MIB: u64 = 1 << 20;

    fn plain(verbose: u8) -> (Plain, FakeClock, Page) {
        let (clock, page) = (FakeClock::new(), Page::default());
        (Plain::new(Box::new(page.clone()), Box::new(clock.clone()), verbose), clock, page)
    }

    #[test]
    fn a_run_in_lines() {
        let (mut plain, clock, page) = plain(0);
        plain.event(&Event::Connected { host: None, helper: "zfsync 1".into(), took: Duration::from_secs(1) });
        assert_eq!(page.take(), "");
        for event in
            [fake::planned(2), fake::notice(Some("p/z")), fake::started(1, "p/a"), fake::estimated(1, 100 * MIB)]
        {
            plain.event(&event);
        }
        let text = "zfsync: 9 datasets, 7 in sync, 2 steps to do\np/z: no snapshots\np/a: @old -> @new, 2 snapshots\n";
        assert_eq!(page.take(), text);
        for second in 1..=65_u64 {
            clock.pass(1.0);
            plain.event(&fake::progress(1, second * MIB));
        }
        let text = "p/a: 30.0 MiB of about 100.0 MiB (30 %), 1.00 MiB/s, 1 min 10 s left\n\
                    p/a: 60.0 MiB of about 100.0 MiB (60 %), 1.00 MiB/s, 40.0 s left\n";
        assert_eq!(page.take(), text);
        plain.event(&fake::sent(1, 101 * MIB));
        clock.pass(30.0);
        // Any event makes the silent steps speak.
        plain.event(&fake::started(2, "p/b"));
        let text = "p/b: @old -> @new, 2 snapshots\np/a: 101.0 MiB sent, the receiver has been finishing for 30.0 s\n";
        assert_eq!(page.take(), text);
        plain.event(&fake::done(1, "p/a", 101 * MIB));
        assert_eq!(page.take(), "p/a: received @new, 2 snapshots, 101.0 MiB in 2.0 s (50.5 MiB/s)\n");
        clock.pass(30.0);
        plain.event(&fake::progress(2, 0));
        assert_eq!(page.take(), "p/b: 0 B, 0 B/s\n");
        plain.event(&Event::Finished(Summary { datasets: 9, in_sync: 9, ..Summary::default() }));
        assert_eq!(page.take(), "zfsync: 9 datasets in sync, nothing to do (0.0 s)\n");
    }

    #[test]
    fn failures_in_full() {
        let (mut plain, _, page) = plain(1);
        plain.event(&fake::started(1, "p/a"));
        page.take();
        plain.event(&fake::step_failed(1, "p/a", true));
        assert_eq!(page.take(), "p/a: interrupted, retrying in 2.0 s: ssh: broken pipe\n");
        plain.event(&fake::step_failed(1, "p/a", false));
        assert_eq!(page.take(), "");
        plain.event(&fake::dataset_failed("p/a"));
        assert_eq!(page.take(), "p/a -> q/x: conflict: no common snapshot\n  only on the source: @a\n");
    }

    #[test]
    fn what_is_planned_anew_is_told_where_more_is_asked_for() {
        let mut refused = fake::step_failed(1, "p/a", true);
        if let Event::StepFailed { wait, .. } = &mut refused {
            *wait = Duration::ZERO;
        }
        for (verbose, told) in [(0, ""), (1, "p/a: refused, listing the target to plan anew: ssh: broken pipe\n")] {
            let (mut plain, _, page) = plain(verbose);
            plain.event(&refused);
            assert_eq!(page.take(), told);
        }
    }

    #[test]
    fn quiet_speaks_of_failures_only() {
        let page = Page::default();
        let mut quiet = Quiet::new(Box::new(page.clone()));
        for event in [fake::planned(1), fake::started(1, "p"), fake::notice(None), fake::done(1, "p", 1)] {
            quiet.event(&event);
        }
        quiet.event(&Event::Finished(Summary::default()));
        assert_eq!(page.take(), "");
        quiet.event(&Event::Problem { text: "too much would go:\n  p/a".to_owned() });
        assert_eq!(page.take(), "too much would go:\n    p/a\n");
        quiet.event(&fake::dataset_failed("p/a"));
        assert_eq!(page.take(), "p/a -> q/x: conflict: no common snapshot\n  only on the source: @a\n");
        quiet.event(&Event::Finished(Summary { datasets: 1, failed: 1, ..Summary::default() }));
        assert!(page.take().starts_with("zfsync: 1 of 1 dataset failed"));
    }
}
