//! `zfsync doctor`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::DoctorJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::plan::doctor::{Diagnosis, Mark};
use crate::report::view::doctor::view;

/// Checks both ends, and shows what was found.
pub async fn doctor(args: &cli::Doctor) -> Result<Outcome, StartError> {
    let mut all = Vec::new();
    for job in DoctorJob::all(args)? {
        all.push(exec::doctor(&job).await?);
    }
    let exit = if all.iter().all(Diagnosis::is_unreached) {
        Exit::NotStarted
    } else if all.iter().any(|found| found.count(Mark::Failure) > 0) {
        Exit::Failed
    } else {
        Exit::InSync
    };
    let outcome = Outcome::new(exit);
    let care = "can't print what was found";
    Ok(all.into_iter().fold(outcome, |outcome, found| outcome.view(view(found, args.json), Care::UnlessClosed(care))))
}
