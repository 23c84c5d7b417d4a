//! The terminal on which indicatif draws: what it writes is collected, and goes to this process's stderr frame by frame.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

use crate::report::output;

/// Something with rows and columns that understands escape sequences.
pub(super) trait Surface: Debug + Send + Sync {
    /// Columns and rows.
    fn size(&self) -> (usize, usize);
    fn write(&self, text: &str) -> io::Result<()>;
    /// Whether what was written before has not come there yet.
    fn is_behind(&self) -> bool {
        false
    }
}

/// This process's stderr.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stderr;

impl Surface for Stderr {
    fn size(&self) -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        // What a terminal that doesn't tell most probably has.
        size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        output::stderr().write_all(text.as_bytes())
    }

    fn is_behind(&self) -> bool {
        output::stderr().is_behind()
    }
}

/// A terminal whose output is written at each flush, in one piece.
#[derive(Debug)]
pub(super) struct Term<S> {
    surface: S,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    frame: String,
    /// In which column the cursor is; in the last one the next character begins a new row.
    column: usize,
}

impl<S: Surface> Term<S> {
    pub fn new(surface: S) -> Self {
        Self { surface, state: Mutex::default() }
    }

    /// What is done never fails: indicatif takes an error for a fault of the program, and a terminal that is gone must not end a run.
    #[expect(clippy::unnecessary_wraps, reason = "TermLike wants it")]
    fn with(&self, change: impl FnOnce(&mut State, usize)) -> io::Result<()> {
        let width = self.surface.size().0.max(1);
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner), width);
        Ok(())
    }
}

impl State {
    /// Blanks up to the last column are left out: they make a terminal that becomes narrower wrap the row, and leave no room for the
    /// `^C` that it echoes.
    fn write(&mut self, text: &str, width: usize) {
        if text.is_empty() {
            return;
        }
        if text == "\r" {
            self.column = 0;
        } else if self.column >= width {
            self.frame.push_str("\r\n");
            self.column = 0;
        }
        let end = self.column + console::measure_text_width(text);
        let blank = end == width && text.bytes().all(|byte| byte == b' ');
        self.frame.push_str(if blank { "\x1b[K" } else { text });
        self.column = if end > width { end % width } else { end };
    }

    fn moved(&mut self, by: usize, direction: char) {
        if by > 0 {
            let _ = write!(self.frame, "\x1b[{by}{direction}");
        }
    }
}

impl<S: Surface> TermLike for Term<S> {
    fn width(&self) -> u16 {
        u16::try_from(self.surface.size().0).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.surface.size().1).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.with(|state, _| state.moved(n, 'A'))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.with(|state, _| state.moved(n, 'B'))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.with(|state, width| {
            state.moved(n, 'C');
            state.column = (state.column + n).min(width - 1);
        })
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.with(|state, _| {
            state.moved(n, 'D');
            state.column = state.column.saturating_sub(n);
        })
    }

    fn clear_line(&self) -> io::Result<()> {
        self.with(|state, _| {
            state.frame.push_str("\r\x1b[2K");
            state.column = 0;
        })
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.with(|state, width| {
            state.write(text, width);
            state.frame.push_str("\r\n");
            state.column = 0;
        })
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.with(|state, width| state.write(text, width))
    }

    fn flush(&self) -> io::Result<()> {
        let frame = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).frame);
        if !frame.is_empty() {
            // Nobody is left to be told that the terminal is gone.
            let _ = self.surface.write(&frame);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parts: &[&str], width: usize) -> String {
        let mut state = State::default();
        for part in parts {
            state.write(part, width);
        }
        state.frame
    }

    #[test]
    fn blanks_up_to_the_last_column_are_erased_instead() {
        assert_eq!(written(&["ab", "  ", "cd", "  "], 4), "ab\x1b[K\r\ncd\x1b[K");
        // Those that end before it, or are text, are written.
        assert_eq!(written(&["ab", " ", "c"], 4), "ab c");
        assert_eq!(written(&["abcd", "", "e"], 4), "abcd\r\ne");
        assert_eq!(written(&["\x1b[31mab\x1b[0m", "  ", "\r", "x"], 4), "\x1b[31mab\x1b[0m\x1b[K\rx");
        assert_eq!(written(&["abcdef", "  ", "g"], 4), "abcdef\x1b[K\r\ng");
    }
}
