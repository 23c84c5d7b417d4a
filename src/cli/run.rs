//! The commands for jobs of a configuration file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::duration;

/// The same above zero.
fn some_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("0 leaves no time at all".into()) } else { Ok(time) })
}

/// Where `run` finds its jobs.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/zfsync.toml";

/// `zfsync run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync run                               all jobs of /etc/zfsync.toml, one after the other
  zfsync run --job-timeout 6h data mail    two of them

Says nothing unless something is wrong; then one report for each such job on stderr. Exit codes: 0 all is well, 1 some job \
failed or took too long, 2 usage error, or the file is wrong, 4 another run has a target, and nothing failed, 130/143 interrupted.")]
pub struct Run {
    /// The jobs, by their names in the file; all of them without this
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Stop a job that takes longer; wins over the file
    #[arg(long, value_name = "TIME", value_parser = some_duration)]
    pub job_timeout: Option<Duration>,
    /// Report what went well too
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// `zfsync check-config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Changes nothing, and asks neither zfs nor any target. Exit codes: 0 the file is fine, 2 it is not."
)]
pub struct CheckConfig {
    /// The jobs to tell of; all of them without this
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}
