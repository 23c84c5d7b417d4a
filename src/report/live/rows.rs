//! What the rows of the live display say, and how wide their columns are. Pure; indicatif draws them.

use std::time::{Duration, Instant};

use crate::format::{bytes, clock, compact, percent, rate, sanitise, shorten};
use crate::report::look::{Colour, Look};
use crate::report::track::{Running, Track};

/// More running steps than this are only counted.
const MOST_ROWS: usize = 16;

/// Columns left free at the right, so that what a terminal echoes of Ctrl-C, pressed twice before the next drawing, doesn't begin a new
/// row: the one above would stay.
const MARGIN: usize = 5;

/// A name is not shortened to less than this for the snapshot beside it.
const LEAST_NAME: usize = 12;

/// Which columns there are, the same for all rows, and how wide; 0: not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    label: usize,
    bar: usize,
    percent: usize,
    bytes: usize,
    rate: usize,
    eta: usize,
    /// Units are spelled out.
    long: bool,
}

/// What a row has beside its words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line that only says something.
    #[default]
    Words,
    /// A bar.
    Bar,
    /// A sign that turns, as the size isn't known.
    Turns,
    /// Both: all is sent, and the receiver is finishing.
    Settles,
    /// The bar of the whole run.
    Total,
    /// The whole run, while no size is known.
    Counts,
}

/// A row's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub shape: Shape,
    /// At the left.
    pub label: String,
    /// Behind the bar.
    pub numbers: String,
    pub done: u64,
    pub total: u64,
}

/// How many running steps have a row on a screen with so many.
pub(super) fn most_rows(height: usize) -> usize {
    // The total, and one row for what stood there before.
    height.saturating_sub(2).min(MOST_ROWS)
}

impl Columns {
    /// The columns of a screen that is so wide, the most telling ones first; names keep a good part of it.
    pub fn of(screen: usize) -> Self {
        let width = screen.saturating_sub(MARGIN).max(1);
        let long = width >= 120;
        let names = (width * 3 / 10).max(16);
        let mut columns = Self { label: width, bar: 0, percent: 0, bytes: 0, rate: 0, eta: 0, long };
        let bar = match width {
            0..97 => 8,
            97..137 => 16,
            _ => 24,
        };
        let wanted: [(&mut usize, usize); 5] = [
            (&mut columns.percent, 5),
            (&mut columns.rate, if long { 12 } else { 8 }),
            (&mut columns.eta, if width >= 97 { 12 } else { 8 }),
            (&mut columns.bytes, if long { 23 } else { 12 }),
            (&mut columns.bar, bar),
        ];
        for (column, wide) in wanted {
            if columns.label < names + wide + 2 {
                break;
            }
            columns.label -= wide + 2;
            *column = wide;
        }
        columns
    }

    /// indicatif's template for a row.
    pub fn template(self, shape: Shape, look: Look) -> String {
        let Self { label, bar, .. } = self;
        let colour = if shape == Shape::Total { Colour::Green } else { Colour::Cyan };
        let (turns, label) = match shape {
            Shape::Bar | Shape::Total | Shape::Counts => ("", label),
            Shape::Words | Shape::Turns | Shape::Settles => ("{spinner} ", label.saturating_sub(2)),
        };
        let bar = match (bar, shape) {
            (0, _) | (_, Shape::Words) => String::new(),
            (_, Shape::Turns | Shape::Counts) => " ".repeat(bar + 2),
            _ => format!("  {}", look.paint(colour, &format!("{{bar:{bar}}}"))),
        };
        match shape {
            Shape::Words => format!("{turns}{{label:{label}!}}"),
            _ => format!("{turns}{{label:{label}!}}{bar}{{numbers}}"),
        }
    }

    /// The numbers of a row, each in its column.
    fn numbers(self, figures: &Figures) -> String {
        let cells = [
            (figures.percent(self), self.percent),
            (figures.bytes(self), self.bytes),
            (figures.rate(self), self.rate),
            (figures.eta(self), self.eta),
        ];
        let cells = cells.into_iter().filter(|(_, width)| *width > 0);
        let row = cells.map(|(text, width)| format!("  {text:>width$}")).collect::<Vec<_>>().concat();
        row.trim_end().to_owned()
    }
}

/// `name @snapshot`; a snapshot's name is shown whole or not at all, since its end tells one from another.
fn label(name: &str, to: &str, room: usize, look: Look) -> String {
    let (name, to) = (sanitise(name), sanitise(to));
    let beside = 2 + to.chars().count();
    if beside + name.chars().count().min(LEAST_NAME) > room {
        return shorten(&name, room, look.ellipsis()).into_owned();
    }
    format!("{} @{to}", shorten(&name, room - beside, look.ellipsis()))
}

/// As seen from SOURCE; SOURCE itself by its whole name.
fn relative<'a>(name: &'a str, top: &str) -> &'a str {
    name.strip_prefix(top).and_then(|rest| rest.strip_prefix('/')).filter(|rest| !rest.is_empty()).unwrap_or(name)
}

/// The row of a step.
pub(super) fn step(step: &Running, top: &str, columns: Columns, look: Look, now: Instant) -> Row {
    let shape = match (step.sent, step.total) {
        (Some(_), _) => Shape::Settles,
        (None, Some(_)) => Shape::Bar,
        (None, None) => Shape::Turns,
    };
    let room = if shape == Shape::Bar { columns.label } else { columns.label.saturating_sub(2) };
    // The true stream can be larger or smaller than was estimated.
    let total = if step.sent.is_some() { Some(step.bytes) } else { step.total.map(|total| total.max(step.bytes)) };
    let figures = Figures {
        done: step.bytes,
        total,
        guess: false,
        settles: step.sent.is_some(),
        rate: step.rate(now),
        eta: step.sent.map_or_else(|| step.eta(now), |since| Some(now.duration_since(since))),
    };
    let label = label(relative(&step.dataset, top), &step.to, room, look);
    Row { shape, label, numbers: columns.numbers(&figures), done: step.bytes, total: total.unwrap_or(0) }
}

/// The row below; `hidden` steps have none of their own.
pub(super) fn total(track: &Track, hidden: usize, columns: Columns, look: Look, now: Instant) -> Row {
    let (done, total) = (track.bytes(), track.total());
    let more = if hidden > 0 { format!(", {hidden} not shown") } else { String::new() };
    let label = format!("{}/{} steps{more}", track.ended, track.steps());
    let guess = total.is_some_and(|total| total > done);
    let figures = Figures { done, total, guess, settles: false, rate: track.rate(now), eta: track.eta(now) };
    let label = shorten(&label, columns.label, look.ellipsis()).into_owned();
    let shape = if total.is_some() { Shape::Total } else { Shape::Counts };
    Row { shape, label, numbers: columns.numbers(&figures), done, total: total.unwrap_or(0) }
}

/// Before there is a plan.
pub(super) fn waiting(track: &Track, now: Instant) -> Row {
    let label = format!("comparing {}", clock(now.duration_since(track.started)));
    Row { shape: Shape::Words, label, numbers: String::new(), done: 0, total: 0 }
}

/// The numbers of a row.
struct Figures {
    done: u64,
    total: Option<u64>,
    /// Whether the total is extrapolated.
    guess: bool,
    /// Whether the receiver is finishing; then `eta` is for how long already.
    settles: bool,
    rate: u64,
    eta: Option<Duration>,
}

impl Figures {
    /// Where there is no column for bytes, they stand here while no percentage is known.
    fn percent(&self, columns: Columns) -> String {
        match self.total {
            Some(total) => format!("{}%", percent(self.done, total)),
            None if columns.bytes == 0 => compact(self.done),
            None => String::new(),
        }
    }

    fn bytes(&self, columns: Columns) -> String {
        let size = if columns.long { bytes } else { compact };
        match self.total {
            Some(total) if total > self.done => {
                format!("{}/{}{}", size(self.done), if self.guess { "~" } else { "" }, size(total))
            }
            _ => size(self.done),
        }
    }

    fn rate(&self, columns: Columns) -> String {
        match columns.long {
            _ if self.settles => "writing".to_owned(),
            true => rate(self.rate),
            false => compact(self.rate) + "/s",
        }
    }

    fn eta(&self, columns: Columns) -> String {
        let head = if columns.eta > 8 && !self.settles { "ETA " } else { "" };
        self.eta.map_or(String::new(), |eta| format!("{head}{}", clock(eta)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::Event;
    use crate::report::fake;

    const LOOK: Look = Look { colour: false, utf8: true };

    #[test]
    fn names_are_relative_and_snapshots_whole() {
        let daily = "zfs-auto-snap_daily-2026-11-22";
        let shown = |name, to, room| label(relative(name, "tank/data"), to, room, LOOK);
        assert_eq!(shown("tank/data/home/alice", "new", 30), "home/alice @new");
        assert_eq!(shown("tank/data", "new", 30), "tank/data @new");
        assert_eq!(shown("tank/database/x", "new", 30), "tank/database/x @new");
        assert_eq!(shown("tank/data/home/alice", daily, 42), format!("home/alice @{daily}"));
        assert_eq!(shown("tank/data/department/home/alice", daily, 44), format!("depar…/alice @{daily}"));
        assert_eq!(shown("tank/data/department/home/alice", daily, 43), "department/home/alice");
        assert_eq!(shown("tank/data/department/home/alice", daily, 12), "depar…/alice");
    }

    #[test]
    fn a_row_fills_its_columns_and_no_more() {
        let start = Instant::now();
        let mut track = Track::new(start);
        for event in [fake::planned(2), fake::started(1, "tank/home/users/alice"), fake::estimated(1, 9 << 30)] {
            track.event(&event, start);
        }
        let later = start + Duration::from_secs(8);
        track.event(&fake::progress(1, 512 << 20), later);
        track.event(&Event::StepSent { step: 1, bytes: 9 << 30 }, later);
        for screen in 0..200 {
            let columns = Columns::of(screen);
            for row in [step(&track.running[&1], "tank", columns, LOOK, later), total(&track, 7, columns, LOOK, later)]
            {
                let bar = if columns.bar > 0 { columns.bar + 2 } else { 0 };
                let turns = if row.shape == Shape::Settles { 2 } else { 0 };
                let width = turns
                    + row.label.chars().count().max(columns.label.saturating_sub(turns))
                    + bar
                    + row.numbers.chars().count();
                assert!(width <= screen.saturating_sub(MARGIN).max(3), "{screen}: {row:?}");
            }
        }
    }
}
