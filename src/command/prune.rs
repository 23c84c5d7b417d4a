//! `zfsync prune`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::PruneJob;
use crate::error::StartError;
use crate::exec;
use zfs::name::DatasetName;

/// Prunes, or lists what would go.
pub async fn prune(args: &cli::Prune) -> Result<Outcome, StartError> {
    let job = PruneJob::new(args)?;
    let names: Vec<&str> = job.sources.iter().map(DatasetName::as_str).collect();
    let log = super::log_file(&args.log, &names.join(" "), job.dry_run).await?;
    let pruned = exec::prune(&job).await;
    if let Some(log) = log {
        let words = match &pruned {
            Ok(pruned) => pruned.told(1, false).into_iter().map(|(_, words)| words).collect(),
            Err(error) => error.to_string(),
        };
        log.note("pruning", &super::for_a_log(words.lines()));
        log.written(exec::signalled()).await;
    }
    let pruned = pruned?;
    let care = Care::Always("can't print the list");
    let told = pruned.told(args.talk.verbose, args.talk.quiet).into_iter();
    Ok(told.fold(Outcome::new(pruned.exit()), |outcome, (list, words)| outcome.text(list, care).list(words, care)))
}
