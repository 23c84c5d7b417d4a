//! What is said of a run, and how: the options that several commands have.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::LogFormat;

/// How much is said.
#[derive(Debug, Clone, Default, Args)]
pub struct Talk {
    /// Say more; twice or three times for still more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Say nothing unless something is wrong
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
}

/// How much is said, and in which form.
#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// How much.
    #[command(flatten)]
    pub talk: Talk,
    /// One JSON object a line on stdout for whatever happens
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Plain lines, no progress bars
    #[arg(long, help_heading = "Output")]
    pub no_progress: bool,
}

/// What is written down of a run.
#[derive(Debug, Clone, Default, Args)]
pub struct LogTo {
    /// Write down all that happens as well, each line with its time; folders are made
    #[arg(long, value_name = "FILE", help_heading = "Records")]
    pub log_file: Option<PathBuf>,
    /// How that is written
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Records")]
    pub log_format: Option<LogFormat>,
}
