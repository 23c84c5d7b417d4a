//! What is the same for many datasets is told for a few of them, and then counted: a thousand lines with one cause hide everything else.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::SKIPPED;
use crate::format::count;
use crate::report::{DatasetEnd, Event, Reporter, Summary};

/// So many datasets with the same cause are named.
const NAMED: usize = 3;
/// What lists all of them: an option of the command, or what it can write besides.
pub(in crate::report) const BY_OPTION: &str = "-v";
pub(in crate::report) const BY_LOG: &str = "a log file";

/// Passes events on, but for what repeats a cause; the end has numbers. With `verbose` only the end is shorter.
pub(in crate::report) struct CausesOnce<R> {
    to: R,
    verbose: bool,
    /// What lists what is left out here.
    by: &'static str,
    skipped: HashSet<String>,
    /// How many datasets have failed so: kind and error.
    failed: HashMap<(String, String), usize>,
    /// How many datasets have got such a notice.
    notices: BTreeMap<String, usize>,
}

impl<R> CausesOnce<R> {
    pub fn new(to: R, verbose: u8) -> Self {
        let (skipped, failed, notices) = (HashSet::new(), HashMap::new(), BTreeMap::new());
        Self { to, verbose: verbose > 0, by: BY_OPTION, skipped, failed, notices }
    }

    /// The same where something else lists them.
    pub fn listed(self, by: &'static str) -> Self {
        Self { by, ..self }
    }

    /// Whether an event says something new.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            // The last words tell of them, with the reason.
            Event::DatasetFailed { dataset, kind, .. } if kind == SKIPPED => {
                self.skipped.insert(dataset.clone());
                false
            }
            Event::DatasetFailed { kind, error, .. } => {
                let number = self.failed.entry((kind.to_string(), error.clone())).or_default();
                *number += 1;
                *number <= NAMED
            }
            Event::Notice { dataset: Some(_), text } => {
                let number = self.notices.entry(text.clone()).or_default();
                *number += 1;
                *number <= NAMED
            }
            _ => true,
        }
    }

    /// The last words about a run, with one line for each cause.
    fn in_short(&self, summary: &Summary) -> Summary {
        let hint = if self.verbose { String::new() } else { format!(" ({} lists them)", self.by) };
        let head = |error: &str| error.lines().next().unwrap_or_default().to_owned();
        let is_skipped = |name: &String| self.skipped.contains(name);
        let mut groups: HashMap<(bool, String), usize> = HashMap::new();
        for (name, error) in &summary.failures {
            *groups.entry((is_skipped(name), head(error))).or_default() += 1;
        }
        let mut line = |(name, error): &(String, String)| {
            let (skipped, head) = (is_skipped(name), head(error));
            let key = (skipped, head.clone());
            match groups.get(&key).copied()? {
                1 if skipped => Some((name.clone(), format!("{SKIPPED}: {head}"))),
                number if skipped => {
                    groups.remove(&key);
                    Some((format!("{} {SKIPPED}", count(number, "dataset")), format!("{head}{hint}")))
                }
                number if number > NAMED => {
                    groups.remove(&key);
                    Some((format!("{name} and {} more", number - 1), format!("{head}{hint}")))
                }
                _ => Some((name.clone(), error.clone())),
            }
        };
        Summary { failures: summary.failures.iter().filter_map(&mut line).collect(), ..summary.clone() }
    }
}

impl<R: Reporter> Reporter for CausesOnce<R> {
    fn event(&mut self, event: &Event) {
        let is_news = self.is_news(event);
        if let Event::Finished(summary) = event {
            for (text, number) in std::mem::take(&mut self.notices) {
                if let (false, more @ 1..) = (self.verbose, number.saturating_sub(NAMED)) {
                    let text = format!(
                        "{more} more {}: {text} ({} lists them)",
                        if more == 1 { "dataset" } else { "datasets" },
                        self.by
                    );
                    self.to.event(&Event::Notice { dataset: None, text });
                }
            }
            return self.to.event(&Event::Finished(self.in_short(summary)));
        }
        if is_news || self.verbose {
            self.to.event(event);
        }
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        self.to.ended(end);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::fake::{FakeClock, Page};
    use crate::report::lines::{Plain, Tally};

    /// What is told of datasets that have failed so (kind and error), and of some without snapshots.
    fn told(verbose: u8, failed: &[(&str, &str)], empty: usize) -> String {
        let page = Page::default();
        let plain = Plain::new(Box::new(page.clone()), Box::new(FakeClock::new()), verbose);
        let mut reporter = Tally::new(CausesOnce::new(plain, verbose));
        let mut failures = Vec::new();
        for (at, (kind, error)) in failed.iter().enumerate() {
            let (dataset, target, kind) = (format!("s/{at}"), format!("t/{at}"), (*kind).to_owned().into());
            failures.push((dataset.clone(), (*error).to_owned()));
            reporter.event(&Event::DatasetFailed { dataset, target, kind, error: (*error).to_owned() });
        }
        for at in 0..empty {
            reporter.event(&Event::Notice { dataset: Some(format!("s/n{at}")), text: "no snapshots".into() });
        }
        let (datasets, without_snapshots) = (failed.len() + empty, empty);
        let failed = failed.len();
        let took = Duration::from_secs(1);
        let summary = Summary { datasets, failed, without_snapshots, took, failures, ..Summary::default() };
        reporter.event(&Event::Finished(summary));
        page.take()
    }

    #[test]
    fn what_is_skipped_is_one_line() {
        let all: Vec<_> = std::iter::once(("failed", "no space"))
            .chain(std::iter::repeat_n(("skipped", "s/0 above it"), 1000))
            .collect();
        let last = "zfsync: 1 of 1001 datasets failed, 1000 skipped; 0 in sync; no snapshot received (1.0 s)\n  s/0: no space\n";
        assert_eq!(
            told(0, &all, 0),
            format!("s/0 -> t/0: failed: no space\n{last}  1000 datasets skipped: s/0 above it (-v lists them)\n")
        );
        let long = told(1, &all, 0);
        assert!(long.ends_with(&format!("{last}  1000 datasets skipped: s/0 above it\n")), "{long}");
        assert!(long.contains("s/1000 -> t/1000: skipped: s/0 above it\n"));
        assert!(told(0, &[("skipped", "x")], 0).ends_with("(1.0 s)\n  s/0: skipped: x\n"));
        let two = told(0, &[("skipped", "x"), ("skipped", "y"), ("skipped", "x")], 0);
        assert!(two.ends_with("(1.0 s)\n  2 datasets skipped: x (-v lists them)\n  s/1: skipped: y\n"), "{two}");
    }

    #[test]
    fn the_same_error_is_told_of_three() {
        let all = |number| vec![("failed", "no space\nfree some"); number];
        let each = |number| -> String {
            let lines = (0..number).map(|at| format!("s/{at} -> t/{at}: failed: no space\n  free some\n"));
            lines.collect::<Vec<_>>().concat()
        };
        let last =
            |number| format!("zfsync: {number} of {number} datasets failed; 0 in sync; no snapshot received (1.0 s)\n");
        assert_eq!(
            told(0, &all(3), 0),
            format!("{}{}  s/0: no space\n  s/1: no space\n  s/2: no space\n", each(3), last(3))
        );
        assert_eq!(told(0, &all(5), 0), format!("{}{}  s/0 and 4 more: no space (-v lists them)\n", each(3), last(5)));
        assert_eq!(told(1, &all(5), 0), format!("{}{}  s/0 and 4 more: no space\n", each(5), last(5)));
    }

    #[test]
    fn what_is_kept_for_later_names_what_lists_the_rest() {
        let kept = crate::report::lines::Kept::default();
        let mut reporter = crate::report::kept(Box::new(kept.clone()));
        let failures: Vec<_> = (0..5).map(|at| (format!("s/{at}"), "no space".to_owned())).collect();
        for (dataset, error) in failures.clone() {
            reporter.event(&Event::DatasetFailed { dataset, target: "t".into(), kind: "failed".into(), error });
        }
        let summary = Summary { datasets: 5, failed: 5, failures, ..Summary::default() };
        reporter.event(&Event::Finished(summary));
        let text = kept.text();
        assert!(text.ends_with("\n  s/0 and 4 more: no space (a log file lists them)\n"), "{text}");
    }

    #[test]
    fn the_same_notice_is_told_of_three() {
        let text = told(0, &[], 5);
        let start = "s/n0: no snapshots\ns/n1: no snapshots\ns/n2: no snapshots\n2 more datasets: no snapshots (-v lists them)\n";
        assert!(text.starts_with(&format!("{start}zfsync: ")), "{text}");
        let text = told(1, &[], 5);
        assert!(text.contains("s/n4: no snapshots\nzfsync: "), "{text}");
    }
}
