//! What came of a push, and of a job, part by part, and what is said of it.

use std::fmt::Write as _;

use super::signals::signalled;
use crate::config::{CronJob, When};
use crate::error::{Exit, StartError};
use crate::format::{count, sanitise};
use crate::plan::Nothing;
use crate::report::lines::LogFile;
use crate::report::view::dry_run::PlanRow;
use crate::report::view::prune::PruneReport;
use crate::report::view::snapshot::Taken;

/// How a push has ended.
#[derive(Debug)]
pub struct Pushed {
    /// Whether the target is in sync, or in a dry run: whether it would be.
    pub exit: Exit,
    /// What a dry run has found out.
    pub plan: Option<Vec<PlanRow>>,
    /// Why there is nothing to replicate, as far as a dry run has found that.
    pub nothing: Option<Nothing>,
}

/// What has become of a job.
pub struct Done {
    /// What was done.
    pub parts: Vec<Part>,
    /// Why the rest wasn't.
    pub error: Option<StartError>,
    /// The name of the snapshot that was taken, without the dataset.
    pub taken: Option<String>,
    /// Where it is written down.
    pub log: Option<LogFile>,
}

/// What is said of a job.
#[derive(Debug)]
pub struct Report {
    /// How the run ends.
    pub exit: Exit,
    /// For people; empty lines are none.
    pub text: String,
}

/// One part of a job: a target, the snapshot, the pruning.
pub struct Part {
    /// Which.
    pub label: String,
    /// How it has ended.
    pub exit: Exit,
    /// What there is to say of it.
    pub words: String,
    /// Of copies that were pruned: what they keep beside what the rules say, if anything.
    pub further: Option<Further>,
}

/// What a copy keeps for targets of its own, or for its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Further {
    /// The copy, as the user has named it.
    pub target: String,
    /// In words; `None` where it keeps nothing.
    pub words: Option<String>,
}

/// What can't wait for the end of a command.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// What a job keeps and prunes: lines for people.
    Keeps(&'a str),
    /// A job has ended; others follow.
    Ended(&'a Report),
}

/// Hears it.
pub type Tell<'a> = &'a mut dyn FnMut(Told<'_>);

impl Part {
    /// One about which nothing else is known.
    pub fn new(label: impl Into<String>, exit: Exit, words: impl Into<String>) -> Self {
        Self { label: label.into(), exit, words: words.into(), further: None }
    }

    /// The snapshot.
    pub fn of_snapshot(taken: &Taken) -> Self {
        let mut words = taken.failures.join("\n");
        let exit = if words.is_empty() { Exit::InSync } else { Exit::Failed };
        if words.is_empty() {
            let _ = write!(words, "took @{} of {}", taken.name, count(taken.datasets.len(), "dataset"));
            if !taken.unchanged.is_empty() {
                let _ = write!(words, "; skipped {} without changes", count(taken.unchanged.len(), "dataset"));
            }
        }
        Self::new("snapshot", exit, words)
    }

    /// The pruning of something.
    pub fn of_pruned(label: &str, pruned: Result<PruneReport, StartError>) -> Self {
        let (target, label) = (label.to_owned(), format!("pruning {label}"));
        match pruned {
            Ok(pruned) => {
                // Only what is wrong, where something is.
                let words: String = pruned.told(0, pruned.failed()).into_iter().map(|(_, words)| words).collect();
                let further = pruned.has_copies().then(|| Further { target, words: pruned.further() });
                Self { further, ..Self::new(label, pruned.exit(), words) }
            }
            Err(error) => Self::new(label, error.exit(), error.to_string()),
        }
    }

    /// A hook.
    pub fn of_hook(when: When, ended: Result<String, String>) -> Self {
        let (exit, words) = match ended {
            Ok(said) => (Exit::InSync, said),
            Err(words) => (Exit::Failed, words),
        };
        Self::new(format!("{} hook", when.key()), exit, words)
    }

    /// The same, written down if there is a log.
    pub fn logged(self, log: Option<&LogFile>) -> Self {
        if let Some(log) = log {
            log.note_part(&self.label, &self.words);
        }
        self
    }
}

/// Waits until a log has all that it was given.
pub async fn written(log: Option<&LogFile>) {
    if let Some(log) = log {
        log.written(signalled()).await;
    }
}

/// What has failed, as a whole.
fn headline(parts: &[Part]) -> &'static str {
    let first = When::PreSnapshot.key();
    let is_hook = |part: &Part| part.label.ends_with(" hook");
    match parts.first() {
        Some(part)
            if part.exit == Exit::Failed && part.label == format!("{first} hook") && parts.iter().all(is_hook) =>
        {
            "pre-snapshot failed, nothing was done"
        }
        _ => "some of the work failed",
    }
}

/// The worst of all parts, and what there is to say.
pub fn report_of(job: &CronJob, parts: &[Part], error: Option<&StartError>) -> Report {
    let wrong: Vec<&Part> = parts.iter().filter(|part| part.exit != Exit::InSync).collect();
    let exit = match error {
        Some(error) if wrong.is_empty() => error.exit(),
        error => worst(wrong.iter().map(|part| part.exit).chain(error.map(StartError::exit))),
    };
    let mut text = String::new();
    if error.is_none() && exit == Exit::Locked && wrong.iter().all(|part| part.words.is_empty()) {
        return Report { exit, text };
    }
    // What has a name is one of several jobs, as a rule.
    if exit != Exit::InSync || !job.tells {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let headline = if exit == Exit::InSync { "success" } else { headline(parts) };
        let _ = writeln!(text, "zfsync: {} on {host}: {headline}", job.label());
    }
    for part in parts {
        let state = match part.exit {
            Exit::InSync => "ok",
            Exit::Locked => "skipped: another run is working on it",
            Exit::NotStarted => "failed: could not start",
            Exit::Interrupted(_) => "interrupted",
            _ => "failed",
        };
        let _ = writeln!(text, "{}: {state}", part.label);
        for line in part.words.lines() {
            let _ = writeln!(text, "  {}", sanitise(line));
        }
    }
    if let Some(error) = error {
        let _ = writeln!(text, "{}: {}", job.label(), sanitise(&error.to_string()));
    }
    Report { exit, text }
}

/// A signal counts most, then a failure of whatever kind, then a lock.
pub fn worst(exits: impl Iterator<Item = Exit>) -> Exit {
    exits.fold(Exit::InSync, |worst, exit| match (worst, exit) {
        (Exit::Interrupted(_), _) => worst,
        (_, Exit::Interrupted(_)) => exit,
        (Exit::InSync, Exit::Locked) | (Exit::Locked, Exit::Locked | Exit::InSync) => Exit::Locked,
        (Exit::InSync, Exit::InSync) => Exit::InSync,
        _ => Exit::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Signal;

    #[test]
    fn the_worst_counts() {
        let interrupted = Exit::Interrupted(Signal::Terminate);
        for (exits, expected) in [
            (vec![], Exit::InSync),
            (vec![Exit::InSync, Exit::InSync], Exit::InSync),
            (vec![Exit::InSync, Exit::Locked, Exit::InSync], Exit::Locked),
            (vec![Exit::Locked, Exit::Failed], Exit::Failed),
            (vec![Exit::NotStarted, Exit::InSync], Exit::Failed),
            (vec![Exit::Failed, interrupted, Exit::Failed], interrupted),
        ] {
            assert_eq!(worst(exits.iter().copied()), expected, "{exits:?}");
        }
    }

    #[test]
    fn what_is_left_to_others_is_no_success_and_needs_no_words() {
        use clap::{Args as _, FromArgMatches as _};

        let command = crate::cli::Cron::augment_args(clap::Command::new("cron"));
        let command = command.mut_arg("ssh_option", |option| option.short(None));
        let matches = command.get_matches_from(["cron", "-w", "60", "p/s", "p/t"]);
        let job = CronJob::new(&crate::cli::Cron::from_arg_matches(&matches).unwrap()).unwrap();
        let part = |exit, words: &str| Part::new("p/t", exit, words);
        let told = |parts: &[Part]| {
            let Report { exit, text } = report_of(&job, parts, None);
            (exit, text.is_empty())
        };
        assert_eq!(told(&[part(Exit::Locked, ""), part(Exit::InSync, "")]), (Exit::Locked, true));
        assert_eq!(told(&[part(Exit::Locked, "process 7 has it")]), (Exit::Locked, false));
        assert_eq!(told(&[part(Exit::Locked, ""), part(Exit::Failed, "")]), (Exit::Failed, false));
    }
}
