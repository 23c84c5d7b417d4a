//! `zfsync run`.

use super::{Outcome, cron};
use crate::cli;
use crate::config::jobs_of;
use crate::error::StartError;
use crate::exec;

/// Does jobs of a configuration file; each is told of as soon as it has ended.
pub async fn run(args: &cli::Run) -> Result<Outcome, StartError> {
    let jobs = jobs_of(&args.config, &args.jobs)?;
    exec::jobs(&jobs, args.job_timeout, &mut cron::live(args.verbose)).await.map(Outcome::new)
}
