//! `zfsync prune`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::PruneJob;
use crate::error::StartError;
use crate::exec;

/// Prunes, or lists what would go.
pub async fn prune(args: &cli::Prune) -> Result<Outcome, StartError> {
    let pruned = exec::prune(&PruneJob::new(args)?).await?;
    let care = Care::Always("can't print the list");
    let told = pruned.told(args.talk.verbose, args.talk.quiet).into_iter();
    Ok(told.fold(Outcome::new(pruned.exit()), |outcome, (list, words)| outcome.text(list, care).list(words, care)))
}
