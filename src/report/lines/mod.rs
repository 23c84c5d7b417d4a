//! What happens, a line each: for people on stderr, for programs as JSON, and for later in log files.

mod json;
mod log_file;
mod plain;
mod words;

pub(in crate::report) use json::Json;
pub(in crate::report) use log_file::Several;
pub use log_file::{Kept, LogFile};
pub(in crate::report) use plain::{Plain, Quiet};
pub(in crate::report) use words::Words;
