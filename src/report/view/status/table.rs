//! A status for people: for each target a table of what isn't in sync, and a line that counts.

use std::io::{self, Write};
use std::time::Duration;

use super::{reason, snapshots};
use crate::format::{bytes, count, duration, first_line, sanitise};
use crate::plan::{DatasetStatus, Moment, Status, SyncState};
use crate::report::look::Colour;
use crate::report::view::Page;
use crate::report::view::columns::{self, Cells, Column, Narrow};
use crate::report::wrap::wrapped;

/// On a narrow page the snapshots' names go first: the ages beside them tell more.
const COLUMNS: [Column; 10] = [
    Column::left("DATASET", Narrow::Shortened),
    Column::left("STATE", Narrow::Stays),
    Column::left("SOURCE NEWEST", Narrow::Dropped(1)),
    Column::right("SOURCE AGE", Narrow::Dropped(3)),
    Column::left("TARGET NEWEST", Narrow::Dropped(0)),
    Column::right("TARGET AGE", Narrow::Dropped(4)),
    Column::right("BEHIND", Narrow::Stays),
    Column::right("MISSING", Narrow::Stays),
    Column::right("SIZE", Narrow::Dropped(5)),
    Column::left("LAST RUN", Narrow::Dropped(2)),
];
const STATE: usize = 1;
/// Only where somebody has asked for it.
const SIZE: usize = 8;
/// Only where results are kept.
const LAST: usize = 9;

/// Writes all targets. `all`: with the datasets that are in sync.
pub(super) fn write(status: &Status, all: bool, page: Page, out: &mut impl Write) -> io::Result<()> {
    let look = page.look;
    for (at, target) in status.targets.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        let title = format!("{} -> {}", status.source, target.target);
        match &target.found {
            Err(why) => {
                let why = sanitise(why.trim()).replace('\n', "\n  ");
                line(out, page, &format!("{title}: {}: {why}", look.paint(Colour::Red, "unreachable")))?;
            }
            Ok(rows) => {
                let shown: Vec<&DatasetStatus> =
                    rows.iter().filter(|row| all || row.state != SyncState::InSync || row.is_modified()).collect();
                line(out, page, &format!("{title}: {}", totals(rows)))?;
                if !shown.is_empty() {
                    table(&shown, target.kept, status.now, page, out)?;
                }
            }
        }
        if let Some(run) = target.last_run.as_ref().filter(|run| run.exit_code != 0) {
            let why = run.error.as_deref().map_or_else(String::new, |why| format!(": {}", first_line(why)));
            let code = look.paint(Colour::Red, &format!("exit code {}", run.exit_code));
            line(out, page, &format!("the last run ended{} with {code}{why}", ago(run.ended, status.now)))?;
        }
    }
    Ok(())
}

/// Prose is broken where the page ends.
pub(super) fn line(out: &mut impl Write, page: Page, text: &str) -> io::Result<()> {
    writeln!(out, "{}", wrapped(text, page.width))
}

/// ` 5 min 0 s ago`
fn ago(then: Option<i64>, now: i64) -> String {
    let seconds = then.map(|then| u64::try_from(now.saturating_sub(then)).unwrap_or(0));
    seconds.map_or_else(String::new, |seconds| format!(" {} ago", duration(Duration::from_secs(seconds))))
}

fn table(rows: &[&DatasetStatus], kept: bool, now: i64, page: Page, out: &mut impl Write) -> io::Result<()> {
    let sized = rows.iter().any(|row| row.bytes.is_some());
    let is_shown = |at: usize| (at != SIZE || sized) && (at != LAST || kept);
    let columns: Vec<Column> = (0..).zip(COLUMNS).filter(|(at, _)| is_shown(*at)).map(|(_, column)| column).collect();
    let of = |row: &&DatasetStatus| {
        let cells = (0..).zip(cells(row, now)).filter(|(at, _)| is_shown(*at)).map(|(_, cell)| cell).collect();
        Cells { cells, colour: colour(row.state) }
    };
    out.write_all(columns::table(&columns, STATE, rows.iter().map(of).collect(), page).as_bytes())?;
    let look = page.look;
    for row in rows {
        let note = reason(row).or_else(|| {
            let odd = row.partial && row.state != SyncState::Partial;
            odd.then(|| "the target has partially received state".to_owned())
        });
        let note = note.or_else(|| row.is_modified().then(|| modified(row)));
        if let Some(note) = note {
            line(out, page, &format!("{}: {}", look.paint(colour(row.state), shown_name(row)), sanitise(&note)))?;
        }
    }
    Ok(())
}

/// What is to be expected of a target that is in sync, and was written to.
fn modified(row: &DatasetStatus) -> String {
    let written = bytes(row.written.unwrap_or(0));
    format!("the target was written to since its newest snapshot ({written}); a push of a newer one reports a conflict")
}

/// What it is called: what only the target has, by the target's name.
fn shown_name(row: &DatasetStatus) -> &str {
    if row.state == SyncState::TargetOnly { &row.target } else { &row.dataset }
}

fn cells(row: &DatasetStatus, now: i64) -> [String; COLUMNS.len()] {
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
        shown_name(row).to_owned(),
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
