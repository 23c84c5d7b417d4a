//! `zfsync targets`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::targets_of;
use crate::error::StartError;
use crate::exec;
use crate::report::view::targets::view;

/// Lists the targets that SOURCE is known to have.
pub async fn targets(args: &cli::Targets) -> Result<Outcome, StartError> {
    let targets = exec::targets(&targets_of(args)?).await?;
    Ok(Outcome::default().view(view(targets, args.json), Care::Nothing))
}
