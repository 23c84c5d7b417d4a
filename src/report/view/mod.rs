//! What a command has found or done, as a whole: tables, JSON lines, metrics. Nothing is printed here.

mod columns;
pub mod doctor;
pub mod dry_run;
pub mod jobs;
pub mod prune;
pub mod snapshot;
pub mod status;
pub mod targets;
pub mod verify;

use std::io::{self, Write};

use super::look::{self, Look};

/// What is to be shown, once it is known what it is written on.
pub type View = Box<dyn FnOnce(Page, &mut Vec<u8>) -> io::Result<()>>;

/// What a view is written on.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Colours and characters.
    look: Look,
    /// Columns, where there is a limit.
    width: Option<usize>,
}

impl Page {
    /// As this process's stdout is.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        Self { look: Look::of(&stdout), width: look::columns(&stdout) }
    }
}

/// Text that looks the same everywhere.
#[must_use]
pub fn text(text: String) -> View {
    Box::new(move |_, out| out.write_all(text.as_bytes()))
}

#[cfg(test)]
mod schema_tests;
