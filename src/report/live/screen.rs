//! The terminal as indicatif's drawing target. indicatif decides what is drawn and when; how it comes onto the screen
//! is decided here, because indicatif's own way (lines filled up to the last column) goes wrong as soon as the
//! terminal gets another width or echoes a `^C`: then old lines stay, or lines above are lost.

use std::fmt::Debug;
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

/// Collects what indicatif writes and puts it onto the surface in one piece, over what was there before.
#[derive(Debug)]
pub(super) struct Screen<S> {
    surface: S,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The lines of the drawing under way; after each one indicatif writes blanks to fill it, which are left out.
    next: Vec<String>,
    filler: bool,
    /// How wide the lines are that stand on the surface now; the cursor is at the end of the last one.
    drawn: Vec<usize>,
    /// How wide the surface was then.
    width: usize,
}

impl<S: Surface> Screen<S> {
    pub fn new(surface: S) -> Self {
        Self { surface, state: Mutex::default() }
    }
}

impl State {
    /// The text that replaces what stands on a surface of `width` columns by the collected lines.
    fn frame(&mut self, width: usize) -> String {
        let lines = std::mem::take(&mut self.next);
        self.filler = false;
        if lines.is_empty() && self.drawn.is_empty() {
            return String::new();
        }
        // A terminal that became narrower has wrapped the lines.
        let rows: usize = self.drawn.iter().map(|line| line.div_ceil(width.max(1)).max(1)).sum();
        let mut frame = if rows > 1 { format!("\x1b[{}A\r", rows - 1) } else { "\r".to_owned() };
        if self.width != width {
            // A terminal remembers which rows it has wrapped, and would join the new lines too when it gets wider. Where
            // the width is the old one, lines are only overwritten: that doesn't flicker.
            frame.push_str("\x1b[J");
            self.width = width;
        }
        self.drawn = lines.iter().map(|line| visible_width(line)).collect();
        frame.push_str(&lines.join("\x1b[K\r\n"));
        frame.push_str("\x1b[J");
        frame
    }
}

impl<S: Surface> TermLike for Screen<S> {
    fn width(&self) -> u16 {
        u16::try_from(self.surface.size().0).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.surface.size().1).unwrap_or(u16::MAX)
    }

    // indicatif moves only in order to clear what it has drawn; `frame` does that in its own way.
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.filler {
            state.next.push(text.to_owned());
        }
        state.filler = !state.filler;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        if self.surface.is_behind() {
            // A stopped terminal: what stands on it stays, and the next frame covers it.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.next, state.filler) = (Vec::new(), false);
            return Ok(());
        }
        let frame = self.state.lock().unwrap_or_else(PoisonError::into_inner).frame(self.surface.size().0);
        if frame.is_empty() { Ok(()) } else { self.surface.write(&frame) }
    }
}

/// How many columns a line takes: the only escape sequences in it are colours.
pub(super) fn visible_width(line: &str) -> usize {
    let mut parts = line.split('\x1b');
    let start = parts.next().map_or(0, |part| part.chars().count());
    start + parts.map(|part| part.split_once('m').map_or(0, |(_, rest)| rest.chars().count())).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_no_width() {
        assert_eq!(visible_width("ab\x1b[31mcd\x1b[0m→"), 5);
        assert_eq!(visible_width(""), 0);
    }

    #[test]
    fn frames_cover_what_was_drawn() {
        let mut state = State::default();
        assert_eq!(state.frame(80), "");
        state.next = vec!["a".repeat(70), "b".repeat(60)];
        assert!(state.frame(80).starts_with("\r\x1b[Jaaa"));
        state.next = vec!["c".to_owned()];
        assert_eq!(state.frame(80), "\x1b[1A\rc\x1b[J");
        state.next = vec!["a".repeat(70), "b".repeat(60)];
        state.frame(80);
        // The terminal is half as wide now: two lines have become four.
        assert_eq!(state.frame(40), "\x1b[3A\r\x1b[J\x1b[J");
        assert_eq!(state.frame(40), "");
    }
}
