//! A status for people: for each target a table of what isn't in sync, and a line that counts.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use super::{reason, snapshots};
use crate::format::{bytes, count, duration, first_line, sanitise};
use crate::plan::{DatasetStatus, Moment, Status, SyncState};
use crate::report::look::{Colour, Look};

const COLUMNS: usize = 10;
const HEAD: [&str; COLUMNS] =
    ["DATASET", "STATE", "NEWEST", "AGE", "THERE", "AGE", "BEHIND", "SNAPSHOTS", "SIZE", "LAST RUN"];
const STATE: usize = 1;
/// Numbers and times, which stand at the right.
const RIGHT: [usize; 5] = [3, 5, 6, 7, SIZE];
/// Only where somebody has asked for it.
const SIZE: usize = 8;
/// Only where results are kept.
const LAST: usize = 9;

/// Writes all targets. `all`: with the datasets that are in sync.
pub(super) fn write(status: &Status, all: bool, look: Look, out: &mut impl Write) -> io::Result<()> {
    for (at, target) in status.targets.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        let title = format!("{} {} {}", status.source, look.arrow(), target.target);
        match &target.found {
            Err(why) => {
                let why = sanitise(why.trim()).replace('\n', "\n  ");
                writeln!(out, "{title}: {}: {why}", look.paint(Colour::Red, "unreachable"))?;
            }
            Ok(rows) => {
                let shown: Vec<&DatasetStatus> =
                    rows.iter().filter(|row| all || row.state != SyncState::InSync).collect();
                writeln!(out, "{title}: {}", totals(rows))?;
                if !shown.is_empty() {
                    table(&shown, target.kept, status.now, look, out)?;
                }
            }
        }
        if let Some(run) = target.last_run.as_ref().filter(|run| run.exit_code != 0) {
            let why = run.error.as_deref().map_or_else(String::new, |why| format!(": {}", first_line(why)));
            let code = look.paint(Colour::Red, &format!("exit code {}", run.exit_code));
            writeln!(out, "the last run ended{} with {code}{why}", ago(run.ended, status.now))?;
        }
    }
    Ok(())
}

/// ` 5 min 0 s ago`
fn ago(then: Option<i64>, now: i64) -> String {
    let seconds = then.map(|then| u64::try_from(now.saturating_sub(then)).unwrap_or(0));
    seconds.map_or_else(String::new, |seconds| format!(" {} ago", duration(Duration::from_secs(seconds))))
}

fn table(rows: &[&DatasetStatus], kept: bool, now: i64, look: Look, out: &mut impl Write) -> io::Result<()> {
    let all: Vec<[String; COLUMNS]> = rows.iter().map(|row| cells(row, now)).collect();
    let mut widths = HEAD.map(str::len);
    for cells in &all {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let sized = rows.iter().any(|row| row.bytes.is_some());
    let columns: Vec<usize> = (0..COLUMNS).filter(|at| (*at != SIZE || sized) && (*at != LAST || kept)).collect();
    line(&HEAD.map(str::to_owned), &widths, &columns, |cell| Cow::Borrowed(cell), out)?;
    for (row, cells) in rows.iter().zip(&all) {
        line(cells, &widths, &columns, |cell| Cow::Owned(look.paint(colour(row.state), cell)), out)?;
    }
    for row in rows {
        let note = reason(row).or_else(|| {
            let odd = row.partial && row.state != SyncState::Partial;
            odd.then(|| "the target has partially received state".to_owned())
        });
        if let Some(note) = note {
            writeln!(out, "{}: {}", look.paint(colour(row.state), &row.dataset), sanitise(&note))?;
        }
    }
    Ok(())
}

/// One line without blanks at its end; `paint` colours the state.
fn line(
    cells: &[String; COLUMNS],
    widths: &[usize; COLUMNS],
    columns: &[usize],
    paint: impl Fn(&str) -> Cow<'_, str>,
    out: &mut impl Write,
) -> io::Result<()> {
    let cell = |&at: &usize| match (at, &cells[at], widths[at]) {
        (STATE, cell, width) => paint(&format!("{cell:<width$}")).into_owned(),
        (_, cell, width) if RIGHT.contains(&at) => format!("{cell:>width$}"),
        (_, cell, width) => format!("{cell:<width$}"),
    };
    let cells: Vec<String> = columns.iter().map(cell).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}

fn cells(row: &DatasetStatus, now: i64) -> [String; COLUMNS] {
    let none = || "-".to_owned();
    let span = |seconds: u64| duration(Duration::from_secs(seconds));
    let name = |moment: &Option<Moment>| moment.as_ref().map_or_else(none, |moment| format!("@{}", moment.name));
    let age = |moment: &Option<Moment>| {
        let Some(moment) = moment else { return none() };
        let seconds = moment.creation.map(|then| u64::try_from(now.saturating_sub(then)).unwrap_or(0));
        seconds.map_or_else(|| "?".to_owned(), span)
    };
    let lacks = row.oldest_lacking.is_some();
    [
        row.dataset.clone(),
        word(row.state).to_owned(),
        name(&row.newest_here),
        age(&row.newest_here),
        name(&row.newest_there),
        age(&row.newest_there),
        if lacks { row.behind(now).map_or_else(|| "?".to_owned(), span) } else { none() },
        snapshots(row).filter(|n| *n > 0).map_or_else(none, |n| n.to_string()),
        row.bytes.map_or_else(none, bytes),
        row.last.as_ref().map_or_else(none, |last| format!("{}{}", last.result.word(), ago(last.time, now))),
    ]
}

/// `12 datasets in sync`, or `15 datasets: 2 in conflict, 1 behind, 12 in sync`
fn totals(rows: &[DatasetStatus]) -> String {
    let numbers = SyncState::ALL.map(|state| (rows.iter().filter(|row| row.state == state).count(), phrase(state)));
    let told: Vec<_> = numbers.into_iter().filter(|(n, _)| *n > 0).collect();
    match &told[..] {
        [] => "nothing is selected, and nothing exists".into(),
        [(n, phrase)] => format!("{} {phrase}", count(*n, "dataset")),
        several => {
            let parts: Vec<String> = several.iter().map(|(n, phrase)| format!("{n} {phrase}")).collect();
            format!("{}: {}", count(rows.len(), "dataset"), parts.join(", "))
        }
    }
}

/// The state behind a number.
fn phrase(state: SyncState) -> &'static str {
    match state {
        SyncState::Conflict => "in conflict",
        SyncState::TargetOnly => "only on the target",
        SyncState::NoSnapshots => "without snapshots",
        other => word(other),
    }
}

fn word(state: SyncState) -> &'static str {
    match state {
        SyncState::InSync => "in sync",
        SyncState::Behind => "behind",
        SyncState::Partial => "partial",
        SyncState::Conflict => "conflict",
        SyncState::Missing => "missing",
        SyncState::TargetOnly => "target only",
        SyncState::NoSnapshots => "no snapshots",
    }
}

fn colour(state: SyncState) -> Colour {
    match state {
        SyncState::InSync => Colour::Green,
        SyncState::Behind | SyncState::Partial => Colour::Yellow,
        SyncState::Conflict | SyncState::Missing => Colour::Red,
        SyncState::TargetOnly | SyncState::NoSnapshots => Colour::Dim,
    }
}
