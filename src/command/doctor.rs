//! `zfsync doctor`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::DoctorJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::plan::doctor::Mark;
use crate::report::view::doctor::view;

/// Checks both ends, and shows what was found.
pub async fn doctor(args: &cli::Doctor) -> Result<Outcome, StartError> {
    let found = exec::doctor(&DoctorJob::new(args)?).await?;
    let exit = if found.count(Mark::Failure) > 0 { Exit::Failed } else { Exit::InSync };
    Ok(Outcome::new(exit).view(view(found, args.json), Care::UnlessClosed("can't print what was found")))
}
