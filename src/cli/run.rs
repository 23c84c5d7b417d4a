//! The commands for jobs of a configuration file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::format::parse_duration;

/// The same above zero.
fn some_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .and_then(|time| if time.is_zero() { Err("the time must be greater than 0".into()) } else { Ok(time) })
}

/// Where `run` finds its jobs.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/zfsync.toml";

/// `zfsync run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync run                               run all jobs of /etc/zfsync.toml, one after the other
  zfsync run --job-timeout 6h data mail    run two of them

Prints nothing on success, and one report on stderr for each job that fails.

Exit codes: 0 success, 1 a job failed or took too long, 2 usage error, or the configuration file is invalid, 3 the only job could \
not start, 4 another run holds the lock of a target, and nothing failed, 130/143 interrupted.")]
pub struct Run {
    /// Names of jobs in the configuration file; by default all of them
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Stop a job that takes longer; overrides the configuration file
    #[arg(long, value_name = "TIME", value_parser = some_duration)]
    pub job_timeout: Option<Duration>,
    /// Also report what succeeded
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// `zfsync check-config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Changes nothing, runs no zfs command and connects to no host. Exit codes: 0 the file is valid, 2 it is not."
)]
pub struct CheckConfig {
    /// Names of jobs to show; by default all of them
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}
