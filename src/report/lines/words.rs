//! The sentences that the plain lines, the bars and the quiet mode share.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::LOST;
use crate::format::{bytes, count, duration, first_line, per_second, rate, sanitise};
use crate::report::event::{Event, ResolvedConflicts, Summary, Telling};
use crate::report::look::{Colour, Look};

/// So many things that stay for the same reason are named.
const NAMED: usize = 3;

/// What the sentences need to know of where they are printed.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Words(pub Look);

impl Words {
    /// The text of events that every style but JSON and bare quiet shows alike; `None` for the others.
    pub fn always(self, event: &Event) -> Option<String> {
        match event {
            Event::Problem { text } => Some(Self::notice(None, text)),
            Event::Notice { dataset, text } => Some(Self::notice(dataset.as_deref(), text)),
            Event::StepFailed { dataset, retry: true, wait, error, .. } if !wait.is_zero() => {
                Some(self.retry(dataset, *wait, error))
            }
            Event::DatasetFailed { dataset, target, kind, error } => Some(self.failed(dataset, target, kind, error)),
            Event::OnlyThere { told: Telling::AtEnd | Telling::ByPlan, .. } => None,
            Event::OnlyThere { datasets, snapshots, listed, .. } => Some(only_there(datasets, snapshots, *listed)),
            Event::Cleared {
                datasets,
                snapshots,
                freed,
                datasets_wait,
                snapshots_wait,
                next,
                stay,
                failed,
                verbose,
            } => {
                let waiting = (*datasets_wait, *snapshots_wait, *next);
                let lines =
                    cleared(datasets, snapshots, *freed, waiting).into_iter().chain(stays(stay, failed, *verbose));
                Some(lines.collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty())
            }
            Event::Finished(summary) => Some(self.summary(summary)),
            _ => None,
        }
    }

    /// `connected in 0.5 s: zfsync 0.1.0, OpenZFS 2.3.9`
    pub fn connected(helper: &str, took: Duration) -> String {
        format!("connected in {}: {}", duration(took), first_line(helper))
    }

    /// `destroyed or moved on beta (--rollback): q/x@a`
    pub fn destroyed(host: Option<&str>, names: &[String], rule: &str) -> String {
        let host = host.map_or(String::new(), |host| format!(" on {host}"));
        let text = format!("destroyed or moved{host} ({rule}): {}", names.join(", "));
        sanitise(&text).into_owned()
    }

    /// `31 datasets, 19 in sync, 12 steps to do`
    pub fn planned(datasets: usize, in_sync: usize, steps: usize) -> String {
        format!("{}, {in_sync} in sync, {} to do", count(datasets, "dataset"), count(steps, "step"))
    }

    /// `pool/a: @old -> @new, 3 snapshots`
    pub fn started(dataset: &str, from: Option<&str>, to: &str, snapshots: usize) -> String {
        let from = from.map_or("full", |from| from);
        sanitise(&format!("{dataset}: {from} -> @{to}, {}", count(snapshots, "snapshot"))).into_owned()
    }

    /// `pool/a: received @new, 3 snapshots, 1.21 GiB in 12.3 s (100.8 MiB/s)`
    pub fn done(dataset: &str, to: &str, snapshots: usize, sent: u64, took: Duration) -> String {
        let volume = volume(sent, took);
        sanitise(&format!("{dataset}: received @{to}, {}, {volume}", count(snapshots, "snapshot"))).into_owned()
    }

    /// A step that is tried again.
    fn retry(self, dataset: &str, wait: Duration, error: &str) -> String {
        let head = self.0.paint(Colour::Yellow, &format!("interrupted, retrying in {}", duration(wait)));
        format!("{}: {head}: {}", sanitise(dataset), first_line(error))
    }

    /// A step that the target has refused and that is planned anew at once: a part of the work, and no news unless more is asked for.
    /// What comes of it is told anyway.
    pub fn planned_anew(event: &Event) -> Option<String> {
        match event {
            Event::StepFailed { dataset, retry: true, wait, error, .. } if wait.is_zero() => {
                let (dataset, error) = (sanitise(dataset), first_line(error));
                Some(format!("{dataset}: refused, listing the target to plan anew: {error}"))
            }
            _ => None,
        }
    }

    /// A notice about a dataset or about the run.
    pub fn notice(dataset: Option<&str>, text: &str) -> String {
        let text = indented(text);
        dataset.map_or_else(|| text.clone(), |dataset| format!("{}: {text}", sanitise(dataset)))
    }

    /// A dataset that can't be brought in sync, with all that is known about why.
    pub fn failed(self, dataset: &str, target: &str, kind: &str, error: &str) -> String {
        // It counts as failed at the end.
        let kind = if kind == LOST { "failed" } else { kind };
        let kind = self.0.paint(Colour::Red, kind);
        let (dataset, target) = (sanitise(dataset), sanitise(target));
        format!("{dataset} -> {target}: {kind}: {}", indented(error))
    }

    /// The last words about a run, without a line break at the end.
    pub fn summary(self, summary: &Summary) -> String {
        let mut text = format!("zfsync: {}", self.outcome(summary));
        for (dataset, error) in &summary.failures {
            let _ = write!(text, "\n  {}: {}", sanitise(dataset), first_line(error));
        }
        text
    }

    fn outcome(self, summary: &Summary) -> String {
        let idle = summary.snapshots == 0 && summary.bytes == 0;
        let arrived = format!("{}, {}", count(summary.snapshots, "snapshot"), volume(summary.bytes, summary.took));
        let took = duration(summary.took);
        let all = count(summary.datasets, "dataset");
        if summary.failed > 0 {
            let stopped = if summary.interrupted { " and the run was interrupted" } else { "" };
            let what = not_in_sync(summary);
            let head = self.0.paint(Colour::Red, &format!("{what}{stopped}"));
            let rest = if idle { format!("no snapshot received ({took})") } else { arrived };
            return format!("{head}; {} in sync{}; {rest}", summary.in_sync, details(summary));
        }
        if let Some(why) = &summary.nothing {
            let (head, rest) = why.split_once('\n').unwrap_or((why, ""));
            return format!("{} ({took})\n{}", self.0.paint(Colour::Red, &sanitise(head)), sanitise(rest))
                .trim_end()
                .to_owned();
        }
        if summary.interrupted {
            let head = self.0.paint(Colour::Yellow, &format!("interrupted after {took}"));
            let mut rest = if idle { "no snapshot received".to_owned() } else { arrived };
            if summary.kept > 0 {
                let _ = write!(rest, "; {} partially received and kept", bytes(summary.kept));
            }
            let next = "the next run continues";
            return format!("{head}: {} of {all} in sync{}; {rest}; {next}", summary.in_sync, details(summary));
        }
        let in_sync = format!("{} in sync{}", count(summary.in_sync, "dataset"), details(summary));
        if let Some(why) = &summary.withheld {
            let why = self.0.paint(Colour::Red, why);
            let done = destroyed_there(summary.destroyed).map_or(String::new(), |done| format!(", {done}"));
            let rest = if idle { format!(" ({took})") } else { format!("; {arrived}") };
            return format!("{in_sync}{done}; {why}{rest}");
        }
        if idle && summary.updated == 0 {
            let done = destroyed_there(summary.destroyed).unwrap_or_else(|| "nothing to do".to_owned());
            format!("{in_sync}, {done} ({took})")
        } else {
            format!("{in_sync}, {arrived}")
        }
    }
}

/// What only the target has: how much, or (where it was `listed`) all of it.
fn only_there(datasets: &[String], snapshots: &[(String, Vec<String>)], listed: bool) -> String {
    let mut what = Vec::new();
    if !datasets.is_empty() {
        what.push(count(datasets.len(), "dataset"));
    }
    let number: usize = snapshots.iter().map(|(_, names)| names.len()).sum();
    if number > 0 {
        what.push(count(number, "snapshot"));
    }
    let mut text = format!("zfsync: only on the target: {}", what.join(", "));
    if !listed {
        text.push_str(" (-v lists them)");
    }
    for name in datasets.iter().filter(|_| listed) {
        let _ = write!(text, "\n  {}", sanitise(name));
    }
    for (dataset, names) in snapshots {
        let names: Vec<String> = names.iter().map(|name| format!("@{name}")).collect();
        let _ = write!(text, "\n  {}: {}", sanitise(dataset), sanitise(&names.join(", ")));
    }
    text
}

/// What was cleared away, and what will be; nothing where there is nothing.
fn cleared(
    datasets: &[String],
    snapshots: &[String],
    freed: u64,
    (datasets_wait, snapshots_wait, next): (usize, usize, Option<i64>),
) -> Vec<String> {
    let some = |number: usize, what: &str| (number > 0).then(|| count(number, what));
    let listed = |parts: [Option<String>; 2]| parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if !datasets.is_empty() || !snapshots.is_empty() {
        let freed = some(snapshots.len(), "snapshot").map(|snapshots| format!("{snapshots} ({})", bytes(freed)));
        let what = listed([some(datasets.len(), "dataset"), freed]);
        lines.push(format!("zfsync: destroyed on the target, as they no longer exist on the source: {what}"));
        lines.extend(datasets.iter().chain(snapshots).map(|name| format!("  {}", sanitise(name))));
    }
    if datasets_wait > 0 || snapshots_wait > 0 {
        let what = listed([some(datasets_wait, "dataset"), some(snapshots_wait, "snapshot")]);
        let when = next.and_then(|next| jiff::Timestamp::from_second(next).ok());
        let when = when.map(|when| format!("; the first is due after {}", when.strftime("%Y-%m-%d %H:%M UTC")));
        lines.push(format!("zfsync: missing on the source for less than --grace: {what}{}", when.unwrap_or_default()));
    }
    lines
}

/// What the source has no more and stays all the same.
fn stays(stay: &[(String, String)], failed: &[(String, String)], verbose: bool) -> Vec<String> {
    let line =
        |(name, why): &(String, String)| format!("zfsync: {} is kept on the target: {}", sanitise(name), indented(why));
    let mut lines: Vec<String> = Vec::new();
    // The same cause is told of a few.
    let mut told: HashMap<&str, usize> = HashMap::new();
    for (at, one) in failed.iter().enumerate() {
        let number = told.entry(&one.1).or_default();
        *number += 1;
        if *number <= NAMED || verbose {
            lines.push(line(one));
        } else if !failed[at + 1..].iter().any(|(_, why)| *why == one.1) {
            let (more, why) = (*number - NAMED, indented(&one.1));
            lines.push(format!(
                "zfsync: {more} more {} kept on the target: {why}",
                if more == 1 { "is" } else { "are" }
            ));
        }
    }
    if verbose {
        lines.extend(stay.iter().map(line));
    } else if !stay.is_empty() {
        let (what, are) = (count(stay.len(), "item"), if stay.len() == 1 { "is" } else { "are" });
        lines.push(format!("zfsync: {what} that only the target has {are} kept (-v shows why)"));
    }
    lines
}

/// `1 of 7 datasets in conflict, 6 skipped`
fn not_in_sync(summary: &Summary) -> String {
    let Summary { datasets, failed, conflicts, skipped, .. } = *summary;
    let failed = failed.saturating_sub(conflicts + skipped);
    let parts = [(failed, "failed"), (conflicts, "in conflict"), (skipped, "skipped")];
    let mut parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let (first, what) = parts.next().unwrap_or((0, "failed"));
    let of_all = format!("{first} of {} {what}", count(datasets, "dataset"));
    parts.fold(of_all, |text, (number, what)| format!("{text}, {number} {what}"))
}

/// `1 dataset and 3 snapshots destroyed on the target`
fn destroyed_there((datasets, snapshots): (usize, usize)) -> Option<String> {
    let what = match (count(datasets, "dataset"), count(snapshots, "snapshot")) {
        _ if (datasets, snapshots) == (0, 0) => return None,
        (datasets, _) if snapshots == 0 => datasets,
        (_, snapshots) if datasets == 0 => snapshots,
        (datasets, snapshots) => format!("{datasets} and {snapshots}"),
    };
    Some(format!("{what} destroyed on the target"))
}

/// ` (12 updated, 1 without snapshots), 1 set aside`, or nothing
fn details(summary: &Summary) -> String {
    let mut extra = Vec::new();
    if summary.updated > 0 {
        extra.push(format!("{} updated", summary.updated));
    }
    if summary.without_snapshots > 0 {
        extra.push(format!("{} without snapshots", summary.without_snapshots));
    }
    let extra = if extra.is_empty() { String::new() } else { format!(" ({})", extra.join(", ")) };
    let ResolvedConflicts { rolled_back, set_aside, replaced } = summary.resolved;
    [(rolled_back, "rolled back"), (set_aside, "set aside"), (replaced, "replaced")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .fold(extra, |text, (number, what)| format!("{text}, {number} {what}"))
}

/// `1.21 GiB in 12.3 s (100.8 MiB/s)`
fn volume(sent: u64, took: Duration) -> String {
    format!("{} in {} ({})", bytes(sent), duration(took), rate(per_second(sent, took)))
}

/// Text of several lines, made harmless, with all but the first line indented.
fn indented(text: &str) -> String {
    sanitise(text.trim()).replace('\n', "\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Words = Words(Look { colour: false, utf8: false });

    fn summary() -> Summary {
        Summary { datasets: 31, in_sync: 31, took: Duration::from_millis(12_300), ..Summary::default() }
    }

    fn busy() -> Summary {
        Summary { updated: 12, snapshots: 24, bytes: 1_299_227_607, ..summary() }
    }

    #[test]
    fn a_good_run() {
        let run = Summary { without_snapshots: 1, ..busy() };
        assert_eq!(
            ASCII.summary(&run),
            "zfsync: 31 datasets in sync (12 updated, 1 without snapshots), 24 snapshots, 1.21 GiB in 12.3 s (100.7 MiB/s)"
        );
    }

    #[test]
    fn nothing_to_do() {
        let run = Summary { took: Duration::from_millis(810), ..summary() };
        assert_eq!(ASCII.summary(&run), "zfsync: 31 datasets in sync, nothing to do (0.8 s)");
        let one = Summary { datasets: 1, in_sync: 1, ..run.clone() };
        assert_eq!(ASCII.summary(&one), "zfsync: 1 dataset in sync, nothing to do (0.8 s)");
        for (destroyed, words) in
            [((1, 0), "1 dataset"), ((0, 2), "2 snapshots"), ((2, 1), "2 datasets and 1 snapshot")]
        {
            let text = ASCII.summary(&Summary { destroyed, ..run.clone() });
            assert_eq!(text, format!("zfsync: 31 datasets in sync, {words} destroyed on the target (0.8 s)"));
        }
    }

    #[test]
    fn failures_are_listed() {
        let failures = vec![("p/a".into(), "no common snapshot\nmore".into()), ("p/b".into(), "\u{1b}[2J".into())];
        let run = Summary { in_sync: 29, failed: 2, failures, ..busy() };
        let text = "zfsync: 2 of 31 datasets failed; 29 in sync (12 updated); \
                    24 snapshots, 1.21 GiB in 12.3 s (100.7 MiB/s)\n  p/a: no common snapshot\n  p/b: \\u{1b}[2J";
        assert_eq!(ASCII.summary(&run), text);
        let text = ASCII.summary(&Summary { conflicts: 2, failures: Vec::new(), ..run.clone() });
        assert!(text.starts_with("zfsync: 2 of 31 datasets in conflict; 29 in sync"), "{text}");
        let text = ASCII.summary(&Summary { conflicts: 1, ..run.clone() });
        assert!(text.starts_with("zfsync: 1 of 31 datasets failed, 1 in conflict; 29 in sync"), "{text}");
        let text = ASCII.summary(&Summary { failed: 9, conflicts: 1, skipped: 8, ..run });
        assert!(text.starts_with("zfsync: 1 of 31 datasets in conflict, 8 skipped; 29 in sync"), "{text}");
        let run = Summary { datasets: 1, in_sync: 0, failed: 1, interrupted: true, ..summary() };
        let text =
            "zfsync: 1 of 1 dataset failed and the run was interrupted; 0 in sync; no snapshot received (12.3 s)";
        assert_eq!(ASCII.summary(&run), text);
    }

    #[test]
    fn a_run_over_nothing_is_no_success() {
        let nothing = Some("nothing to replicate: why\n  what to do".to_owned());
        let run = Summary { datasets: 1, in_sync: 0, without_snapshots: 1, nothing, ..summary() };
        assert_eq!(ASCII.summary(&run), "zfsync: nothing to replicate: why (12.3 s)\n  what to do");
    }

    #[test]
    fn the_last_words_tell_of_resolutions_and_of_what_is_withheld() {
        let resolved = ResolvedConflicts { set_aside: 2, replaced: 1, ..ResolvedConflicts::default() };
        let run = Summary { resolved, ..busy() };
        assert_eq!(
            ASCII.summary(&run),
            "zfsync: 31 datasets in sync (12 updated), 2 set aside, 1 replaced, 24 snapshots, 1.21 GiB in 12.3 s (100.7 MiB/s)"
        );
        let resolved = ResolvedConflicts { rolled_back: 1, ..ResolvedConflicts::default() };
        let run = Summary { datasets: 1, in_sync: 0, failed: 1, resolved, ..summary() };
        let text = "zfsync: 1 of 1 dataset failed; 0 in sync, 1 rolled back; no snapshot received (12.3 s)";
        assert_eq!(ASCII.summary(&run), text);
        let run = Summary { withheld: Some("3 not destroyed: more than --max-delete".into()), ..summary() };
        let text = "zfsync: 31 datasets in sync; 3 not destroyed: more than --max-delete (12.3 s)";
        assert_eq!(ASCII.summary(&run), text);
        let withheld = Some("1 could not be destroyed on the target".into());
        let run = Summary { withheld, destroyed: (2, 0), ..busy() };
        assert_eq!(
            ASCII.summary(&run),
            "zfsync: 31 datasets in sync (12 updated), 2 datasets destroyed on the target; 1 could not be destroyed on the target; \
             24 snapshots, 1.21 GiB in 12.3 s (100.7 MiB/s)"
        );
    }

    #[test]
    fn an_interrupted_run_says_so() {
        let run = Summary { datasets: 1, in_sync: 0, interrupted: true, kept: 40 << 20, ..summary() };
        let text = "zfsync: interrupted after 12.3 s: 0 of 1 dataset in sync; no snapshot received; \
                    40.0 MiB partially received and kept; the next run continues";
        assert_eq!(ASCII.summary(&run), text);
        let run = Summary { in_sync: 5, updated: 4, interrupted: true, ..busy() };
        let text = "zfsync: interrupted after 12.3 s: 5 of 31 datasets in sync (4 updated); \
                    24 snapshots, 1.21 GiB in 12.3 s (100.7 MiB/s); the next run continues";
        assert_eq!(ASCII.summary(&run), text);
    }

    #[test]
    fn what_only_the_target_has() {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            only_there(&own(&["q/x", "q/y"]), &[], false),
            "zfsync: only on the target: 2 datasets (-v lists them)"
        );
        assert_eq!(
            only_there(&own(&["q/x"]), &[("q/a".into(), own(&["s 1", "s2"]))], true),
            "zfsync: only on the target: 1 dataset, 2 snapshots\n  q/x\n  q/a: @s 1, @s2"
        );
        assert_eq!(cleared(&[], &[], 0, (0, 0, None)), [""; 0]);
        let stay = [("q/z".to_owned(), "it is held".to_owned())];
        assert_eq!(stays(&stay, &[], false), ["zfsync: 1 item that only the target has is kept (-v shows why)"]);
        assert_eq!(stays(&[], &stay, false), stays(&stay, &[], true));
        let held: Vec<(String, String)> = (0..5).map(|at| (format!("q/{at}"), "it is held".to_owned())).collect();
        assert_eq!(
            stays(&[], &held, false)[2..],
            ["zfsync: q/2 is kept on the target: it is held", "zfsync: 2 more are kept on the target: it is held"]
        );
        assert_eq!(stays(&[], &held, true).len(), 5);
        assert_eq!(stays(&stay, &[], true), ["zfsync: q/z is kept on the target: it is held"]);
        assert_eq!(
            cleared(&own(&["q/x"]), &own(&["q/a@s"]), 2048, (0, 3, Some(1_700_000_000))).join("\n"),
            "zfsync: destroyed on the target, as they no longer exist on the source: 1 dataset, 1 snapshot (2.00 KiB)\n  q/x\n  q/a@s\n\
             zfsync: missing on the source for less than --grace: 3 snapshots; the first is due after 2023-11-14 22:13 UTC"
        );
    }

    #[test]
    fn failures_keep_their_lines() {
        let text = ASCII.failed("p/a", "q/a", "failed", "zfs recv:\ncannot receive\u{7}\n");
        assert_eq!(text, "p/a -> q/a: failed: zfs recv:\n  cannot receive\\u{7}");
        let red = Words(Look { colour: true, utf8: true }).failed("p/a", "q/a", "conflict", "x");
        assert_eq!(red, "p/a -> q/a: \x1b[31mconflict\x1b[0m: x");
    }
}
