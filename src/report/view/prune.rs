//! What a prune tells: a list of what goes, and a line for each side.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;

use crate::error::Exit;
use crate::format::{bytes, count, sanitise};
use crate::plan::Cut;
use crate::report::lines::Grants;
use zfs::host::NEEDED_FURTHER;
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::{Failure, Pruned};

/// So many names of each kind are told unless more is asked for.
const SHOWN: usize = 3;

/// All that a prune did, or would do.
#[derive(Debug)]
pub struct PruneReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Whether any dataset was selected.
    pub selected: bool,
    /// Globs that match nothing.
    pub idle: Vec<String>,
    /// The rules, as on the command line.
    pub rule: String,
    /// Each tree.
    pub sides: Vec<PrunedSide>,
}

/// One tree of a prune.
#[derive(Debug)]
pub struct PrunedSide {
    host: Option<String>,
    top: DatasetName,
    cuts: Vec<Cut>,
    /// Those of which something has been destroyed, or would be.
    datasets: BTreeSet<DatasetName>,
    destroyed: usize,
    freed: u64,
    /// Full names, and why they stay.
    pinned: Vec<(String, String)>,
    failures: Vec<(DatasetName, String)>,
    /// Whether there are copies in it.
    has_copies: bool,
}

impl PrunedSide {
    /// What came of these cuts, by the portions in which they were carried out.
    pub fn new(
        host: Option<String>,
        top: DatasetName,
        cuts: Vec<Cut>,
        done: impl Iterator<Item = ((DatasetName, Vec<(SnapshotName, Guid)>), Result<Pruned, Failure>)>,
    ) -> Self {
        let (datasets, pinned, failures) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut side = Self { host, top, cuts, datasets, destroyed: 0, freed: 0, pinned, failures, has_copies: true };
        for ((dataset, _), result) in done {
            match result {
                Ok(pruned) => {
                    side.destroyed += pruned.destroyed;
                    side.freed = side.freed.saturating_add(pruned.freed);
                    let pinned = pruned.pinned.into_iter();
                    side.pinned.extend(pinned.map(|(name, why)| (dataset.at(name.as_str()), why)));
                    if pruned.destroyed > 0 {
                        side.datasets.insert(dataset);
                    }
                }
                Err(failure) => side.failures.push((dataset, failure.words)),
            }
        }
        side
    }

    fn label(&self, name: &str) -> String {
        match &self.host {
            Some(host) => format!("{host}:{name}"),
            None => name.to_owned(),
        }
    }

    /// The full names of what goes, but for what is pinned or failed.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let pinned: HashSet<&str> = self.pinned.iter().map(|(name, _)| name.as_str()).collect();
        let cuts = self.cuts.iter().filter(|cut| self.failures.iter().all(|(dataset, _)| *dataset != cut.dataset));
        cuts.flat_map(|cut| cut.goes.iter().map(|(name, _)| cut.dataset.at(name.as_str())))
            .filter(move |name| !pinned.contains(name.as_str()))
            .map(|name| self.label(&name))
    }

    /// What no rule counts, as it says that it will be made later.
    fn ahead(&self, verbose: u8) -> Vec<String> {
        let names = self.cuts.iter().flat_map(|cut| cut.ahead.iter().map(|name| cut.dataset.at(name.as_str())));
        let names: Vec<String> = names.collect();
        let shown = if verbose > 0 { usize::MAX } else { SHOWN };
        let line =
            |name: &String| format!("{} is kept: it is dated in the future, and counts for no rule", self.label(name));
        let mut lines: Vec<String> = names.iter().take(shown).map(line).collect();
        if names.len() > shown {
            lines.push(format!("and {} more (-v)", names.len() - shown));
        }
        if !names.is_empty() {
            lines.push("is the clock right? Are the names in local time (--local-time)?".into());
        }
        lines
    }

    /// The same of a source, which may have no copies in it.
    #[must_use]
    pub fn with_copies(self, has_copies: bool) -> Self {
        Self { has_copies, ..self }
    }

    /// Those that stay for targets of this copy.
    fn further(&self) -> impl Iterator<Item = &(String, String)> {
        self.pinned.iter().filter(|(_, why)| why.starts_with(NEEDED_FURTHER))
    }

    /// Why they stay; each of them where more is asked for.
    fn kept(&self, verbose: u8) -> Vec<String> {
        let each = self.pinned.iter().filter(|(_, why)| verbose > 0 || !why.starts_with(NEEDED_FURTHER));
        let mut lines: Vec<String> =
            each.map(|(name, why)| format!("{} is kept: {}", self.label(name), sanitise(why))).collect();
        lines.extend(self.further_in_words());
        lines.extend(self.received_in_words());
        lines
    }

    /// That some stay as this is a copy itself.
    fn received_in_words(&self) -> Option<String> {
        let what = match self.cuts.iter().map(|cut| cut.received).sum::<usize>() {
            0 => return None,
            1 => "1 snapshot is".to_owned(),
            more => format!("{more} snapshots are"),
        };
        let top = &self.top;
        Some(format!(
            "{what} kept: the source of this copy may continue from there; if it no longer exists: zfs inherit -r zfsync:received '{top}'"
        ))
    }

    /// That some stay for targets of this copy.
    fn further_in_words(&self) -> Option<String> {
        let what = match self.further().count() {
            0 => return None,
            1 => "1 snapshot is".to_owned(),
            more => format!("{more} snapshots are"),
        };
        let top = self.label(self.top.as_str());
        Some(format!(
            "{what} kept: targets of this copy may need them: zfsync targets {top} names these targets; if one no longer exists: zfsync \
             forget {top} TARGET"
        ))
    }

    fn summary(&self, dry_run: bool, rule: &str) -> String {
        let sum = |number: fn(&Cut) -> usize| self.cuts.iter().map(number).sum::<usize>();
        let mut text = format!("{}: ", self.label(self.top.as_str()));
        let what = format!("{} of {}", count(self.destroyed, "snapshot"), count(self.datasets.len(), "dataset"));
        let _ = match (self.destroyed, dry_run) {
            (0, true) => write!(text, "nothing would be destroyed"),
            (0, false) => write!(text, "nothing to destroy"),
            (_, true) => write!(text, "{what} would be destroyed and {} freed ({rule})", bytes(self.freed)),
            (_, false) => write!(text, "{what} destroyed, {} freed", bytes(self.freed)),
        };
        let stay = [
            (sum(|cut| cut.by_rule), "by the rules"),
            (sum(|cut| cut.ahead.len()), "dated in the future"),
            (sum(|cut| cut.out_of_scope), "not taken by zfsync (--foreign includes them)"),
            (sum(|cut| cut.needed), "still needed"),
            (self.further().count(), "that its own targets may need"),
            (sum(|cut| cut.received), "that its own source may need"),
            (self.pinned.len() - self.further().count(), "held, cloned or busy"),
        ];
        let stay: Vec<String> = stay.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} {why}")).collect();
        if !stay.is_empty() {
            let _ = write!(text, "; kept: {}", stay.join(", "));
        }
        text
    }
}

impl PruneReport {
    /// Whether something could not be done.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.selected || self.sides.iter().any(|side| !side.failures.is_empty())
    }

    /// The exit code that it deserves.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.failed() { Exit::Failed } else { Exit::InSync }
    }

    /// Whether copies were pruned.
    #[must_use]
    pub fn has_copies(&self) -> bool {
        self.sides.iter().any(|side| side.has_copies)
    }

    /// That copies keep snapshots for targets of their own.
    #[must_use]
    pub fn further(&self) -> Option<String> {
        let words = self.sides.iter().flat_map(|side| [side.further_in_words(), side.received_in_words()]);
        let words: Vec<String> = words.flatten().collect();
        (!words.is_empty()).then(|| words.join("\n"))
    }

    /// What there is to say, tree by tree: the list for stdout (in a dry run, or when asked for more), and the rest for stderr.
    #[must_use]
    pub fn told(&self, verbose: u8, quiet: bool) -> Vec<(String, String)> {
        let mut told: Vec<_> = self.sides.iter().map(|side| self.side(side, verbose, quiet)).collect();
        if !self.selected {
            let words = "zfsync: error: nothing to prune: no dataset is selected; check --include and --exclude\n";
            told.insert(0, (String::new(), words.into()));
        }
        // What runs again and again says nothing of that each time.
        if (self.dry_run || verbose > 0) && !quiet && !self.idle.is_empty() {
            let mut lines = String::new();
            for idle in &self.idle {
                let _ = writeln!(lines, "zfsync: {}", sanitise(idle));
            }
            told.insert(0, (String::new(), lines));
        }
        told
    }

    fn side(&self, side: &PrunedSide, verbose: u8, quiet: bool) -> (String, String) {
        let (mut list, mut words) = (String::new(), String::new());
        if self.dry_run || verbose > 0 {
            for name in side.names() {
                let _ = writeln!(list, "{name}");
            }
        }
        if !quiet {
            let _ = writeln!(words, "zfsync: {}", side.summary(self.dry_run, &self.rule));
            for line in side.kept(verbose) {
                let _ = writeln!(words, "  {line}");
            }
            for line in side.ahead(verbose) {
                let _ = writeln!(words, "  {line}");
            }
            let needed_by: BTreeSet<&String> = side.cuts.iter().flat_map(|cut| &cut.needed_by).collect();
            // A line that says how many more is no shorter than one that names the only one.
            let shown = if verbose > 0 || needed_by.len() == SHOWN + 1 { needed_by.len() } else { SHOWN };
            for who in needed_by.iter().take(shown) {
                let _ = writeln!(words, "  needed by {who}");
            }
            if needed_by.len() > shown {
                let _ = writeln!(words, "  needed by {} more (-v)", needed_by.len() - shown);
            }
        }
        let mut grants = Grants::default();
        for (dataset, why) in &side.failures {
            let why = grants.take_from(why).map_or(Cow::Borrowed(why.as_str()), Cow::Owned);
            let _ = writeln!(words, "zfsync: {}: failed: {}", side.label(dataset.as_str()), sanitise(&why));
        }
        if let Some(text) = grants.text() {
            let _ = writeln!(words, "zfsync: {}", sanitise(&text).replace('\n', "\n  "));
        }
        (list, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::Refusal;

    #[test]
    fn what_targets_of_a_copy_need_is_one_line() {
        let (dataset, name): (DatasetName, _) = ("p/x".parse().unwrap(), |name: &str| name.parse().unwrap());
        let needed = format!("{NEEDED_FURTHER}zfsync-0123abcd-a");
        let pinned = vec![
            (name("a"), needed.clone()),
            (name("b"), needed.clone()),
            (name("c"), "is held (see zfs holds)".into()),
        ];
        let done = [((dataset, Vec::new()), Ok(Pruned { pinned, ..Pruned::default() }))];
        let side = PrunedSide::new(Some("h".into()), "p".parse().unwrap(), Vec::new(), done.into_iter());
        let pruned =
            PruneReport { dry_run: false, selected: true, idle: Vec::new(), rule: String::new(), sides: vec![side] };
        let told = |verbose| pruned.told(verbose, false).remove(0).1;
        let line = "  2 snapshots are kept: targets of this copy may need them: zfsync targets h:p names these targets; if one no longer \
                    exists: zfsync forget h:p TARGET\n";
        assert_eq!(
            told(0),
            format!(
                "zfsync: h:p: nothing to destroy; kept: 2 that its own targets may need, 1 held, cloned or busy\n  h:p/x@c is kept: is held \
                 (see zfs holds)\n{line}"
            )
        );
        let each = format!("  h:p/x@a is kept: {needed}\n  h:p/x@b is kept: {needed}\n  h:p/x@c is kept: is held");
        assert!(told(1).contains(&each) && told(1).ends_with(line), "{}", told(1));
        assert_eq!(pruned.further().as_deref(), Some(line.trim()));
    }

    #[test]
    fn everything_is_told() {
        let goes = |names: &[&str]| names.iter().map(|name| (name.parse().unwrap(), Guid(1))).collect::<Vec<_>>();
        let cut = |dataset: &str, names: &[&str], needed| Cut {
            dataset: dataset.parse().unwrap(),
            goes: goes(names),
            by_rule: 2,
            ahead: if needed > 0 {
                goes(&["x1", "x2"]).into_iter().map(|(name, _)| name).collect()
            } else {
                Vec::new()
            },
            out_of_scope: 1,
            received: 0,
            needed,
            needed_by: if needed > 0 { BTreeSet::from(["b:t".to_owned()]) } else { BTreeSet::new() },
        };
        let cuts = vec![cut("p", &["a", "b"], 0), cut("p/x", &["c"], 3), cut("p/y", &["d"], 0)];
        let done = vec![
            (
                ("p".parse().unwrap(), goes(&["a", "b"])),
                Ok(Pruned {
                    destroyed: 1,
                    freed: 2048,
                    pinned: vec![("b".parse().unwrap(), "is held".into())],
                    absent: Vec::new(),
                }),
            ),
            (("p/x".parse().unwrap(), goes(&["c"])), Ok(Pruned { destroyed: 1, ..Pruned::default() })),
            (
                ("p/y".parse().unwrap(), goes(&["d"])),
                Err(Failure { refusal: Refusal::Permission, words: "permission denied".into() }),
            ),
        ];
        let side = PrunedSide::new(Some("h".into()), "p".parse().unwrap(), cuts, done.into_iter());
        let mut pruned = PruneReport {
            dry_run: true,
            selected: true,
            idle: Vec::new(),
            rule: "--keep 24h".into(),
            sides: vec![side],
        };
        let mut print = |dry_run, quiet| {
            pruned.dry_run = dry_run;
            let told = pruned.told(0, quiet);
            let all = |part: fn(&(String, String)) -> &str| told.iter().map(part).collect::<String>();
            all(|(list, _)| list) + "--\n" + &all(|(_, words)| words)
        };
        insta::assert_snapshot!(print(true, false), @r"
        h:p@a
        h:p/x@c
        --
        zfsync: h:p: 2 snapshots of 2 datasets would be destroyed and 2.00 KiB freed (--keep 24h); kept: 6 by the rules, 2 dated in the future, 3 not taken by zfsync (--foreign includes them), 3 still needed, 1 held, cloned or busy
          h:p@b is kept: is held
          h:p/x@x1 is kept: it is dated in the future, and counts for no rule
          h:p/x@x2 is kept: it is dated in the future, and counts for no rule
          is the clock right? Are the names in local time (--local-time)?
          needed by b:t
        zfsync: h:p/y: failed: permission denied
        ");
        insta::assert_snapshot!(print(false, false), @r"
        --
        zfsync: h:p: 2 snapshots of 2 datasets destroyed, 2.00 KiB freed; kept: 6 by the rules, 2 dated in the future, 3 not taken by zfsync (--foreign includes them), 3 still needed, 1 held, cloned or busy
          h:p@b is kept: is held
          h:p/x@x1 is kept: it is dated in the future, and counts for no rule
          h:p/x@x2 is kept: it is dated in the future, and counts for no rule
          is the clock right? Are the names in local time (--local-time)?
          needed by b:t
        zfsync: h:p/y: failed: permission denied
        ");
        insta::assert_snapshot!(print(false, true), @r"
        --
        zfsync: h:p/y: failed: permission denied
        ");
        assert!(pruned.failed());
    }
}
