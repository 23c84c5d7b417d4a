//! Live bars on a terminal, drawn by indicatif: one row a running step, a total below, and whatever is worth keeping printed above them.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::rows::{self, Columns, Row, Shape};
use super::term::{Stderr, Surface, Term};
use crate::plan::StepId;
use crate::report::event::Event;
use crate::report::lines::Words;
use crate::report::look::Look;
use crate::report::output;
use crate::report::track::{Phase, Track};
use crate::report::wrap::Wrapped;
use crate::report::{Clock, Reporter, SystemClock};

/// How often the bars are drawn.
const TICK: Duration = Duration::from_millis(200);

/// The bars that are on stderr now; who writes there has to go around them.
static ACTIVE: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Runs `write` while no bar is on the terminal.
pub(in crate::report) fn suspended<R>(write: impl FnOnce() -> R) -> R {
    let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match active {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// Draws a run. Nothing is drawn before all connections are up: ssh may be asking for a password at this very terminal.
pub(in crate::report) struct Bars {
    display: Arc<Mutex<Display>>,
    /// Whether they are on this process's stderr, and move by themselves.
    live: bool,
    /// Dropped, it ends the thread that moves them.
    ticks: Option<mpsc::Sender<()>>,
    clock: Arc<dyn Clock>,
    out: Box<dyn Write + Send>,
    words: Words,
    verbose: u8,
}

impl Bars {
    /// Bars on this process's stderr, which is a terminal; names are shown relative to `top`.
    pub fn on_stderr(verbose: u8, top: &str) -> Self {
        let look = Look::of(&std::io::stderr());
        let mut bars =
            Self::new(Stderr, Box::new(Wrapped::new(output::stderr())), Arc::new(SystemClock), look, verbose, top);
        bars.live = true;
        bars
    }

    /// Bars on `surface`; `out` takes the lines above them and ends up on the same screen.
    fn new<S: Surface + Clone + 'static>(
        surface: S,
        out: Box<dyn Write + Send>,
        clock: Arc<dyn Clock>,
        look: Look,
        verbose: u8,
        top: &str,
    ) -> Self {
        let target = ProgressDrawTarget::term_like(Box::new(Term::new(surface.clone())));
        let display = Display {
            bars: MultiProgress::with_draw_target(target),
            surface: Box::new(surface),
            look,
            top: top.to_owned(),
            track: Track::new(clock.now()),
            drawn: None,
        };
        let display = Arc::new(Mutex::new(display));
        Self { display, live: false, ticks: None, clock, out, words: Words(look), verbose }
    }

    fn display(&self) -> MutexGuard<'_, Display> {
        self.display.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw_from_now_on(&mut self) {
        let mut display = self.display();
        display.draw(self.clock.now());
        let bars = display.bars.clone();
        drop(display);
        if self.live {
            *ACTIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars);
            let (ticks, ended) = mpsc::channel();
            let (display, clock) = (Arc::clone(&self.display), Arc::clone(&self.clock));
            let tick = move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    display.lock().unwrap_or_else(PoisonError::into_inner).refresh(clock.now());
                }
            };
            // Without the thread the bars move when something happens.
            let _ = std::thread::Builder::new().name("bars".into()).spawn(tick);
            self.ticks = Some(ticks);
        }
    }

    fn end(&mut self) {
        self.ticks = None;
        if self.live {
            *ACTIVE.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.display().clear();
    }

    /// The line above the bars for an event, if it deserves one.
    fn text(&self, event: &Event) -> Option<String> {
        match event {
            Event::Connected { helper, took, .. } if self.verbose > 0 => Some(Words::connected(helper, *took)),
            Event::Planned { datasets, in_sync, steps } if self.verbose > 0 => {
                Some(Words::planned(*datasets, *in_sync, *steps))
            }
            Event::StepDone { dataset, to, snapshots, bytes, took, .. } if self.verbose > 0 => {
                Some(Words::done(dataset, to, *snapshots, *bytes, *took))
            }
            event => self.words.always(event).or_else(|| Words::planned_anew(event).filter(|_| self.verbose > 0)),
        }
    }
}

impl Reporter for Bars {
    fn event(&mut self, event: &Event) {
        let now = self.clock.now();
        self.display().track.event(event, now);
        if matches!(event, Event::Finished(_)) {
            self.end();
        } else if !self.display().is_drawn() && matches!(event, Event::Connected { .. } | Event::Planned { .. }) {
            self.draw_from_now_on();
        }
        if let Some(text) = self.text(event) {
            let bars = self.display().drawn_bars();
            let out = &mut self.out;
            // Nobody is left to be told that the terminal is gone.
            let _ = match bars {
                Some(bars) => bars.suspend(|| writeln!(out, "{text}")),
                None => writeln!(out, "{text}"),
            };
        }
        // How far steps have come is drawn by the clock.
        if !matches!(event, Event::Progress { .. }) {
            self.display().refresh(now);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // A run that ended without its last event leaves a clean terminal too.
        self.end();
    }
}

/// The bars, and what they are made from.
struct Display {
    bars: MultiProgress,
    surface: Box<dyn Surface>,
    look: Look,
    top: String,
    track: Track,
    /// What stands on the terminal, once anything may.
    drawn: Option<Drawn>,
}

struct Drawn {
    steps: BTreeMap<StepId, Bar>,
    /// The lowest row.
    total: Bar,
}

impl Display {
    fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// What has to be gone around.
    fn drawn_bars(&self) -> Option<MultiProgress> {
        self.is_drawn().then(|| self.bars.clone())
    }

    /// Draws from now on.
    fn draw(&mut self, now: std::time::Instant) {
        let total = Bar::new(self.bars.add(ProgressBar::new(0)));
        self.drawn = Some(Drawn { steps: BTreeMap::new(), total });
        self.refresh(now);
    }

    /// Brings what is drawn up to date, where anything is, and somebody sees it.
    fn refresh(&mut self, now: std::time::Instant) {
        let Some(drawn) = &mut self.drawn else { return };
        if self.surface.is_behind() {
            return;
        }
        let (width, height) = self.surface.size();
        let (columns, track, look) = (Columns::of(width), &self.track, self.look);
        if track.phase != Phase::Running {
            drawn.total.show(rows::waiting(track, now), columns, look);
            return;
        }
        let over: Vec<StepId> = drawn.steps.keys().filter(|step| !track.running.contains_key(step)).copied().collect();
        for bar in over.iter().filter_map(|step| drawn.steps.remove(step)) {
            bar.drawn.finish_and_clear();
            self.bars.remove(&bar.drawn);
        }
        for (step, running) in track.running.iter().take(rows::most_rows(height)) {
            let bar = drawn
                .steps
                .entry(*step)
                .or_insert_with(|| Bar::new(self.bars.insert_before(&drawn.total.drawn, ProgressBar::new(0))));
            bar.show(rows::step(running, &self.top, columns, look, now), columns, look);
        }
        let hidden = track.running.len().saturating_sub(drawn.steps.len());
        drawn.total.show(rows::total(track, hidden, columns, look, now), columns, look);
    }

    /// Takes all off the terminal.
    fn clear(&mut self) {
        if let Some(drawn) = self.drawn.take() {
            for bar in drawn.steps.into_values().chain([drawn.total]) {
                bar.drawn.finish_and_clear();
                self.bars.remove(&bar.drawn);
            }
            // It never fails.
            let _ = self.bars.clear();
        }
    }
}

/// A row on the terminal.
struct Bar {
    drawn: ProgressBar,
    /// What its template asks for.
    row: Arc<Mutex<Row>>,
    /// How it is drawn.
    style: Option<(Shape, Columns)>,
}

impl Bar {
    fn new(bar: ProgressBar) -> Self {
        Self { drawn: bar, row: Arc::default(), style: None }
    }

    /// A key of the template.
    fn key(
        &self,
        part: fn(&Row) -> &str,
    ) -> impl Fn(&ProgressState, &mut dyn std::fmt::Write) + Clone + Send + Sync + 'static {
        let row = Arc::clone(&self.row);
        move |_: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = text.write_str(part(&row.lock().unwrap_or_else(PoisonError::into_inner)));
        }
    }

    fn show(&mut self, row: Row, columns: Columns, look: Look) {
        if self.style != Some((row.shape, columns)) {
            self.style = Some((row.shape, columns));
            if let Ok(style) = ProgressStyle::with_template(&columns.template(row.shape, look)) {
                let (bar, turns) =
                    if look.utf8 { ("━─", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏") } else { ("=-", "|/-\\") };
                let style = style
                    .with_key("label", self.key(|row| &row.label))
                    .with_key("numbers", self.key(|row| &row.numbers));
                self.drawn.set_style(style.progress_chars(bar).tick_chars(turns));
            }
        }
        let (total, done) = (row.total, row.done);
        *self.row.lock().unwrap_or_else(PoisonError::into_inner) = row;
        // Draws.
        self.drawn.update(|state| {
            state.set_len(total);
            state.set_pos(done);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::{InMemoryTerm, TermLike};

    use super::*;
    use crate::report::event::Summary;
    use crate::report::fake::{self, FakeClock};

    #[derive(Debug, Clone)]
    struct Memory(InMemoryTerm);

    impl Surface for Memory {
        fn size(&self) -> (usize, usize) {
            (TermLike::width(&self.0).into(), TermLike::height(&self.0).into())
        }

        fn write(&self, text: &str) -> io::Result<()> {
            self.0.write_str(text)
        }
    }

    impl Write for Memory {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // A real terminal begins a new line at the left.
            self.0.write_str(&String::from_utf8_lossy(text).replace('\n', "\r\n")).map(|()| text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn bars(rows: u16, columns: u16, verbose: u8) -> (Bars, FakeClock, InMemoryTerm) {
        let (clock, term) = (FakeClock::new(), InMemoryTerm::new(rows, columns));
        let look = Look { colour: true, utf8: true };
        let memory = Memory(term.clone());
        let bars = Bars::new(memory.clone(), Box::new(memory), Arc::new(clock.clone()), look, verbose, "tank");
        (bars, clock, term)
    }

    /// What stands there; the sign that turns as a star.
    fn shown(term: &InMemoryTerm) -> String {
        term.contents().replace(|ch| "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏".contains(ch), "*")
    }

    fn run(bars: &mut Bars, clock: &FakeClock) {
        for event in [fake::planned(3), fake::started(1, "tank/home/alice"), fake::estimated(1, 64 << 20)] {
            bars.event(&event);
        }
        clock.pass(4.0);
        for event in [fake::progress(1, 16 << 20), fake::started(2, "tank/b"), fake::notice(Some("tank/c"))] {
            bars.event(&event);
        }
        bars.event(&fake::dataset_failed("tank/x"));
    }

    #[test]
    fn at_80_columns() {
        let (mut bars, clock, term) = bars(12, 80, 0);
        bars.event(&fake::notice(None));
        assert_eq!(term.contents(), "no snapshots");
        run(&mut bars, &clock);
        let above = "no snapshots\ntank/c: no snapshots\ntank/x -> q/x: conflict: no common snapshot\n  only on the source: @a\n";
        let live = "\
home/alice @new           ━━──────    25%   16.0M/64.0M   4.00M/s      0:12
* b @new                                             0B      0B/s
0/3 steps                 ────────     8%   16.0M/~192M   4.00M/s      0:44";
        assert_eq!(shown(&term), format!("{above}{live}"));
        bars.event(&fake::sent(1, 64 << 20));
        clock.pass(1.0);
        bars.event(&fake::done(2, "tank/b", 1 << 20));
        let live = "\
* home/alice @new         ━━━━━━━━   100%         64.0M   writing      0:01
1/3 steps                 ━━━━━───    66%  65.0M/~97.5M   13.0M/s      0:02";
        assert_eq!(shown(&term), format!("{above}{live}"));
        bars.event(&Event::Finished(Summary { datasets: 9, in_sync: 9, ..Summary::default() }));
        assert_eq!(term.contents(), format!("{above}zfsync: 9 datasets in sync, nothing to do (0.0 s)"));
    }

    #[test]
    fn at_40_columns() {
        let (mut bars, clock, term) = bars(12, 40, 1);
        run(&mut bars, &clock);
        let above = "9 datasets, 6 in sync, 3 steps to do\ntank/c: no snapshots\n\
                     tank/x -> q/x: conflict: no common snaps\nhot\n  only on the source: @a\n";
        let live = "\
home/alice @new       25%   4.00M/s
* b @new               0B      0B/s
0/3 steps              8%   4.00M/s";
        assert_eq!(shown(&term), format!("{above}{live}"));
        bars.event(&fake::done(1, "tank/home/alice", 64 << 20));
        drop(bars);
        let done = "tank/home/alice: received @new, 2 snapsh\nots, 64.0 MiB in 2.0 s (32.0 MiB/s)";
        assert_eq!(term.contents(), format!("{above}{done}"));
    }

    /// The terminal echoes it where the cursor is, at once: twice, and a letter, before the next drawing.
    #[test]
    fn ctrl_c_pressed_twice_leaves_nothing() {
        for columns in [40, 80, 100, 140] {
            let (mut bars, clock, term) = bars(12, columns, 0);
            for event in [fake::planned(3), fake::started(1, "tank/home/alice"), fake::estimated(1, 64 << 20)] {
                bars.event(&event);
            }
            clock.pass(4.0);
            bars.event(&fake::progress(1, 16 << 20));
            bars.display().refresh(clock.now());
            term.write_str("^C^Cx").unwrap();
            bars.event(&Event::Finished(Summary { interrupted: true, ..Summary::default() }));
            let left = term.contents();
            assert!(left.starts_with("zfsync: "), "{columns}: {left}");
        }
    }

    #[test]
    fn before_the_plan_a_line_says_what_is_done() {
        let (mut bars, clock, term) = bars(12, 80, 0);
        clock.pass(3.0);
        let took = Duration::from_secs(3);
        bars.event(&Event::Connected { host: None, helper: "zfsync".to_owned(), took });
        assert_eq!(shown(&term), "* comparing 0:03");
    }

    #[test]
    fn many_steps_leave_the_total_in_sight() {
        let (mut bars, _, term) = bars(10, 80, 0);
        bars.event(&fake::planned(40));
        for step in 1..=20 {
            bars.event(&fake::started(step, &format!("tank/{step}")));
        }
        let lines: Vec<String> = shown(&term).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 9, "{lines:#?}");
        assert!(lines[8].starts_with("0/40 steps, 12 not shown  ") && lines[0].starts_with("* 1 @new"), "{lines:#?}");
        bars.event(&fake::done(3, "tank/3", 1));
        assert!(shown(&term).contains("* 9 @new") && !shown(&term).contains("* 3 @new"), "{}", shown(&term));
    }
}
