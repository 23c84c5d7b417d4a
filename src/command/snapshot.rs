//! `zfsync snapshot`.

use std::time::Instant;

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::SnapshotJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::format::sanitise;
use zfs::name::DatasetName;

/// Takes snapshots, or lists those that would be taken.
pub async fn snapshot(args: &cli::Snapshot) -> Result<Outcome, StartError> {
    let job = SnapshotJob::new(args)?;
    let names: Vec<&str> = job.datasets.iter().map(DatasetName::as_str).collect();
    let log = super::log_file(&args.log, &names.join(" "), job.dry_run).await?;
    let began = Instant::now();
    let done = exec::snapshot(&job).await;
    if let Some(log) = log {
        let words = match &done {
            Ok((taken, _)) => [taken.words(true, Some(began.elapsed())), taken.failures.clone()].concat(),
            Err(error) => vec![error.to_string()],
        };
        log.note("snapshot", &super::for_a_log(words.iter().map(String::as_str)));
        log.written(exec::signalled()).await;
    }
    let (taken, commands) = done?;
    let mut outcome = Outcome::new(if taken.failures.is_empty() { Exit::InSync } else { Exit::Failed });
    if !args.talk.quiet {
        let verbose = args.talk.verbose > 0;
        let names = taken.names(&job.datasets, verbose).into_iter();
        // A list of snapshots would look as if they were there.
        let verb = if job.dry_run { "would take " } else { "" };
        let names = names.flat_map(|name| [verb.to_owned(), name, "\n".to_owned()]).collect();
        outcome = outcome.text(names, Care::UnlessClosed("can't print the names of the snapshots"));
        let lines = taken.words(verbose, (!job.dry_run).then(|| began.elapsed())).into_iter().chain(commands);
        outcome = lines.fold(outcome, |outcome, line| outcome.words(format!("{}\n", sanitise(&line))));
    }
    Ok(taken.failures.iter().fold(outcome, |outcome, failure| outcome.complain(failure)))
}
