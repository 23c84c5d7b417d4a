//! Diagnostics on stderr (`-v`, `ZFSYNC_LOG`): log lines and bars share the terminal without tearing each other.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::debug_fn;

use super::for_stderr;
use super::live;
use super::look::Look;
use super::output;
use crate::format::sanitise;

/// Overrides `-v` with a filter as tracing-subscriber takes it, such as `zfsync::exec=trace,warn`.
const FILTER: &str = "ZFSYNC_LOG";

/// Sends tracing's events to stderr from now on. A second call does nothing.
pub fn init_tracing(verbose: u8, quiet: bool) {
    // Messages have names and words of others in them.
    let fields = debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        let text = sanitise(&text).replace('\n', "\n  ");
        if field.name() == "message" { write!(writer, "{text}") } else { write!(writer, "{}={text}", field.name()) }
    });
    let subscriber = tracing_subscriber::fmt()
        .fmt_fields(fields.delimited(" "))
        .with_writer(Around)
        .with_ansi(Look::of(&io::stderr()).colour)
        .with_target(verbose > 1)
        .with_env_filter(filter(std::env::var(FILTER).ok().as_deref(), verbose, quiet));
    // On a terminal somebody is watching; a log has its own times, but none of milliseconds.
    let _ = if verbose > 1 { subscriber.try_init() } else { subscriber.without_time().try_init() };
}

fn filter(wanted: Option<&str>, verbose: u8, quiet: bool) -> EnvFilter {
    let level = match (quiet, verbose) {
        (true, 0) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let wanted = wanted.filter(|wanted| !wanted.trim().is_empty());
    wanted.and_then(|wanted| EnvFilter::try_new(wanted).ok()).unwrap_or_else(|| EnvFilter::new(level))
}

/// Writes around the bars, if there are any.
struct Around;

impl Write for Around {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // tracing-subscriber hands over an event in one piece. It tells of an error by eprintln!, which panics where stderr is closed.
        let _ = live::suspended(|| output::stderr().write_all(for_stderr(&String::from_utf8_lossy(bytes)).as_bytes()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Around {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        let level = |verbose, quiet| filter(None, verbose, quiet).to_string();
        assert_eq!(
            [level(0, false), level(1, false), level(2, false), level(9, false)],
            ["warn", "info", "debug", "trace"]
        );
        assert_eq!([level(0, true), level(1, true)], ["error", "info"]);
        assert_eq!(filter(Some("zfsync::exec=trace"), 0, true).to_string(), "zfsync::exec=trace");
        assert_eq!(filter(Some("=,="), 1, false).to_string(), "info");
        assert_eq!(filter(Some(" "), 0, false).to_string(), "warn");
    }
}
