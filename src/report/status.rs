//! What a status tells: a table for people, JSON lines, metrics, and the first line that monitoring systems want.

mod metrics;
mod table;

use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use super::format::{count, duration, sanitise};
use super::look::Look;
use crate::plan::{Clash, DatasetStatus, Level, Moment, State, Status};

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

/// Prints a status to stdout. A reader that is gone is no error.
pub fn print(status: &Status, form: Form) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let look = Look::of_env(stdout.is_terminal());
    let mut text = Vec::new();
    write(status, form, look, &mut text)?;
    match stdout.write_all(&text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn write(status: &Status, form: Form, look: Look, out: &mut impl Write) -> io::Result<()> {
    match form {
        Form::Table { all } => {
            if status.limits.any() {
                writeln!(out, "{}", headline(status))?;
            }
            table::write(status, all, look, out)
        }
        Form::Json => json(status, out),
        Form::Metrics => metrics::write(status, out),
    }
}

/// The line of a monitoring plugin: how bad it is, and why.
fn headline(status: &Status) -> String {
    let rows = || status.targets.iter().flat_map(|target| target.found.iter().flatten());
    let (limits, now) = (&status.limits, status.now);
    let level = |row: &DatasetStatus| row.level(limits, now);
    let late = |wanted: Level| {
        rows().filter(|row| matches!(row.state, State::Behind | State::Partial) && level(row) == wanted).count()
    };
    let number = |state: State| rows().filter(|row| row.state == state).count();
    let unreachable = status.targets.iter().filter(|target| target.found.is_err()).count();
    let all = [
        (unreachable, "unreachable".to_owned()),
        (number(State::Conflict), "in conflict".to_owned()),
        (number(State::Missing), "missing".to_owned()),
        (late(Level::Critical), beyond("--crit", limits.crit)),
        (late(Level::Warning), beyond("--warn", limits.warn)),
        (late(Level::Ok), "behind within the limits".to_owned()),
        (number(State::InSync), "in sync".to_owned()),
    ];
    let parts: Vec<String> = all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let word = match status.level() {
        Level::Ok => "OK",
        Level::Warning => "WARNING",
        Level::Critical => "CRITICAL",
    };
    let parts = if parts.is_empty() { "nothing to replicate".to_owned() } else { parts.join(", ") };
    format!("{word} - {parts} ({} on {})", status.source, count(status.targets.len(), "target"))
}

fn beyond(option: &str, limit: Option<std::time::Duration>) -> String {
    format!("behind for more than {}", limit.map_or_else(|| option.to_owned(), duration))
}

/// Why a dataset is in conflict, in one line.
fn reason(row: &DatasetStatus) -> Option<String> {
    let common = row.common.as_ref().map(|common| format!("@{}", common.name)).unwrap_or_default();
    Some(match row.clash? {
        Clash::NoCommon => "no common snapshot".into(),
        Clash::DataWithoutSnapshots => "the target has no snapshots, but data, as far as ZFS can tell".into(),
        Clash::Diverged => format!("the target has diverged after {common}: only it has {}", names(row)),
        Clash::Ahead => format!("the target's {common} is newer than all that the source still has"),
        Clash::NameTaken => {
            format!("other snapshots of the target have the names of some that it lacks: {}", names(row))
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
    fn unreachable(status: &'a Status, target: &'a str, why: &str) -> Self {
        Self {
            source: status.source.as_str(),
            target,
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
            time: status.now,
        }
    }

    fn of(status: &'a Status, target: &'a str, row: &'a DatasetStatus) -> Self {
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
            ..Self::unreachable(status, target, "")
        }
    }
}

/// How many snapshots are lacking, where that makes sense.
fn snapshots(row: &DatasetStatus) -> Option<usize> {
    (!matches!(row.state, State::TargetOnly | State::NoSnapshots)).then_some(row.lacking)
}

fn json(status: &Status, out: &mut impl Write) -> io::Result<()> {
    for target in &status.targets {
        let lines: Vec<Line<'_>> = match &target.found {
            Ok(rows) => rows.iter().map(|row| Line::of(status, &target.target, row)).collect(),
            Err(why) => vec![Line::unreachable(status, &target.target, &sanitise(why))],
        };
        for line in lines {
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
