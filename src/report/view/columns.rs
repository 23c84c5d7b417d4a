//! Tables on a page: comfy-table lays them out; here it is decided what has to go where the page is too narrow.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::Page;
use crate::format::{on_one_line, shorten};
use crate::report::look::Colour;

/// Between two columns.
const GAP: usize = 2;
/// Names are not shortened to less than this, whatever else has to go.
const LEAST: usize = 20;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its head.
    pub head: &'static str,
    /// Numbers and times stand at the right.
    pub right: bool,
    /// Which part of the width it gets on a narrow page.
    pub narrow: Narrow,
}

/// What happens to a column on a page that is too narrow for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Narrow {
    /// It stays as it is.
    Stays,
    /// What is too much is cut from the middle of its names.
    Shortened,
    /// It is left out; the lowest number first.
    Dropped(u8),
}

impl Column {
    /// Text, at the left.
    pub const fn left(head: &'static str, narrow: Narrow) -> Self {
        Self { head, right: false, narrow }
    }

    /// Numbers and times, at the right.
    pub const fn right(head: &'static str, narrow: Narrow) -> Self {
        Self { head, right: true, narrow }
    }
}

/// A row: its cells, one for each column, and the colour of the painted one.
pub(super) struct Cells {
    /// What it says.
    pub cells: Vec<String>,
    /// The colour of its state.
    pub colour: Colour,
}

/// The table as text, with a head; `painted` is the column that gets the colours of the rows.
pub(super) fn table(columns: &[Column], painted: usize, rows: Vec<Cells>, page: Page) -> String {
    let colours: Vec<Colour> = rows.iter().map(|row| row.colour).collect();
    let mut cells: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.cells.iter().map(|cell| on_one_line(cell).into_owned()).collect()).collect();
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    if let Some(room) = page.width {
        fit(columns, &mut shown, &mut cells, room, page.look.ellipsis());
    }
    let table = laid_out(columns, &shown, &cells);
    let widths = table.column_max_content_widths();
    let before = shown.iter().position(|at| *at == painted).map(|at| {
        let before: usize = widths[..at].iter().map(|width| usize::from(*width) + GAP).sum();
        (before, usize::from(widths[at]))
    });
    let mut text = String::new();
    for (at, line) in table.lines().enumerate() {
        match (at.checked_sub(1).and_then(|row| colours.get(row)), before) {
            (Some(colour), Some((start, width))) => {
                let part = |from: usize, to: usize| line.chars().skip(from).take(to).collect::<String>();
                text.push_str(&part(0, start));
                text.push_str(&page.look.paint(*colour, &part(start, width)));
                text.push_str(part(start + width, usize::MAX).trim_end());
            }
            _ => text.push_str(line.trim_end()),
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// Leaves columns out, and shortens names, until all fits into `room`, or nothing is left that could go.
fn fit(columns: &[Column], shown: &mut Vec<usize>, cells: &mut [Vec<String>], room: usize, ellipsis: &str) {
    let widths: Vec<usize> =
        laid_out(columns, shown, cells).column_max_content_widths().into_iter().map(usize::from).collect();
    let names = |at: usize| columns[at].narrow == Narrow::Shortened;
    let least = |at: usize| if names(at) { widths[at].min(LEAST.max(room * 2 / 5)) } else { widths[at] };
    let all = |shown: &[usize], width: &dyn Fn(usize) -> usize| {
        shown.iter().map(|at| width(*at)).sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };
    let mut can_go: Vec<usize> =
        shown.iter().copied().filter(|at| matches!(columns[*at].narrow, Narrow::Dropped(_))).collect();
    can_go.sort_by_key(|at| columns[*at].narrow);
    for goes in can_go {
        if all(shown, &least) <= room {
            break;
        }
        shown.retain(|at| *at != goes);
    }
    let mut excess = all(shown, &|at| widths[at]).saturating_sub(room);
    for at in shown.iter().copied().filter(|at| names(*at)) {
        let width = widths[at].saturating_sub(excess).max(least(at));
        excess -= excess.min(widths[at] - width);
        for row in &mut *cells {
            row[at] = shorten(&row[at], width, ellipsis).into_owned();
        }
    }
}

fn laid_out(columns: &[Column], shown: &[usize], cells: &[Vec<String>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(shown.iter().map(|at| columns[*at].head).collect::<Vec<_>>());
    table.add_rows(cells.iter().map(|row| shown.iter().map(|at| row[*at].as_str()).collect::<Vec<_>>()));
    for (column, at) in table.column_iter_mut().zip(shown) {
        column.set_padding((0, u16::try_from(GAP).unwrap_or_default()));
        column.set_cell_alignment(if columns[*at].right { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::look::Look;

    const COLUMNS: [Column; 5] = [
        Column::left("DATASET", Narrow::Shortened),
        Column::left("TARGET", Narrow::Dropped(0)),
        Column::left("STATE", Narrow::Stays),
        Column::left("NEWEST", Narrow::Dropped(1)),
        Column::right("MISSING", Narrow::Stays),
    ];

    fn shown(dataset: &str, colour: bool, width: Option<usize>) -> String {
        let row = |cells: [&str; 5], colour| Cells { cells: cells.map(str::to_owned).to_vec(), colour };
        let rows = vec![
            row([dataset, "pool/a", "behind", "@zfs-auto-snap_daily-2026-11-22", "12"], Colour::Yellow),
            row(["tank/b", "pool/b\u{1b}[31m", "conflict", "-", "-"], Colour::Red),
        ];
        table(&COLUMNS, 2, rows, Page { look: Look { colour, utf8: true }, width })
    }

    #[test]
    fn a_pipe_gets_all_of_it() {
        let name = "tank/department/projects/customers/data1";
        insta::assert_snapshot!(shown(name, false, None), @r"
        DATASET                                   TARGET            STATE     NEWEST                           MISSING
        tank/department/projects/customers/data1  pool/a            behind    @zfs-auto-snap_daily-2026-11-22       12
        tank/b                                    pool/b\u{1b}[31m  conflict  -                                      -
        ");
    }

    #[test]
    fn at_80_columns_nothing_is_wrapped() {
        let name = "tank/department/projects/customers/data1";
        insta::assert_snapshot!(shown(name, false, Some(80)), @r"
        DATASET                                   STATE     MISSING
        tank/department/projects/customers/data1  behind         12
        tank/b                                    conflict        -
        ");
        insta::assert_snapshot!(shown(name, false, Some(44)), @r"
        DATASET                    STATE     MISSING
        tank/departm…tomers/data1  behind         12
        tank/b                     conflict        -
        ");
        for width in 39..150 {
            for line in shown(name, false, Some(width)).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn colours_take_no_width() {
        let text = shown("tank/a", true, Some(80));
        assert!(
            text.contains("\x1b[33mbehind  \x1b[0m  @zfs") && text.contains("\x1b[31mconflict\x1b[0m  -"),
            "{text}"
        );
    }
}
