//! A push that the source's host carries out (`--direct`): what it tells is shown here as if it happened here. [`serve()`] is the end on that host.

mod serve;
mod told;

use std::collections::HashSet;
use std::time::{Duration, Instant};

pub use serve::serve;
use told::{Over, Told};

use super::dry_run;
use super::parts::Pushed;
use super::signals::Signals;
use crate::config::{Direct, OnlyThere, PushJob, order};
use crate::error::{Exit, Signal, StartError};
use crate::plan::StepId;
use crate::remote::direct::{DirectError, MAX_TOLD, Session, Stop};
use crate::report::view::dry_run::PlanRow;
use crate::report::{Event, Reporter, Telling};
use zfs::name::DatasetName;

/// A push that was told to end in good order gets so long.
const IN_GOOD_ORDER: Duration = Duration::from_secs(60);
/// More steps at the same time are none of ours.
const MOST_STEPS: usize = 1024;
/// A plan is no longer than this: a quarter of a million rows.
const MOST_PLANNED: usize = 4 * MAX_TOLD;

/// Has the source's host do it.
pub async fn push(job: &PushJob, direct: &Direct, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    let started = Instant::now();
    let mut signals = Signals::listen_until(job.until)?;
    let link = &direct.link;
    let Some(host) = &link.host else { return Err(StartError::Usage("--direct without a host of SOURCE".into())) };
    let mut session = tokio::select! {
        opened = Box::pin(Session::open(host, link)) => opened?,
        signal = signals.next() => return Err(StartError::Interrupted(signal)),
    };
    let (host, helper) = (host.to_string(), format!("zfsync {}", session.version()));
    reporter.event(&Event::Connected { host: Some(host.clone()), helper, took: started.elapsed() });
    let mut listener = Listener::new(job, host, reporter);
    let pushed = match session.order(&order(job)) {
        Ok(()) => hear(&mut session, &mut listener, &mut signals).await,
        Err(error) => Err(error.into()),
    };
    let stopped = matches!(pushed, Ok(Pushed { exit: Exit::Interrupted(_), .. }));
    tokio::select! {
        () = session.close() => {}
        _ = signals.next(), if stopped => {}
    }
    pushed
}

/// Until the push is over there, or nobody wants to wait for that any more.
async fn hear(session: &mut Session, listener: &mut Listener<'_>, signals: &mut Signals) -> Result<Pushed, StartError> {
    let mut stopped: Option<(Signal, Instant)> = None;
    loop {
        let late = stopped.map(|(_, since)| since + IN_GOOD_ORDER);
        tokio::select! {
            line = session.next() => match line.and_then(|line| listener.take(&line)) {
                Ok(None) => {}
                Ok(Some(over)) => return listener.over(over),
                Err(error) => return listener.lost(error, stopped.map(|(signal, _)| signal)),
            },
            signal = signals.next() => match stopped {
                None => {
                    session.stop(match signal {
                        Signal::Interrupt => Stop::Interrupt,
                        Signal::Terminate => Stop::Terminate,
                    });
                    stopped = Some((signal, Instant::now()));
                }
                Some(_) => return Ok(listener.given_up(signal)),
            },
            () = until(late) => return Ok(listener.given_up(stopped.map_or(Signal::Terminate, |(signal, _)| signal))),
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

/// How far the run is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Whatever fails now is a start that fails.
    Starting,
    Running,
    /// At its end, with all in sync.
    WentWell,
}

/// Takes what is told, and shows it.
struct Listener<'a> {
    host: String,
    /// SOURCE.
    source: DatasetName,
    /// Whether the user wants to know why something stays.
    verbose: bool,
    /// When what only the target has is told.
    only_there: Telling,
    dry_run: bool,
    reporter: &'a mut dyn Reporter,
    running: HashSet<StepId>,
    stage: Stage,
    rows: Vec<PlanRow>,
    /// How long all rows are.
    planned_bytes: usize,
}

impl<'a> Listener<'a> {
    fn new(job: &PushJob, host: String, reporter: &'a mut dyn Reporter) -> Self {
        Self {
            host,
            source: job.ends.source.dataset.clone(),
            verbose: job.only_there == OnlyThere::Named,
            only_there: Telling::of(job.tells_later(), job.dry_run),
            dry_run: job.dry_run,
            reporter,
            running: HashSet::new(),
            stage: Stage::Starting,
            rows: Vec::new(),
            planned_bytes: 0,
        }
    }

    /// One line; how it is over, if it is.
    fn take(&mut self, line: &[u8]) -> Result<Option<Over>, DirectError> {
        let told = Told::read(line, &self.host).map_err(|what| self.wrong(what))?;
        match told {
            Told::Event(mut event) => {
                self.count(&event)?;
                match &mut event {
                    Event::Cleared { verbose, .. } => *verbose = self.verbose,
                    Event::OnlyThere { told, .. } => *told = self.only_there,
                    _ => {}
                }
                self.reporter.event(&event);
            }
            Told::Dataset(end) => self.reporter.ended(&end.as_end()),
            Told::Row(row) => {
                self.planned_bytes += line.len();
                if !self.dry_run || self.planned_bytes > MOST_PLANNED {
                    return Err(self.wrong("a plan that was not requested, or that is unreasonably long".into()));
                }
                self.rows.push(row);
            }
            Told::Over(over) => return Ok(Some(over)),
        }
        Ok(None)
    }

    fn count(&mut self, event: &Event) -> Result<(), DirectError> {
        match event {
            Event::Finished(summary) if summary.went_well() && summary.adds_up() => self.stage = Stage::WentWell,
            Event::Planned { .. } | Event::Finished(_) => self.stage = Stage::Running,
            Event::StepStarted { step, .. } => _ = self.running.insert(*step),
            Event::StepDone { step, .. } | Event::StepFailed { step, .. } => _ = self.running.remove(step),
            _ => {}
        }
        if self.running.len() > MOST_STEPS {
            return Err(self.wrong("more steps at the same time than are possible".into()));
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> DirectError {
        DirectError::Protocol { host: self.host.clone(), what }
    }

    /// It has come to its end over there.
    fn over(&mut self, over: Over) -> Result<Pushed, StartError> {
        let exit = over.exit().ok_or_else(|| self.wrong(format!("exit code {}", over.exit)))?;
        let planned = || !self.rows.is_empty() && !self.rows.iter().any(PlanRow::fails);
        let borne_out = if self.dry_run { planned() } else { self.stage == Stage::WentWell };
        if exit == Exit::InSync && over.error.is_none() && !borne_out {
            return Err(self.wrong("it reports success, but no run that succeeded".into()).into());
        }
        if let Some(words) = over.error {
            return Err(StartError::There { host: self.host.clone(), words, unreached: over.unreached, exit });
        }
        let plan = self.dry_run.then(|| std::mem::take(&mut self.rows));
        let nothing = plan.as_ref().and_then(|rows| dry_run::nothing(&self.source, rows));
        Ok(Pushed { exit, plan, nothing })
    }

    /// Nothing more will be heard. Who has told it to end knows why.
    fn lost(&mut self, error: DirectError, stopped: Option<Signal>) -> Result<Pushed, StartError> {
        if let Some(signal) = stopped {
            return Ok(self.ended_by(signal, error.to_string()));
        }
        if self.stage == Stage::Starting {
            return Err(error.into());
        }
        self.reporter.event(&Event::Problem { text: error.to_string() });
        Ok(Pushed { exit: Exit::Failed, plan: None, nothing: None })
    }

    /// It is not waited for any longer.
    fn given_up(&mut self, signal: Signal) -> Pushed {
        let text = format!(
            "zfsync on {} was asked to stop the push, which may still take a moment there; this command does not wait for it",
            self.host
        );
        self.ended_by(signal, text)
    }

    fn ended_by(&mut self, signal: Signal, text: String) -> Pushed {
        self.reporter.event(&Event::Problem { text });
        Pushed { exit: Exit::Interrupted(signal), plan: None, nothing: None }
    }
}

#[cfg(test)]
#[path = "direct/tests.rs"]
mod tests;
