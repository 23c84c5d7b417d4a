//! How far a comparison has come: one line on a terminal.

use std::io::{self, Write as _};

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

/// One line on a terminal, written over again and again.
#[derive(Default)]
pub struct Line {
    what: String,
}

impl Line {
    fn show(&self, more: &str) {
        let columns = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map_or(80, |size| size.ws_col.into());
        let line: String = format!("{}{more}", self.what).chars().take(columns).collect();
        // Only a display.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
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
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

/// Who shows how far it is.
#[must_use]
pub fn reading(wanted: bool) -> Box<dyn Progress> {
    if wanted && crate::report::terminal() { Box::new(Line::default()) } else { Box::new(Silent) }
}
