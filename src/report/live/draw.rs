//! The live lines of the bars: from what is known of a run to rows of text for a screen of a given size. Pure.

use std::time::{Duration, Instant};

use super::screen::visible_width;
use crate::format::{bytes, clock, compact, percent, rate, sanitise, shorten};
use crate::report::look::{Colour, Look};
use crate::report::track::{Phase, Running, Track};

/// More running steps than this are only counted.
const MOST_ROWS: usize = 16;

/// Columns left free at the right, so that the `^C` that a terminal echoes doesn't begin a new row.
const MARGIN: usize = 3;

/// The rows for a screen of `size` (columns, rows) at the time `now`: the running steps and the total below them.
pub(super) fn frame(track: &Track, look: Look, size: (usize, usize), now: Instant) -> Vec<String> {
    let width = size.0.saturating_sub(MARGIN).max(1);
    if track.phase != Phase::Running {
        return vec![waiting(track, look, width, now)];
    }
    let columns = Columns::fit(width);
    // The total, and one row for what stood there before.
    let room = size.1.saturating_sub(2).min(MOST_ROWS);
    let running = track.running.len();
    let shown = if running > room { room.saturating_sub(1) } else { running };
    let mut rows: Vec<String> =
        track.running.values().take(shown).map(|step| step_row(step, now).draw(columns, look)).collect();
    if running > shown && room > 0 {
        let more = format!("  {} and {} more", look.ellipsis(), running - shown);
        rows.push(look.paint(Colour::Dim, &shorten(&more, width, look.ellipsis())));
    }
    rows.push(total_row(track, now).draw(columns, look));
    rows
}

/// Before there is a plan.
fn waiting(track: &Track, look: Look, width: usize, now: Instant) -> String {
    let since = now.duration_since(track.started);
    let text = format!("{} comparing {}", spinner(look, since), clock(since));
    shorten(&text, width, look.ellipsis()).into_owned()
}

/// The contents of a row.
struct Row<'a> {
    /// With the time that turns the spinner.
    spins: Option<Duration>,
    name: &'a str,
    /// The snapshot after the arrow.
    to: Option<&'a str>,
    done: u64,
    total: Option<u64>,
    /// Whether the total is extrapolated.
    guess: bool,
    /// What the rate's column says instead of `rate`.
    state: Option<String>,
    rate: u64,
    eta: Option<Duration>,
}

fn step_row(step: &Running, now: Instant) -> Row<'_> {
    let unclear = step.total.is_none() || step.sent.is_some();
    Row {
        spins: unclear.then(|| now.duration_since(step.started)),
        name: &step.dataset,
        to: Some(&step.to),
        done: step.bytes,
        // The true stream can be larger or smaller than was estimated.
        total: if step.sent.is_some() { Some(step.bytes) } else { step.total.map(|total| total.max(step.bytes)) },
        guess: false,
        state: step.sent.map(|_| "settling".to_owned()),
        rate: step.rate(now),
        eta: step.sent.map_or_else(|| step.eta(now), |since| Some(now.duration_since(since))),
    }
}

fn total_row(track: &Track, now: Instant) -> TotalRow {
    TotalRow {
        name: format!("{}/{} steps", track.ended, track.steps()),
        done: track.bytes(),
        total: track.total(),
        rate: track.rate(now),
        eta: track.eta(now),
    }
}

struct TotalRow {
    name: String,
    done: u64,
    total: Option<u64>,
    rate: u64,
    eta: Option<Duration>,
}

impl TotalRow {
    fn draw(&self, columns: Columns, look: Look) -> String {
        let &Self { ref name, done, total, rate, eta } = self;
        let guess = total.is_some_and(|total| total > done);
        Row { spins: None, name, to: None, done, total, guess, state: None, rate, eta }.draw(columns, look)
    }
}

/// Which columns there are, the same for all rows, and how wide; 0: not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Columns {
    label: usize,
    bar: usize,
    percent: usize,
    bytes: usize,
    rate: usize,
    eta: usize,
    /// Units are spelled out.
    long: bool,
}

impl Columns {
    /// The columns for `width`, the most telling ones first; names keep a good part of it.
    fn fit(width: usize) -> Self {
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
}

impl Row<'_> {
    fn draw(&self, columns: Columns, look: Look) -> String {
        let cells = [
            (self.bar(columns.bar, look), columns.bar),
            (self.percent(columns), columns.percent),
            (self.bytes(columns), columns.bytes),
            (self.rate(columns), columns.rate),
            (self.eta(columns), columns.eta),
        ];
        let label = self.label(columns.label, look);
        let pad = columns.label.saturating_sub(label.chars().count());
        let mut row = format!("{label}{}", " ".repeat(pad));
        for (text, width) in cells.into_iter().filter(|(_, width)| *width > 0) {
            let blanks = width.saturating_sub(visible_width(&text)) + 2;
            row.push_str(&" ".repeat(blanks));
            row.push_str(&text);
        }
        row.trim_end().to_owned()
    }

    /// `⠋ pool/…/name → snapshot`
    fn label(&self, room: usize, look: Look) -> String {
        let mark = self.spins.map_or(String::new(), |since| format!("{} ", spinner(look, since)));
        let room = room.saturating_sub(mark.chars().count());
        let name = sanitise(self.name);
        let Some(to) = self.to.map(sanitise).filter(|_| room >= 22) else {
            return format!("{mark}{}", shorten(&name, room, look.ellipsis()));
        };
        let room = room - look.arrow().chars().count() - 2;
        // The longer of the two is shortened; the snapshot never takes more than two fifths from a long name.
        let for_to = (room * 2 / 5).max(room.saturating_sub(name.chars().count()));
        let to = shorten(&to, for_to, look.ellipsis());
        let name = shorten(&name, room - to.chars().count(), look.ellipsis());
        format!("{mark}{name} {} {to}", look.arrow())
    }

    fn bar(&self, width: usize, look: Look) -> String {
        let Some(total) = self.total.filter(|_| width > 0) else { return String::new() };
        let cells = u128::try_from(width).unwrap_or(0) * u128::from(self.done) / u128::from(total.max(1));
        let full = usize::try_from(cells).unwrap_or(width).min(width);
        let (on, off) = if look.utf8 { ("━", "─") } else { ("=", "-") };
        let colour = if self.to.is_some() { Colour::Cyan } else { Colour::Green };
        format!("{}{}", look.paint(colour, &on.repeat(full)), look.paint(Colour::Dim, &off.repeat(width - full)))
    }

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
        match &self.state {
            Some(state) => state.clone(),
            None if columns.long => rate(self.rate),
            None => compact(self.rate) + "/s",
        }
    }

    fn eta(&self, columns: Columns) -> String {
        let head = if columns.eta > 8 && self.state.is_none() { "ETA " } else { "" };
        self.eta.map_or(String::new(), |eta| format!("{head}{}", clock(eta)))
    }
}

fn spinner(look: Look, since: Duration) -> char {
    let turns = if look.utf8 { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" } else { "|/-\\" };
    let turn = since.as_millis() / 200 % u128::try_from(turns.chars().count()).unwrap_or(1);
    turns.chars().nth(usize::try_from(turn).unwrap_or(0)).unwrap_or('*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::Event;
    use crate::report::fake;

    const PLAIN: Look = Look { colour: false, utf8: true };
    const MIB: u64 = 1 << 20;

    /// A run after ten seconds: one step under way, one settling, one of unknown size.
    fn track(start: Instant) -> Track {
        let mut track = Track::new(start);
        let started = |step, dataset: &str| {
            let (dataset, to) = (dataset.to_owned(), "zfs-auto-snap_daily-2026-11-22".to_owned());
            Event::StepStarted { step, dataset, from: None, resumed: false, to, snapshots: 1 }
        };
        let events = [
            fake::planned(12),
            started(1, "tank/home/users/alice"),
            fake::estimated(1, 1024 * MIB),
            started(2, "tank/vm"),
            started(3, "tank/b"),
            fake::estimated(3, 9 * MIB),
        ];
        for event in events {
            track.event(&event, start);
        }
        let later = start + Duration::from_secs(8);
        for event in [fake::progress(1, 512 * MIB), fake::progress(2, 100_000), fake::sent(3, 9 * MIB)] {
            track.event(&event, later);
        }
        track
    }

    fn shown(size: (usize, usize)) -> String {
        let start = Instant::now();
        frame(&track(start), PLAIN, size, start + Duration::from_secs(10)).join("\n")
    }

    #[test]
    fn rows_for_every_width() {
        let at_80 = "\
tank/h…s/alice → zfs-…1-22  ━━━━────    50%    512M/1.00G   51.2M/s      0:10
⠋ tank/vm → zfs-au…6-11-22                          97.7K   9.77K/s
⠋ tank/b → zfs-aut…6-11-22  ━━━━━━━━   100%         9.00M  settling      0:02
0/12 steps                  ────────     8%   521M/~6.05G   52.1M/s      1:48";
        assert_eq!(shown((80, 24)), at_80);
        let at_40 = "\
tank/home…sers/alice    50%   51.2M/s
⠋ tank/vm             97.7K   9.77K/s
⠋ tank/b               100%  settling
0/12 steps               8%   52.1M/s";
        assert_eq!(shown((40, 24)), at_40);
        let wide = shown((140, 24));
        assert!(
            wide.starts_with("tank/home/users/alice → zfs-auto-snap…ly-2026-11-22  ━━━━━━━━━━━━────────────    50% ")
        );
        assert!(wide.contains(" 512.0 MiB/1.00 GiB    51.2 MiB/s      ETA 0:10\n"), "{wide}");
    }

    #[test]
    fn nothing_is_wider_than_the_screen() {
        let start = Instant::now();
        let looks = [PLAIN, Look { colour: true, utf8: false }];
        for (width, look) in (0..200).flat_map(|width| looks.map(|look| (width, look))) {
            for row in frame(&track(start), look, (width, 24), start + Duration::from_secs(9)) {
                assert!(visible_width(&row) <= width.saturating_sub(MARGIN).max(1), "{width}: {row}");
            }
        }
    }

    #[test]
    fn many_steps_dont_flood() {
        let start = Instant::now();
        let mut track = Track::new(start);
        for step in 1..=40 {
            track.event(&fake::started(step, "p/a"), start);
        }
        for (height, rows) in [(50, 17), (10, 9), (3, 2), (2, 1), (0, 1)] {
            assert_eq!(frame(&track, PLAIN, (80, height), start).len(), rows, "{height}");
        }
        assert_eq!(frame(&track, PLAIN, (80, 50), start)[15], "  … and 25 more");
    }

    #[test]
    fn before_the_plan() {
        let start = Instant::now();
        let mut track = Track::new(start);
        let later = start + Duration::from_secs(3);
        let helper = "zfsync".to_owned();
        track.event(&Event::Connected { host: None, helper, took: Duration::from_secs(3) }, later);
        assert_eq!(frame(&track, PLAIN, (80, 24), later), ["⠴ comparing 0:03"]);
    }
}
