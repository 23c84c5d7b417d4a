//! The plan of a dry run, as a table for people or as one JSON object.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use super::columns::{Cells, Column, Narrow, table};
use super::{Page, View};
use crate::format::{bytes, count, sanitise};
use crate::report::Versioned;
use crate::report::look::{Colour, Look};
use crate::report::wrap::wrapped;

/// What would be done about a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// Everything from nothing.
    Full,
    /// What came after a common snapshot or bookmark.
    Incremental,
    /// The rest of a stream that was cut.
    Resume,
    /// Nothing: the newest snapshot is there.
    InSync,
    /// Nothing: there is nothing to send.
    NoSnapshots,
    /// Nothing, because something would be lost; the note says more.
    Conflict,
    /// Nothing, because nothing can be received; the note says why.
    Fails,
    /// Nothing, because of the conflict of TARGET or what fails above it; the note says more.
    Skipped,
    /// Back to the common snapshot; the note says what is lost.
    Rollback,
    /// Renamed, to make room.
    SetAside,
    /// Destroyed, to make room.
    Replace,
    /// It gets another name on the target, as it has at the source.
    Rename,
    /// Destroyed on the target, as the source has it no more.
    Destroy,
    /// The same, when it has been missing for long enough.
    Waits,
    /// Only the target has it, and it stays; the note says why.
    Stays,
}

impl PlanAction {
    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Resume => "resume",
            Self::InSync => "in sync",
            Self::NoSnapshots => "no snapshots",
            Self::Conflict => "conflict",
            Self::Fails => "fails",
            Self::Skipped => "skipped",
            Self::Rollback => "roll back",
            Self::SetAside => "set aside",
            Self::Replace => "replace",
            Self::Rename => "rename",
            Self::Destroy => "destroy",
            Self::Waits => "destroy later",
            Self::Stays => "stays",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Self::Full | Self::Incremental | Self::Resume => Colour::Green,
            Self::InSync => Colour::Dim,
            Self::NoSnapshots | Self::Skipped | Self::Rename | Self::Waits | Self::Stays => Colour::Yellow,
            Self::Conflict | Self::Fails | Self::Rollback | Self::SetAside | Self::Replace | Self::Destroy => {
                Colour::Red
            }
        }
    }

    /// Whether a run wouldn't end with success.
    fn fails(self) -> bool {
        matches!(self, Self::Conflict | Self::Fails)
    }

    /// Whether it is about something that only the target has.
    fn is_only_there(self) -> bool {
        matches!(self, Self::Destroy | Self::Waits | Self::Stays)
    }

    /// Whether it sends anything.
    fn sends(self) -> bool {
        matches!(self, Self::Full | Self::Incremental | Self::Resume)
    }
}

/// One step of a plan, or a dataset for which there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRow {
    /// The source's dataset.
    pub dataset: String,
    /// The target's.
    pub target: String,
    /// What would be done.
    pub action: PlanAction,
    /// The base (`@snapshot` or `#bookmark`), if there is one.
    pub from: Option<String>,
    /// The newest snapshot afterwards, with or without its `@`.
    pub to: Option<String>,
    /// How many snapshots would be sent.
    pub snapshots: usize,
    /// The estimated size of the stream, if zfs told.
    pub bytes: Option<u64>,
    /// More to say, such as a conflict's whole text.
    pub note: Option<String>,
    /// Of a conflict: the source's next snapshot ends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_next_snapshot: bool,
    /// It stays, and a run is no success for that.
    #[serde(skip)]
    pub withheld: bool,
}

impl PlanRow {
    /// Whether a run wouldn't end with success for it.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.action.fails()
    }

    /// What it is called: what only the target has, by the target's name.
    fn name(&self) -> &str {
        if self.action.is_only_there() { &self.target } else { &self.dataset }
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename = "plan")]
struct Plan<'a> {
    rows: &'a [PlanRow],
    bytes: u64,
}

/// A plan: a table, or one JSON object on one line.
#[must_use]
pub fn view(rows: Vec<PlanRow>, json: bool) -> View {
    Box::new(move |page, out| {
        if json {
            let mut line =
                zfs::text::json(serde_json::to_vec(&Versioned::of(Plan { rows: &rows, bytes: known_bytes(&rows) }))?);
            line.push(b'\n');
            return out.write_all(&line);
        }
        out.write_all(render(&rows, page).as_bytes())
    })
}

fn known_bytes(rows: &[PlanRow]) -> u64 {
    rows.iter().filter_map(|row| row.bytes).fold(0, u64::saturating_add)
}

/// On a narrow page the target goes first, as it follows from the dataset.
const COLUMNS: [Column; 7] = [
    Column::left("DATASET", Narrow::Shortened),
    Column::left("TARGET", Narrow::Dropped(0)),
    Column::left("ACTION", Narrow::Stays),
    Column::left("FROM", Narrow::Dropped(1)),
    Column::left("TO", Narrow::Dropped(2)),
    Column::right("SNAPSHOTS", Narrow::Stays),
    Column::right("SIZE", Narrow::Stays),
];
const ACTION: usize = 2;

/// The table, its notes and a last line with the totals.
fn render(rows: &[PlanRow], page: Page) -> String {
    let cells = rows.iter().map(|row| Cells { cells: cells(row).to_vec(), colour: row.action.colour() }).collect();
    let mut text = table(&COLUMNS, ACTION, cells, page);
    let mut more = String::new();
    notes(&mut more, rows, page.look);
    text.push_str(&wrapped(&more, page.width));
    text.push('\n');
    text.push_str(&totals(rows));
    text.push('\n');
    text
}

fn cells(row: &PlanRow) -> [String; COLUMNS.len()] {
    let sends = row.action.sends();
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
    let to = row.to.as_ref().map(|to| if to.starts_with('@') { to.clone() } else { format!("@{to}") });
    let size = match row.bytes {
        Some(size) if sends => bytes(size),
        None if sends => "?".to_owned(),
        _ => "-".to_owned(),
    };
    [
        row.name().to_owned(),
        row.target.clone(),
        row.action.word().to_owned(),
        name(&row.from),
        name(&to),
        if sends { row.snapshots.to_string() } else { "-".to_owned() },
        size,
    ]
}

/// What doesn't fit into columns, below them.
fn notes(text: &mut String, rows: &[PlanRow], look: Look) {
    // What is the same for several, such as the rule by which they go, stands there once.
    for same in rows.chunk_by(|one, next| (one.action, &one.note) == (next.action, &next.note)) {
        let Some((row, others)) = same.split_first() else { continue };
        let Some(note) = row.note.as_deref().filter(|note| !note.trim().is_empty()) else { continue };
        // The note speaks of one.
        let more = if others.is_empty() { String::new() } else { format!(", and {} more likewise", others.len()) };
        let dataset = look.paint(row.action.colour(), &sanitise(row.name()));
        let _ = writeln!(text, "\n{dataset}{more}: {}", sanitise(note.trim()).replace('\n', "\n  "));
    }
}

/// `2 datasets to update, 5 snapshots, about 1.21 GiB; 3 in sync, 1 in conflict`
fn totals(rows: &[PlanRow]) -> String {
    let number = |wanted: fn(PlanAction) -> bool| rows.iter().filter(|row| wanted(row.action)).count();
    let mut datasets: Vec<&str> =
        rows.iter().filter(|row| row.action.sends()).map(|row| row.dataset.as_str()).collect();
    datasets.sort_unstable();
    // A dataset can need two steps.
    datasets.dedup();
    let mut text = "nothing to send".to_owned();
    if !datasets.is_empty() {
        let snapshots =
            rows.iter().filter(|row| row.action.sends()).map(|row| row.snapshots).fold(0, usize::saturating_add);
        let unknown = rows.iter().any(|row| row.action.sends() && row.bytes.is_none());
        let about = if unknown { "at least" } else { "about" };
        let (datasets, snapshots) = (count(datasets.len(), "dataset"), count(snapshots, "snapshot"));
        text = format!("{datasets} to update, {snapshots}, {about} {}", bytes(known_bytes(rows)));
    }
    let others = [
        (number(|action| action == PlanAction::InSync), "in sync"),
        (number(|action| action == PlanAction::NoSnapshots), "without snapshots"),
        (number(|action| action == PlanAction::Conflict), "in conflict"),
        (number(|action| action == PlanAction::Fails), "that would fail"),
        (number(|action| action == PlanAction::Skipped), "skipped"),
        (number(|action| action == PlanAction::Rollback), "to roll back on the target"),
        (number(|action| action == PlanAction::SetAside), "to set aside"),
        (number(|action| action == PlanAction::Replace), "to replace"),
        (number(|action| action == PlanAction::Rename), "to rename on the target"),
        (number(|action| action == PlanAction::Destroy), "to destroy on the target"),
        (number(|action| action == PlanAction::Waits), "to destroy later"),
        (rows.iter().filter(|row| row.withheld).count(), "not to be destroyed (see above)"),
    ];
    let others: Vec<String> = others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if others.is_empty() { text } else { format!("{text}; {}", others.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: Option<usize>) -> Page {
        Page { look: Look { colour: false, utf8: false }, width }
    }

    fn row(dataset: &str, action: PlanAction) -> PlanRow {
        let (from, to) = match action {
            PlanAction::Incremental => (Some("@daily-1".to_owned()), Some("daily-3".to_owned())),
            PlanAction::Full => (None, Some("daily-3".to_owned())),
            _ => (None, None),
        };
        let note =
            (action == PlanAction::Conflict).then(|| "no common snapshot\nonly on the source: @a\u{1b}".to_owned());
        let target = format!("tank/{dataset}");
        PlanRow {
            dataset: dataset.into(),
            target,
            action,
            from,
            to,
            snapshots: 2,
            bytes: None,
            note,
            until_next_snapshot: false,
            withheld: false,
        }
    }

    fn rows() -> Vec<PlanRow> {
        vec![
            PlanRow { bytes: Some(1_299_227_607), ..row("pool", PlanAction::Incremental) },
            row("pool/a", PlanAction::Full),
            row("pool/b", PlanAction::InSync),
            row("pool/c", PlanAction::NoSnapshots),
            row("pool/long name", PlanAction::Conflict),
        ]
    }

    #[test]
    fn columns_are_aligned_and_notes_below() {
        let expected = "\
DATASET         TARGET               ACTION        FROM      TO        SNAPSHOTS      SIZE
pool            tank/pool            incremental   @daily-1  @daily-3          2  1.21 GiB
pool/a          tank/pool/a          full          -         @daily-3          2         ?
pool/b          tank/pool/b          in sync       -         -                 -         -
pool/c          tank/pool/c          no snapshots  -         -                 -         -
pool/long name  tank/pool/long name  conflict      -         -                 -         -

pool/long name: no common snapshot
  only on the source: @a\\u{1b}

2 datasets to update, 4 snapshots, at least 1.21 GiB; 1 in sync, 1 without snapshots, 1 in conflict
";
        assert_eq!(render(&rows(), page(None)), expected);
        assert_eq!(render(&rows(), page(Some(90))), expected);
    }

    #[test]
    fn a_narrow_terminal_does_without_the_target() {
        let text = render(&rows(), page(Some(80)));
        assert!(text.starts_with("DATASET         ACTION        FROM "), "{text}");
    }

    /// It has no name on the source; what is said of several is said as of one.
    #[test]
    fn what_only_the_target_has_is_called_by_its_name() {
        let gone = |dataset: &str, note: &str| PlanRow { note: Some(note.into()), ..row(dataset, PlanAction::Stays) };
        let rows = [gone("a", "it is held"), gone("b", "it is held"), gone("c", "it was set aside")];
        let text = render(&rows, page(None));
        assert!(text.contains("\n\ntank/a, and 1 more likewise: it is held\n\ntank/c: it was set aside\n"), "{text}");
        assert!(text.contains("\ntank/b   tank/b  stays "), "{text}");
    }

    #[test]
    fn nothing_to_send() {
        let text = render(&[row("p", PlanAction::InSync)], page(None));
        assert!(text.ends_with("\n\nnothing to send; 1 in sync\n"), "{text}");
        assert!(render(&[], page(None)).ends_with("\nnothing to send\n"));
    }

    #[test]
    fn what_a_resolution_takes_is_in_the_last_line() {
        let stays = |withheld| PlanRow { withheld, ..row("p/x", PlanAction::Stays) };
        let text = render(
            &[
                row("p", PlanAction::Rollback),
                row("p/a", PlanAction::SetAside),
                row("p/b", PlanAction::Replace),
                row("p/b", PlanAction::Full),
                stays(true),
                stays(false),
            ],
            page(None),
        );
        let last = "1 dataset to update, 2 snapshots, at least 0 B; 1 to roll back on the target, 1 to set aside, 1 to replace, \
                    1 not to be destroyed (see above)\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn colours_dont_shift_columns() {
        let text = render(&rows(), Page { look: Look { colour: true, utf8: true }, width: None });
        assert!(text.contains("\x1b[32mfull        \x1b[0m  -  "), "{text}");
    }

    #[test]
    fn json_has_all_rows() {
        let rows = [PlanRow { bytes: Some(7), ..row("p", PlanAction::Full) }];
        let text = serde_json::to_string(&Plan { rows: &rows, bytes: known_bytes(&rows) }).unwrap();
        assert_eq!(
            text,
            "{\"event\":\"plan\",\"rows\":[{\"dataset\":\"p\",\"target\":\"tank/p\",\"action\":\"full\",\
             \"from\":null,\"to\":\"daily-3\",\"snapshots\":2,\"bytes\":7,\"note\":null}],\"bytes\":7}"
        );
    }
}
