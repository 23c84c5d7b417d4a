//! `zfsync verify`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::VerifyJob;
use crate::error::{Exit, StartError};
use crate::exec;
use crate::format::sanitise;
use crate::plan::{Agreement, Compared, is_a_copy};
use crate::report::live;
use crate::report::view::verify::{Form, view};

/// Compares a copy with SOURCE.
pub async fn verify(args: &cli::Verify) -> Result<Outcome, StartError> {
    let said = &args.output;
    let job = VerifyJob::new(args)?;
    let mut progress = live::reading(!(said.talk.quiet || said.json || said.no_progress));
    let exec::Verified { rows, idle } = exec::verify(&job, progress.as_mut()).await?;
    let form = if said.json { Form::Json } else { Form::Text { all: said.talk.verbose > 0, quiet: said.talk.quiet } };
    let exit = if is_a_copy(&rows, args.content) { Exit::InSync } else { Exit::Failed };
    let none = !rows.iter().any(|row| row.agreement == Agreement::Same) && rows.iter().all(Compared::is_fine);
    let (source, target) = (job.ends.source.dataset.to_string(), job.ends.target.to_string());
    let care = Care::UnlessClosed("can't print the comparison");
    let idle = idle.iter().filter(|_| !said.talk.quiet).map(|idle| format!("zfsync: {}\n", sanitise(idle)));
    let outcome = Outcome::new(exit).words(idle.collect()).view(view(source, target, rows, form), care);
    Ok(if none {
        outcome.complain("nothing to compare: no selected dataset has a copy with its newest snapshot")
    } else {
        outcome
    })
}
