//! `zfsync forget`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::ForgetJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::report::view::targets;

/// Drops what SOURCE keeps in mind of a target.
pub async fn forget(args: &cli::Forget) -> Result<Outcome, StartError> {
    let forgotten = exec::forget(&ForgetJob::new(args)?).await?;
    if !forgotten.failures.is_empty() {
        let complain = |outcome: Outcome, words| outcome.complain(&format!("it could not be removed: {words}"));
        return Ok(forgotten.failures.iter().fold(Outcome::new(Exit::Failed), complain));
    }
    let done = Outcome::default();
    Ok(if args.quiet { done } else { done.view(targets::forgotten(forgotten), Care::Nothing) })
}
