//! The hook that hears how a job has ended: `on-success` or `on-failure`, with the result as JSON on its stdin.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::hook::{self, Env};
use super::parts::{Done, Part, Report, report_of, written};
use super::signals::Watch;
use super::stop::Stop;
use crate::config::{CronJob, When};
use crate::error::Exit;
use crate::report::Versioned;

/// When a job began.
#[derive(Debug, Clone, Copy)]
pub struct Began {
    wall: Timestamp,
    clock: Instant,
}

impl Began {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: Timestamp::now(), clock: Instant::now() }
    }
}

/// What the hook reads: one JSON object.
#[derive(Debug, Serialize)]
struct JobResult<'a> {
    job: &'a str,
    host: String,
    result: Word,
    exit_code: u8,
    started: String,
    duration_seconds: f64,
    sources: Vec<String>,
    targets: Vec<String>,
    /// The snapshot that was taken, without the dataset.
    snapshot: Option<&'a str>,
    parts: Vec<PartResult<'a>>,
    /// Why the rest of the job was not done.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct PartResult<'a> {
    part: &'a str,
    result: Word,
    message: &'a str,
}

/// How something has ended.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Success,
    Failed,
    NotStarted,
    Locked,
    Interrupted,
}

impl From<Exit> for Word {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::InSync => Self::Success,
            Exit::Locked => Self::Locked,
            Exit::NotStarted | Exit::Usage => Self::NotStarted,
            Exit::Interrupted(_) => Self::Interrupted,
            // The last three are exits of status --check alone.
            Exit::Failed | Exit::Unknown | Exit::Warning | Exit::Critical => Self::Failed,
        }
    }
}

/// Which of the two hears it. What another run has in its hands is neither a success nor a failure of this one.
fn moment(exit: Exit) -> Option<When> {
    match exit {
        Exit::InSync => Some(When::OnSuccess),
        Exit::Locked => None,
        _ => Some(When::OnFailure),
    }
}

/// The report of a job, after its hook has run if it has one: a hook that fails is a part that has failed.
pub async fn reported(job: &CronJob, mut done: Done, began: Began, watch: &Watch) -> Report {
    let report = report_of(job, &done.parts, done.error.as_ref());
    let hook = moment(report.exit).and_then(|when| Some((when, job.hooks.command(when)?)));
    let Some((when, command)) = hook else { return report };
    let env = env(job, done.taken.as_deref(), Some(report.exit));
    let input = text(job, &done, report.exit, began);
    // Whoever waits for the news gets it, also when the job was stopped; a second signal ends it, and its own limit.
    let stop = Stop { watch: Some(watch.of_second()), limit: None };
    let ended = hook::run(command, env, input, job.hooks.timeout, Some(&stop)).await;
    let part = Part::of_hook(when, ended);
    done.parts.push(part.logged(done.log.as_ref()));
    written(done.log.as_ref()).await;
    report_of(job, &done.parts, done.error.as_ref())
}

fn text(job: &CronJob, done: &Done, exit: Exit, began: Began) -> Vec<u8> {
    let parts = done.parts.iter();
    let parts =
        parts.map(|part| PartResult { part: &part.label, result: part.exit.into(), message: part.words.trim_end() });
    let (sources, targets) = ends(job);
    let result = JobResult {
        job: job.label(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        result: exit.into(),
        exit_code: exit.code(),
        started: format!("{:.3}", began.wall),
        duration_seconds: (began.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        sources,
        targets,
        snapshot: done.taken.as_deref(),
        parts: parts.collect(),
        error: done.error.as_ref().map(ToString::to_string),
    };
    let mut json = zfs::text::json(serde_json::to_vec(&Versioned::of(result)).unwrap_or_default());
    json.push(b'\n');
    json
}

fn ends(job: &CronJob) -> (Vec<String>, Vec<String>) {
    let targets = job.branches.iter().flat_map(|branch| &branch.targets);
    (
        job.branches.iter().map(|branch| branch.end().to_string()).collect(),
        targets.map(|push| push.ends.target.to_string()).collect(),
    )
}

/// What each hook finds in its environment.
pub fn env(job: &CronJob, taken: Option<&str>, result: Option<Exit>) -> Env {
    let (sources, targets) = ends(job);
    vec![
        ("ZFSYNC_JOB", Some(job.label().to_owned())),
        ("ZFSYNC_SOURCE", Some(sources.join(" "))),
        ("ZFSYNC_TARGETS", Some(targets.join(" "))),
        ("ZFSYNC_SNAPSHOT", taken.map(ToOwned::to_owned)),
        ("ZFSYNC_RESULT", result.map(|exit| exit.code().to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::cli;
    use crate::error::{Signal, StartError};

    fn job(words: &[&str]) -> CronJob {
        let command = cli::Cron::augment_args(clap::Command::new("cron"));
        let command = command.mut_arg("ssh_option", |option| option.short(None));
        let words = ["cron"].iter().chain(words);
        CronJob::new(&cli::Cron::from_arg_matches(&command.get_matches_from(words)).unwrap()).unwrap()
    }

    #[test]
    fn a_source_on_another_host_is_named_with_it() {
        for (source, target) in [("tank/data", "beta:b/data"), ("root@alpha:tank/data", "b/data")] {
            let job = job(&[source, target]);
            assert_eq!(job.label(), source);
            let env = env(&job, None, None);
            let value = |name| env.iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.as_deref());
            assert_eq!(value("ZFSYNC_JOB"), Some(source));
            assert_eq!(value("ZFSYNC_SOURCE"), Some(source));
            assert_eq!(value("ZFSYNC_TARGETS"), Some(target));
        }
    }

    #[test]
    fn the_result_is_as_the_schema_says() {
        let exits = [Exit::InSync, Exit::Failed, Exit::NotStarted, Exit::Locked, Exit::Interrupted(Signal::Interrupt)];
        let parts = exits.map(|exit| Part::new("snapshot", exit, "words\nmore\n"));
        let done = Done {
            parts: parts.into(),
            error: Some(StartError::Usage("why".into())),
            taken: Some("261129-090000_H".into()),
            log: None,
        };
        let job = job(&["tank/data", "beta:b/data"]);
        let all: Vec<_> = exits
            .into_iter()
            .filter(|exit| moment(*exit).is_some())
            .map(|exit| serde_json::from_slice(&text(&job, &done, exit, Began::now())).unwrap())
            .collect();
        crate::schema::cover("job_result", &all);
        let of_part = |result: &serde_json::Value| result["parts"][0]["message"].clone();
        assert_eq!(all.iter().map(of_part).collect::<Vec<_>>(), vec!["words\nmore"; all.len()]);
    }
}
