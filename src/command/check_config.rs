//! `zfsync check-config`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::jobs_of;
use crate::error::StartError;
use crate::report::view;

/// Tells what jobs would do.
pub fn check_config(args: &cli::CheckConfig) -> Result<Outcome, StartError> {
    let jobs = jobs_of(&args.config, &args.jobs)?;
    // Nobody may be left to read it; the file is fine.
    Ok(Outcome::default().text(view::jobs::text(&jobs), Care::Nothing))
}
