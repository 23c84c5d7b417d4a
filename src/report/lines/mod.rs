//! What happens, a line each: for people on stderr, for programs as JSON, and for later in log files.

mod causes;
mod json;
mod log_file;
mod permissions;
mod plain;
mod tally;
mod words;

use std::io::Write as _;

pub(in crate::report) use causes::{BY_LOG, BY_OPTION, CausesOnce};
pub(in crate::report) use json::Json;
#[cfg(test)]
pub(in crate::report) use json::Label;
pub(in crate::report) use log_file::Several;
pub use log_file::{Kept, LogFile};
pub(in crate::report) use permissions::{Grants, GrantsOnce};
pub(in crate::report) use plain::{Plain, Quiet};
pub(in crate::report) use tally::Tally;
pub(in crate::report) use words::Words;

/// What became of datasets that only wait for another one.
const SKIPPED: &str = "skipped";
/// What a restore can't bring back.
const LOST: &str = "lost";

/// Says on stderr what can't wait for the end of a command: whole lines.
pub fn at_once(lines: &str) {
    // A closed stderr changes nothing of what is done.
    let _ = super::output::stderr().write_all(super::for_stderr(lines).as_bytes());
}
