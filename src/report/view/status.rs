//! What a status tells: a table for people, JSON lines, metrics, and the first line that monitoring systems want.

mod metrics;
mod table;

use std::io::{self, Write};

use serde::Serialize;

use super::{Page, View};
use crate::format::{bytes, count, duration, sanitise};
use crate::plan::{Clash, DatasetStatus, LastResult, Level, Limits, Moment, Status, SyncState, TargetStatus};
use crate::report::Versioned;

/// How a status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people; with each dataset that is in sync, or only their number.
    Table {
        /// Each of them.
        all: bool,
    },
    /// One object a line.
    Json,
    /// The text format of Prometheus.
    Metrics,
}

impl Form {
    /// What the options ask for.
    #[must_use]
    pub fn choose(json: bool, prometheus: bool, all: bool) -> Self {
        match (json, prometheus) {
            (true, _) => Self::Json,
            (_, true) => Self::Metrics,
            _ => Self::Table { all },
        }
    }
}

/// The statuses of all sources.
#[must_use]
pub fn view(all: Vec<Status>, form: Form) -> View {
    Box::new(move |page, out| write(&all, form, page, out))
}

fn write(all: &[Status], form: Form, page: Page, out: &mut impl Write) -> io::Result<()> {
    match form {
        Form::Table { all: rows } => {
            if let Some(limits) = all.iter().map(|status| &status.limits).find(|limits| limits.any()) {
                table::line(out, page, &headline(all, limits))?;
            }
            for (at, status) in all.iter().enumerate() {
                if at > 0 {
                    writeln!(out)?;
                }
                table::write(status, rows, page, out)?;
            }
            Ok(())
        }
        Form::Json => all.iter().try_for_each(|status| json(status, out)),
        Form::Metrics => metrics::write(all, out),
    }
}

/// The line of a monitoring plugin: how bad it is, and why.
fn headline(all: &[Status], limits: &Limits) -> String {
    let targets = || all.iter().flat_map(|status| status.targets.iter().map(move |target| (status, target)));
    let rows = || targets().flat_map(|(status, target)| target.found.iter().flatten().map(move |row| (status, row)));
    let late = |wanted: Level| {
        let late = rows().filter(|(_, row)| matches!(row.state, SyncState::Behind | SyncState::Partial));
        late.filter(|(status, row)| row.level(limits, status.now) == wanted).count()
    };
    let number = |state: SyncState| rows().filter(|(_, row)| row.state == state).count();
    let unreachable = targets().filter(|(_, target)| target.found.is_err()).count();
    let empty = all.iter().filter(|status| all.len() > 1 && status.nothing().is_some()).count();
    let numbers = [
        (unreachable, "unreachable".to_owned()),
        (number(SyncState::Conflict), "in conflict".to_owned()),
        (number(SyncState::Missing), "missing".to_owned()),
        (late(Level::Critical), beyond("--crit", limits.crit)),
        (late(Level::Warning), beyond("--warn", limits.warn)),
        (late(Level::Ok), "behind within the limits".to_owned()),
        (number(SyncState::InSync), "in sync".to_owned()),
        (empty, "with nothing to replicate".to_owned()),
    ];
    let parts: Vec<String> = numbers.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let word = match all.iter().map(Status::level).max().unwrap_or(Level::Ok) {
        Level::Ok => "OK",
        Level::Unknown => "UNKNOWN",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
    };
    let parts = if parts.is_empty() { "nothing to replicate".to_owned() } else { parts.join(", ") };
    let sources = match all {
        [one] => one.source.to_string(),
        several => count(several.len(), "source"),
    };
    format!("{word} - {parts} ({sources} on {})", count(targets().count(), "target"))
}

fn beyond(option: &str, limit: Option<std::time::Duration>) -> String {
    format!("behind for more than {}", limit.map_or_else(|| option.to_owned(), duration))
}

/// Why a dataset is in conflict, in one line.
fn reason(row: &DatasetStatus) -> Option<String> {
    let common = row.common.as_ref().map(|common| format!("@{}", common.name)).unwrap_or_default();
    Some(match row.clash? {
        Clash::NoCommon => "no common snapshot".into(),
        Clash::DataWithoutSnapshots => "the target has no snapshots, but data, as far as ZFS reports".into(),
        Clash::Modified => format!(
            "the target was written to since {common}, the newest common snapshot ({}); a push reports a conflict",
            bytes(row.written.unwrap_or(0))
        ),
        Clash::Diverged => format!("the target has diverged after {common}: only it has {}", names(row)),
        Clash::Ahead => format!("the target's {common} is newer than all snapshots that the source still has"),
        Clash::NameTaken => {
            format!("other snapshots on the target have the names of snapshots that it lacks: {}", names(row))
        }
    })
}

/// So many names are told.
const SHOWN: usize = 5;

fn names(row: &DatasetStatus) -> String {
    let shown: Vec<String> = row.own.iter().take(SHOWN).map(|name| format!("@{name}")).collect();
    match row.own.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    target: &'a str,
    dataset: Option<&'a str>,
    target_dataset: Option<&'a str>,
    state: &'a str,
    conflict: Option<Clash>,
    reason: Option<String>,
    source_newest: Option<Snapshot<'a>>,
    target_newest: Option<Snapshot<'a>>,
    common: Option<Snapshot<'a>>,
    behind_seconds: Option<u64>,
    behind_snapshots: Option<usize>,
    behind_bytes: Option<u64>,
    gap_seconds: Option<u64>,
    partial: bool,
    target_written_bytes: Option<u64>,
    last_result: Option<LastResult>,
    last_error: Option<&'a str>,
    last_success: Option<i64>,
    last_run: Option<i64>,
    time: i64,
}

#[derive(Serialize)]
struct Snapshot<'a> {
    name: &'a str,
    creation: Option<i64>,
}

impl<'a> Snapshot<'a> {
    fn of(moment: Option<&'a Moment>) -> Option<Self> {
        moment.map(|moment| Self { name: moment.name.as_str(), creation: moment.creation })
    }
}

impl<'a> Line<'a> {
    fn unreachable(status: &'a Status, target: &'a TargetStatus, why: &str) -> Self {
        let last_run = target.last_run.as_ref();
        Self {
            source: status.source.as_str(),
            target: &target.target,
            dataset: None,
            target_dataset: None,
            state: "unreachable",
            conflict: None,
            reason: Some(why.to_owned()),
            source_newest: None,
            target_newest: None,
            common: None,
            behind_seconds: None,
            behind_snapshots: None,
            behind_bytes: None,
            gap_seconds: None,
            partial: false,
            target_written_bytes: None,
            last_result: None,
            last_error: last_run.and_then(|run| run.error.as_deref()),
            last_success: None,
            last_run: last_run.and_then(|run| run.ended),
            time: status.now,
        }
    }

    fn of(status: &'a Status, target: &'a TargetStatus, row: &'a DatasetStatus) -> Self {
        let last = row.last.as_ref();
        Self {
            dataset: Some(&row.dataset),
            target_dataset: Some(&row.target),
            state: row.state.key(),
            conflict: row.clash,
            reason: reason(row),
            source_newest: Snapshot::of(row.newest_here.as_ref()),
            target_newest: Snapshot::of(row.newest_there.as_ref()),
            common: Snapshot::of(row.common.as_ref()),
            behind_seconds: row.behind(status.now),
            behind_snapshots: snapshots(row),
            behind_bytes: row.bytes,
            gap_seconds: row.gap(),
            partial: row.partial,
            target_written_bytes: row.written,
            last_result: last.map(|last| last.result),
            last_error: last.and_then(|last| last.error.as_deref()),
            last_success: last.and_then(|last| last.success),
            ..Self::unreachable(status, target, "")
        }
    }
}

/// How many snapshots are lacking, where that makes sense.
fn snapshots(row: &DatasetStatus) -> Option<usize> {
    (!matches!(row.state, SyncState::TargetOnly | SyncState::NoSnapshots)).then_some(row.lacking)
}

fn json(status: &Status, out: &mut impl Write) -> io::Result<()> {
    for target in &status.targets {
        let lines: Vec<Line<'_>> = match &target.found {
            Ok(rows) => rows.iter().map(|row| Line::of(status, target, row)).collect(),
            Err(why) => vec![Line::unreachable(status, target, &sanitise(why))],
        };
        for line in lines {
            out.write_all(&zfs::text::json(serde_json::to_vec(&Versioned::of(line))?))?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
