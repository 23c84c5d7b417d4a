//! `zfsync generate`.

use std::path::Path;

use super::Outcome;
use crate::error::Exit;
use crate::generate;

/// Writes completions and man pages.
pub fn generate(dir: &Path) -> Outcome {
    match generate::generate(dir) {
        Ok(()) => Outcome::default(),
        Err(error) => Outcome::new(Exit::NotStarted).complain(&format!("{error:#}")),
    }
}
