//! Writes the man pages and shell completions from the command line's own definition, so that they can't disagree.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Writes `man/` and `completions/` below `dir`.
pub fn generate(dir: &Path) -> Result<()> {
    let man = dir.join("man");
    fs::create_dir_all(&man).with_context(|| format!("can't make {}", man.display()))?;
    clap_mangen::generate_to(command(), &man).with_context(|| format!("can't write into {}", man.display()))?;
    let completions = dir.join("completions");
    fs::create_dir_all(&completions).with_context(|| format!("can't make {}", completions.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), "zfsync", &completions)
            .with_context(|| format!("can't write into {}", completions.display()))?;
    }
    Ok(())
}

/// Without hidden commands, and with a date-free man page: the same input gives the same bytes.
fn command() -> clap::Command {
    Cli::command()
}
