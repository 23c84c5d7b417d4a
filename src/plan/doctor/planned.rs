//! Findings about what a push would do, as its own plan says.

use super::{Diagnosis, Finding, Mark};
use crate::format::count;
use crate::plan::Nothing;

const CHECK: &str = "plan";

/// So many datasets that would be refused are told.
const SHOWN: usize = 5;

/// What a dry run has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// There is nothing to replicate.
    Nothing(Nothing),
    /// What would be done.
    Steps {
        /// Snapshots that would be sent.
        snapshots: usize,
        /// Datasets that get some.
        sent: usize,
        /// Datasets that have all.
        in_sync: usize,
        /// What would be refused.
        refused: Vec<Refused>,
        /// Why it would fail as a whole.
        failed: Option<Reasons>,
    },
    /// The plan can't be made.
    Failed(Reasons),
}

/// A dataset that a push would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// All that there is to say of it.
    pub text: String,
    /// Whether the source's next snapshot ends it.
    pub until_next_snapshot: bool,
}

/// Why something fails: there is at least one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons {
    first: String,
    others: Vec<String>,
}

impl Reasons {
    /// These, or else that none was given.
    pub fn of(all: impl IntoIterator<Item = String>) -> Self {
        let mut all = all.into_iter().filter(|why| !why.trim().is_empty());
        let first = all.next().unwrap_or_else(|| "a push would fail, and its dry run does not say why".into());
        Self { first, others: all.collect() }
    }

    fn findings(&self) -> impl Iterator<Item = Finding> {
        std::iter::once(&self.first).chain(&self.others).map(|why| Finding::new(CHECK, Mark::Failure, why))
    }
}

/// What is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// `push`, or `cron`, or a job: nobody has said.
    Any,
    /// A job of a file.
    Job {
        /// Whether it takes a snapshot before it replicates.
        takes_snapshots: bool,
    },
}

impl Runner {
    /// How to see the whole plan.
    fn whole(&self) -> &'static str {
        match self {
            Self::Any => "zfsync push --dry-run shows the whole plan",
            Self::Job { .. } => "zfsync push --dry-run, with the options of the job, shows the whole plan",
        }
    }

    /// Whether what only lacks a snapshot may go well.
    fn may_take_snapshots(&self) -> bool {
        *self != Self::Job { takes_snapshots: false }
    }
}

impl Diagnosis {
    /// Adds what comes of a push.
    pub fn plan(&mut self, planned: &Planned, runner: &Runner) {
        if let Some((_, findings)) = self.ends.last_mut() {
            findings.extend(self::findings(planned, runner));
        }
    }
}

fn findings(planned: &Planned, runner: &Runner) -> Vec<Finding> {
    match planned {
        Planned::Nothing(nothing) => vec![self::nothing(nothing, runner)],
        Planned::Failed(why) => why.findings().collect(),
        Planned::Steps { snapshots, sent, in_sync, refused, failed: None } if refused.is_empty() => {
            vec![Finding::ok(CHECK, steps(*snapshots, *sent, *in_sync))]
        }
        Planned::Steps { refused, failed, .. } => {
            let (passing, lasting): (Vec<_>, Vec<_>) =
                refused.iter().partition(|refused| refused.until_next_snapshot && runner.may_take_snapshots());
            let mut all: Vec<Finding> = failed.iter().flat_map(Reasons::findings).collect();
            for (refused, mark) in [(lasting, Mark::Failure), (passing, Mark::Warning)] {
                all.extend(refused.iter().take(SHOWN).map(|refused| self::refused(&refused.text, mark, runner)));
                if refused.len() > SHOWN {
                    let more = refused.len() - SHOWN;
                    let words =
                        format!("{more} more {} would be refused", if more == 1 { "dataset" } else { "datasets" });
                    all.push(Finding { advice: Some(runner.whole().into()), ..Finding::new(CHECK, mark, words) });
                }
            }
            all
        }
    }
}

fn nothing(nothing: &Nothing, runner: &Runner) -> Finding {
    let why = nothing.why();
    let advice = nothing.advice().unwrap_or_else(|| "check --include and --exclude".into());
    match runner {
        _ if !nothing.is_any_selected() => Finding::failure(CHECK, format!("nothing to replicate: {why}"), advice),
        Runner::Any => {
            let words = format!("a run would have nothing to replicate: {why}; cron and run take a snapshot first");
            Finding::warning(CHECK, words, advice)
        }
        Runner::Job { takes_snapshots: true } => {
            Finding::ok(CHECK, "there is no snapshot yet; a run takes one before it replicates")
        }
        Runner::Job { takes_snapshots: false } => {
            Finding::failure(CHECK, format!("nothing to replicate: {why}; the job takes no snapshots"), advice)
        }
    }
}

fn steps(snapshots: usize, sent: usize, in_sync: usize) -> String {
    let in_sync = match in_sync {
        0 => String::new(),
        some => format!("; {} in sync", count(some, "dataset")),
    };
    match snapshots {
        0 => format!("a push has nothing to send{in_sync}"),
        some => format!("a push would send {} of {}{in_sync}", count(some, "snapshot"), count(sent, "dataset")),
    }
}

/// A conflict has its own advice.
fn refused(text: &str, mark: Mark, runner: &Runner) -> Finding {
    let (words, advice) = match text.split_once("\n  nothing was changed; to continue: ") {
        Some((words, advice)) => (words, format!("to continue: {advice}")),
        None => (text, runner.whole().to_owned()),
    };
    Finding { advice: Some(advice), ..Finding::new(CHECK, mark, words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::doctor::tests::both;

    const JOB: Runner = Runner::Job { takes_snapshots: true };
    const BARE_JOB: Runner = Runner::Job { takes_snapshots: false };

    fn told(planned: &Planned, runner: &Runner) -> Vec<(Mark, String, Option<String>)> {
        let mut found = Diagnosis::of(both(), "1.0.0");
        found.plan(planned, runner);
        let all = found.findings().filter(|finding| finding.check == CHECK);
        all.map(|finding| (finding.mark, finding.words.clone(), finding.advice.clone())).collect()
    }

    fn steps(refused: Vec<Refused>, failed: Option<Reasons>) -> Planned {
        Planned::Steps { snapshots: 3, sent: 2, in_sync: 1, refused, failed }
    }

    fn refused(text: &str, until_next_snapshot: bool) -> Refused {
        Refused { text: text.into(), until_next_snapshot }
    }

    #[test]
    fn nothing_to_replicate_is_a_failure_for_whoever_takes_no_snapshot() {
        let nothing = |selected| Planned::Nothing(Nothing::of(&"p".parse().unwrap(), selected, selected).unwrap());
        let advice = Some("take one first: zfsync snapshot p".to_owned());
        let words = "a run would have nothing to replicate: the selected dataset has no snapshot; cron and run take a snapshot first";
        assert_eq!(told(&nothing(1), &Runner::Any), [(Mark::Warning, words.into(), advice.clone())]);
        assert_eq!(told(&nothing(1), &JOB)[0].0, Mark::Ok);
        let words = "nothing to replicate: the selected dataset has no snapshot; the job takes no snapshots";
        assert_eq!(told(&nothing(1), &BARE_JOB), [(Mark::Failure, words.into(), advice)]);
        // A snapshot of nothing is no help.
        for runner in [Runner::Any, JOB, BARE_JOB] {
            let found = told(&nothing(0), &runner);
            assert_eq!(
                (found[0].0, found[0].1.as_str()),
                (Mark::Failure, "nothing to replicate: no dataset of p is selected")
            );
        }
    }

    #[test]
    fn each_conflict_is_a_failure_with_its_own_advice() {
        let text = "p/a -> q/a: conflict: why\n  common: @x\n  nothing was changed; to continue: run again with\n    --rollback, which";
        let found = told(&steps(vec![refused(text, false)], None), &JOB);
        assert_eq!((found[0].0, found[0].1.as_str()), (Mark::Failure, "p/a -> q/a: conflict: why\n  common: @x"));
        assert_eq!(found[0].2.as_deref(), Some("to continue: run again with\n    --rollback, which"));
        let found = told(&steps(vec![refused("why", false); 7], None), &Runner::Any);
        assert!(found.len() == 6 && found.iter().all(|(mark, ..)| *mark == Mark::Failure), "{found:?}");
        assert_eq!(found[5].1, "2 more datasets would be refused");
        assert_eq!(found[5].2.as_deref(), Some("zfsync push --dry-run shows the whole plan"));
        let found = told(&steps(vec![refused("why", false); 6], None), &JOB);
        assert_eq!(found[5].1, "1 more dataset would be refused");
        assert_eq!(
            found[5].2.as_deref(),
            Some("zfsync push --dry-run, with the options of the job, shows the whole plan")
        );
        let words = "a push would send 3 snapshots of 2 datasets; 1 dataset in sync".to_owned();
        assert_eq!(told(&steps(Vec::new(), None), &Runner::Any), [(Mark::Ok, words, None)]);
    }

    #[test]
    fn what_the_next_snapshot_ends_is_a_warning_where_one_is_taken() {
        let both = steps(vec![refused("ahead", true), refused("diverged", false)], None);
        let marks =
            |runner: &Runner| told(&both, runner).into_iter().map(|(mark, words, _)| (mark, words)).collect::<Vec<_>>();
        let lasting = (Mark::Failure, "diverged".to_owned());
        for runner in [Runner::Any, JOB] {
            assert_eq!(marks(&runner), [lasting.clone(), (Mark::Warning, "ahead".into())]);
        }
        assert_eq!(marks(&BARE_JOB), [(Mark::Failure, "ahead".into()), lasting]);
    }

    #[test]
    fn a_failure_always_has_words() {
        let silent = "a push would fail, and its dry run does not say why".to_owned();
        assert_eq!(told(&Planned::Failed(Reasons::of(["\n".into()])), &JOB), [(Mark::Failure, silent, None)]);
        let failed = Some(Reasons::of([String::new(), "one".into(), "two".into()]));
        let of = |words: &str| (Mark::Failure, words.to_owned(), None);
        assert_eq!(told(&steps(Vec::new(), failed), &Runner::Any), [of("one"), of("two")]);
    }
}
