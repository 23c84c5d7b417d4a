//! The jobs of a configuration file, one after the other.

use std::time::Duration;

use super::cron::carry_out;
use super::parts::{Tell, Told, worst};
use super::result_hook::{Began, reported};
use super::signals::Watch;
use super::stop::Stop;
use crate::config::CronJob;
use crate::error::{Exit, StartError};

/// Does all jobs; what came of each is told when it has ended. `limit` wins over those of the jobs.
pub async fn jobs(jobs: &[CronJob], limit: Option<Duration>, tell: Tell<'_>) -> Result<Exit, StartError> {
    let watch = Watch::start()?;
    let mut exits = Vec::new();
    for job in jobs {
        let stop = Stop::after(watch.clone(), limit.or(job.limit));
        let began = Began::now();
        let done = carry_out(job, &stop, tell).await;
        let report = reported(job, done, began, &watch).await;
        tell(Told::Ended(&report));
        exits.push(report.exit);
        if let Some(signal) = watch.signal() {
            exits.push(Exit::Interrupted(signal));
        }
        if matches!(exits.last(), Some(Exit::Interrupted(_))) {
            break;
        }
    }
    Ok(match exits[..] {
        // What a single job ends with is known better than that it has failed.
        [exit] => exit,
        _ => worst(exits.into_iter()),
    })
}
