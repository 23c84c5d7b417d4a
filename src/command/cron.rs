//! `zfsync cron`.

use super::Outcome;
use crate::cli;
use crate::config::CronJob;
use crate::error::{Exit, StartError};
use crate::exec::{self, Report, Told};
use crate::format::sanitise;
use crate::report;

/// Does a crontab's job.
pub async fn cron(args: &cli::Cron) -> Result<Outcome, StartError> {
    let job = CronJob::new(args)?;
    let ended = exec::cron(&job, &mut live(args.verbose)).await?;
    Ok(Outcome::new(ended.exit).words(words(&ended, args.verbose).to_owned()))
}

/// Says at once what can't wait for the end.
pub fn live(verbose: u8) -> impl FnMut(Told<'_>) {
    move |told| match told {
        Told::Keeps(words) => report::lines::at_once(&format!("{}\n", sanitise(words))),
        Told::Ended(report) => report::lines::at_once(words(report, verbose)),
    }
}

/// What is said of a job that has ended: a crontab mails whatever that is.
fn words(ended: &Report, verbose: u8) -> &str {
    if ended.exit != Exit::InSync || verbose > 0 { &ended.text } else { "" }
}
