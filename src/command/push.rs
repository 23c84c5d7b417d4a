//! `zfsync push`.

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::PushJob;
use crate::error::StartError;
use crate::exec::{self, Pushed};
use crate::report::lines::LogFile;
use crate::report::view::dry_run;
use crate::report::{self, Reporter, Style};

/// Brings a target in sync with SOURCE, or shows what that would take.
pub async fn push(args: &cli::Push) -> Result<Outcome, StartError> {
    let job = PushJob::new(args)?;
    let mut shown = Shown::new(&job, args).await?;
    let pushed = exec::push(job, shown.reporter.as_mut()).await;
    shown.ended(pushed).await
}

/// A push as it is shown while it is at work, and written down.
pub struct Shown {
    /// Hears what happens.
    pub reporter: Box<dyn Reporter>,
    log: Option<LogFile>,
    target: String,
    json: bool,
}

impl Shown {
    /// Starts to show it as the options say.
    pub async fn new(job: &PushJob, args: &cli::Push) -> Result<Self, StartError> {
        let said = &args.output;
        let style = Style::choose(said.talk.quiet, said.json, said.no_progress, report::terminal());
        let shown = report::reporter(style, said.talk.verbose, job.ends.source.dataset.as_str());
        let log = super::log_file(&args.log, &job.ends.source.to_string(), job.dry_run).await?;
        let target = job.ends.target.to_string();
        Ok(Self { reporter: report::logged(shown, log.as_ref(), &target), log, target, json: said.json })
    }

    /// It is over.
    pub async fn ended(self, pushed: Result<Pushed, StartError>) -> Result<Outcome, StartError> {
        if let (Some(log), Err(error)) = (&self.log, &pushed) {
            log.note(&self.target, &error.to_string());
        }
        drop(self.reporter);
        if let Some(log) = self.log {
            log.written(exec::signalled()).await;
        }
        let Pushed { exit, plan, nothing: _ } = pushed?;
        let mut outcome = Outcome::new(exit);
        if self.json {
            outcome = outcome.behind_events();
        }
        Ok(match plan {
            Some(rows) => outcome.view(dry_run::view(rows, self.json), Care::UnlessClosed("can't print the plan")),
            None => outcome,
        })
    }
}
