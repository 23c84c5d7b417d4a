//! What is said of a run, and how: the options that several commands have.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::LogFormat;

/// How much is printed.
#[derive(Debug, Clone, Default, Args)]
pub struct Talk {
    /// Print more; can be repeated for more detail
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Print nothing unless something is wrong
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
}

/// How much is printed, and in which form.
#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// How much.
    #[command(flatten)]
    pub talk: Talk,
    /// Print events as JSON on stdout, one object per line
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Print plain lines instead of progress bars
    #[arg(long, help_heading = "Output")]
    pub no_progress: bool,
}

/// Where a run is logged.
#[derive(Debug, Clone, Default, Args)]
pub struct LogTo {
    /// Also log all events to FILE, with timestamps; missing directories are created
    #[arg(long, value_name = "FILE", help_heading = "Logging")]
    pub log_file: Option<PathBuf>,
    /// Format of the log file
    #[arg(long, value_name = "FORMAT", value_enum, help_heading = "Logging")]
    pub log_format: Option<LogFormat>,
}
