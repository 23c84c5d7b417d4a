//! How far a comparison has come: one line on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::term::{Stderr, Surface as _, Term};
use crate::format::{bytes, sanitise};
use crate::plan::Pair;

/// Hears how far the reading is.
pub trait Progress: Send {
    /// The dataset behind `done` others of `all` is read now.
    fn begins(&mut self, _done: usize, _all: usize, _dataset: &str, _pair: &Pair) {}
    /// So many bytes were read on this side, and on the other.
    fn read(&mut self, _here: u64, _there: u64) {}
    /// All are through.
    fn ends(&mut self) {}
}

/// Nobody looks.
pub struct Silent;

impl Progress for Silent {}

/// One line on a terminal.
pub struct Line {
    bar: ProgressBar,
    what: String,
}

impl Line {
    fn new() -> Self {
        let bar =
            ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like_with_hz(Box::new(Term::new(Stderr)), 10));
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, what: String::new() }
    }

    fn show(&self, more: &str) {
        if !Stderr.is_behind() {
            self.bar.set_message(format!("{}{more}", self.what));
        }
    }
}

impl Progress for Line {
    fn begins(&mut self, done: usize, all: usize, dataset: &str, pair: &Pair) {
        self.what = format!("[{}/{all}] reading {}", done + 1, sanitise(&format!("{dataset}@{}", pair.here)));
        self.show("");
    }

    fn read(&mut self, here: u64, there: u64) {
        self.show(&format!(": {} here, {} there", bytes(here), bytes(there)));
    }

    fn ends(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Who shows how far it is.
#[must_use]
pub fn reading(wanted: bool) -> Box<dyn Progress> {
    if wanted && crate::report::terminal() { Box::new(Line::new()) } else { Box::new(Silent) }
}
