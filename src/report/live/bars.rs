//! Live bars on a terminal: one line a running step, a total below, and whatever is worth keeping printed above them.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, WeakProgressBar};

use super::draw;
use super::screen::{Screen, Stderr, Surface};
use crate::report::event::Event;
use crate::report::lines::Words;
use crate::report::look::Look;
use crate::report::output;
use crate::report::track::Track;
use crate::report::{Clock, Reporter, SystemClock};

/// How often the bars are drawn when nothing happens, so that a stall shows.
const TICK: Duration = Duration::from_millis(200);

/// The bars that are on stderr now; who writes there has to go around them.
static ACTIVE: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Runs `write` while no bar is on the terminal.
pub(in crate::report) fn suspended<R>(write: impl FnOnce() -> R) -> R {
    let active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(WeakProgressBar::upgrade);
    match active {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Draws a run. All rows are one bar to indicatif, so that they change together. Nothing is drawn before the connection is up: ssh
/// may be asking for a password at this very terminal.
pub(in crate::report) struct Bars {
    bar: ProgressBar,
    draws: bool,
    /// Whether they are on this process's stderr, and move by themselves.
    live: bool,
    track: Arc<Mutex<Track>>,
    clock: Arc<dyn Clock>,
    out: Box<dyn Write + Send>,
    words: Words,
    verbose: u8,
}

impl Bars {
    /// Bars on this process's stderr, which is a terminal.
    pub fn on_stderr(verbose: u8) -> Self {
        let look = Look::of_env(true);
        let mut bars = Self::new(Stderr, Box::new(output::stderr()), Arc::new(SystemClock), look, verbose);
        bars.live = true;
        bars
    }

    fn draw_from_now_on(&mut self) {
        self.draws = true;
        if self.live {
            *ACTIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.bar.downgrade());
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// Bars on `surface`; `out` takes the lines above them and ends up on the same screen.
    fn new<S: Surface + Clone + 'static>(
        surface: S,
        out: Box<dyn Write + Send>,
        clock: Arc<dyn Clock>,
        look: Look,
        verbose: u8,
    ) -> Self {
        let track = Arc::new(Mutex::new(Track::new(clock.now())));
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen::new(surface.clone())), 10);
        let bar = ProgressBar::with_draw_target(None, target);
        let (seen, time) = (Arc::clone(&track), Arc::clone(&clock));
        let rows = move |_: &ProgressState, text: &mut dyn std::fmt::Write| {
            let track = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = text.write_str(&draw::frame(&track, look, surface.size(), time.now()).join("\n"));
        };
        if let Ok(style) = ProgressStyle::with_template("{rows}") {
            bar.set_style(style.with_key("rows", rows));
        }
        Self { bar, draws: false, live: false, track, clock, out, words: Words(look), verbose }
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
            event => self.words.always(event),
        }
    }
}

impl Reporter for Bars {
    fn event(&mut self, event: &Event) {
        self.track.lock().unwrap_or_else(PoisonError::into_inner).event(event, self.clock.now());
        if matches!(event, Event::Finished(_)) && self.draws {
            self.bar.finish_and_clear();
        }
        if !self.draws && matches!(event, Event::Connected { .. } | Event::Planned { .. }) {
            self.draw_from_now_on();
        }
        let text = self.text(event);
        let out = &mut self.out;
        if let Some(text) = text {
            // Nobody is left to be told that the terminal is gone.
            let _ = if self.draws { self.bar.suspend(|| writeln!(out, "{text}")) } else { writeln!(out, "{text}") };
        } else if !self.draws {
            // A prompt of ssh may stand there.
        } else if !matches!(event, Event::Progress { .. }) {
            self.bar.tick();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // A run that ended without its last event leaves a clean terminal too.
        if self.draws && !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
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

    fn bars(columns: u16, verbose: u8) -> (Bars, FakeClock, InMemoryTerm) {
        let (clock, term) = (FakeClock::new(), InMemoryTerm::new(12, columns));
        let look = Look { colour: true, utf8: true };
        let memory = Memory(term.clone());
        let bars = Bars::new(memory.clone(), Box::new(memory), Arc::new(clock.clone()), look, verbose);
        (bars, clock, term)
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
        let (mut bars, clock, term) = bars(80, 0);
        bars.event(&fake::notice(None));
        assert_eq!(term.contents(), "no snapshots");
        run(&mut bars, &clock);
        let above = "no snapshots\ntank/c: no snapshots\ntank/x → q/x: conflict: no common snapshot\n  only on the source: @a\n";
        let live = "\
tank/home/alice → new       ━━──────    25%   16.0M/64.0M   4.00M/s      0:12
⠋ tank/b → new                                         0B      0B/s
0/3 steps                   ────────     8%   16.0M/~192M   4.00M/s      0:44";
        assert_eq!(term.contents(), format!("{above}{live}"));
        bars.event(&Event::Finished(Summary { datasets: 9, in_sync: 9, ..Summary::default() }));
        assert_eq!(term.contents(), format!("{above}zfsync: 9 datasets in sync, nothing to do (0.0 s)"));
    }

    #[test]
    fn at_40_columns() {
        let (mut bars, clock, term) = bars(40, 1);
        run(&mut bars, &clock);
        let above = "9 datasets, 6 in sync, 3 steps to do\ntank/c: no snapshots\n\
                     tank/x → q/x: conflict: no common snapsh\not\n  only on the source: @a\n";
        let live = "\
tank/home/alice         25%   4.00M/s
⠋ tank/b                 0B      0B/s
0/3 steps                8%   4.00M/s";
        assert_eq!(term.contents(), format!("{above}{live}"));
        bars.event(&fake::done(1, "tank/home/alice", 64 << 20));
        drop(bars);
        let done = "tank/home/alice: received @new, 2 snapsh\nots, 64.0 MiB in 2.0 s (32.0 MiB/s)";
        assert_eq!(term.contents(), format!("{above}{done}"));
    }
}
