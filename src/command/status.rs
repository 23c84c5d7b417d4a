//! `zfsync status`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::StatusJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::format::sanitise;
use crate::plan::{Level, Status};
use crate::report::view::status::{Form, view};

/// Tells how far targets are behind.
pub async fn status(args: &cli::Status) -> Result<Outcome, StartError> {
    let (status, mut idle) = exec::status(&StatusJob::all(args)?).await?;
    let form = Form::choose(args.json, args.prometheus, args.verbose > 0);
    // What runs again and again says nothing of that each time; push and doctor do.
    let is_asked = args.verbose > 0 && matches!(form, Form::Table { .. });
    if !is_asked || status.iter().any(|status| status.limits.any()) {
        idle.clear();
    }
    let empty: Vec<String> = status.iter().filter_map(Status::nothing).map(|nothing| nothing.to_string()).collect();
    let idle = idle.iter().map(|idle| format!("zfsync: {}\n", sanitise(idle)));
    let outcome = Outcome::new(exit(&status)).words(idle.collect());
    let outcome = outcome.view(view(status, form), Care::UnlessClosed("can't print the status"));
    Ok(empty.iter().fold(outcome, |outcome, nothing| outcome.complain(nothing)))
}

/// The exit code that the worst of them deserves.
fn exit(all: &[Status]) -> Exit {
    match all.iter().map(Status::level).max().unwrap_or(Level::Ok) {
        Level::Ok => Exit::InSync,
        Level::Unknown => Exit::Unknown,
        Level::Warning => Exit::Warning,
        Level::Critical => Exit::Critical,
    }
}
