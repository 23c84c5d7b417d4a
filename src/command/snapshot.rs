//! `zfsync snapshot`.

use std::time::Instant;

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::SnapshotJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::format::sanitise;

/// Takes snapshots, or lists those that would be taken.
pub async fn snapshot(args: &cli::Snapshot) -> Result<Outcome, StartError> {
    let job = SnapshotJob::new(args)?;
    let began = Instant::now();
    let (taken, commands) = exec::snapshot(&job).await?;
    let mut outcome = Outcome::new(if taken.failures.is_empty() { Exit::InSync } else { Exit::Failed });
    if !args.talk.quiet {
        let verbose = args.talk.verbose > 0;
        let names = taken.names(&job.datasets, verbose).into_iter().map(|name| name + "\n").collect();
        outcome = outcome.text(names, Care::UnlessClosed("can't print the names of the snapshots"));
        let lines = taken.words(verbose, (!job.dry_run).then(|| began.elapsed())).into_iter().chain(commands);
        outcome = lines.fold(outcome, |outcome, line| outcome.words(format!("{}\n", sanitise(&line))));
    }
    Ok(taken.failures.iter().fold(outcome, |outcome, failure| outcome.complain(failure)))
}
