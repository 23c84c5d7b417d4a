//! Which characters and colours may be used where output goes to.

use std::env;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// The means of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) struct Look {
    /// Whether to colour.
    pub colour: bool,
    /// Whether more than ASCII can be shown.
    pub utf8: bool,
}

/// The few colours in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Colour {
    Red,
    Green,
    Yellow,
    Cyan,
    Dim,
}

impl Look {
    /// What the environment allows for this stream: `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM` and the locale.
    pub fn of(stream: &impl RawStream) -> Self {
        let var = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        // The order in which the C library looks.
        let locale = var("LC_ALL").or_else(|| var("LC_CTYPE")).or_else(|| var("LANG"));
        Self { colour: AutoStream::choice(stream) != ColorChoice::Never, utf8: is_utf8(locale.as_deref()) }
    }

    /// What stands for something left out.
    pub fn ellipsis(self) -> &'static str {
        if self.utf8 { "…" } else { "..." }
    }

    /// `text` in `colour`, where colours are wanted.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        let style = match colour {
            Colour::Red => AnsiColor::Red.on_default(),
            Colour::Green => AnsiColor::Green.on_default(),
            Colour::Yellow => AnsiColor::Yellow.on_default(),
            Colour::Cyan => AnsiColor::Cyan.on_default(),
            Colour::Dim => Style::new().dimmed(),
        };
        if self.colour && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// How many columns the terminal has; `None` for what is none, or doesn't say.
pub(in crate::report) fn columns(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let size = if stream.is_terminal() { rustix::termios::tcgetwinsize(stream).ok() } else { None };
    size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

/// Whether a terminal of the type in `TERM` understands cursor movements and colours.
pub(in crate::report) fn can_move_cursor(term: Option<&str>) -> bool {
    !matches!(term, None | Some("" | "dumb"))
}

fn is_utf8(locale: Option<&str>) -> bool {
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_and_locales() {
        assert!(can_move_cursor(Some("xterm")));
        assert!(![None, Some(""), Some("dumb")].into_iter().any(can_move_cursor));
        assert!(is_utf8(Some("C.UTF-8")) && is_utf8(Some("de_DE.utf8")));
        assert!(!is_utf8(Some("C")) && !is_utf8(None));
    }

    #[test]
    fn paints_only_where_colours_are_wanted() {
        let plain = Look { colour: false, utf8: true };
        assert_eq!(plain.paint(Colour::Red, "x"), "x");
        assert_eq!(Look { colour: true, ..plain }.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
    }
}
