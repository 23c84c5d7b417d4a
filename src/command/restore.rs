//! `zfsync restore`: a push the other way, and what it needs before and after.

use super::Outcome;
use super::push::Shown;
use crate::cli;
use crate::config::PushJob;
use crate::error::{Exit, StartError};
use crate::exec;

/// Brings a copy back.
pub async fn restore(args: &cli::Restore) -> Result<Outcome, StartError> {
    let job = PushJob::restore(args)?;
    let mut shown = Shown::new(&job, &args.push(&args.copy)).await?;
    let pushed = exec::push(job.clone(), shown.reporter.as_mut()).await;
    let outcome = shown.ended(pushed).await?;
    if outcome.exit() != Exit::InSync || args.output.talk.quiet || args.output.json || args.dry_run {
        return Ok(outcome);
    }
    let next = exec::restore::next_steps(&job).await;
    Ok(outcome.words(format!("{next}\n")))
}
