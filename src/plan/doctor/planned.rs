//! Findings about what a push would do, as its own plan says.

use super::{Diagnosis, Finding};
use crate::format::count;

const CHECK: &str = "plan";

/// So many datasets that would be refused are told.
const SHOWN: usize = 5;

/// What a dry run has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// There is nothing to replicate.
    Nothing {
        /// Why, and in further lines what to do.
        why: String,
        /// Whether any dataset is selected; then none of them has a snapshot.
        selected: bool,
    },
    /// What would be done.
    Steps {
        /// Snapshots that would be sent.
        snapshots: usize,
        /// Datasets that get some.
        sent: usize,
        /// Datasets that have all.
        in_sync: usize,
        /// What would be refused: each with the whole text about it.
        refused: Vec<String>,
    },
    /// The plan can't be made: why.
    Failed(String),
}

impl Diagnosis {
    /// Adds what comes of a push. `takes_snapshots`: a run takes one before.
    pub fn plan(&mut self, planned: &Planned, takes_snapshots: bool) {
        if let Some((_, findings)) = self.ends.last_mut() {
            findings.extend(self::findings(planned, takes_snapshots));
        }
    }
}

fn findings(planned: &Planned, takes_snapshots: bool) -> Vec<Finding> {
    const WHOLE: &str = "zfsync push --dry-run shows the whole plan";
    match planned {
        Planned::Nothing { selected: true, .. } if takes_snapshots => {
            vec![Finding::ok(CHECK, "there is no snapshot yet; a run takes one before it replicates")]
        }
        Planned::Nothing { why, .. } => {
            let (words, advice) = why.split_once('\n').unwrap_or((why, "take a snapshot first"));
            vec![Finding::failure(CHECK, words, advice.trim())]
        }
        Planned::Failed(why) => vec![Finding::failure(CHECK, why, WHOLE)],
        Planned::Steps { snapshots, sent, in_sync, refused } if refused.is_empty() => {
            let in_sync = match in_sync {
                0 => String::new(),
                some => format!("; {} in sync", count(*some, "dataset")),
            };
            let words = match snapshots {
                0 => format!("a push has nothing to send{in_sync}"),
                some => {
                    format!("a push would send {} of {}{in_sync}", count(*some, "snapshot"), count(*sent, "dataset"))
                }
            };
            vec![Finding::ok(CHECK, words)]
        }
        Planned::Steps { refused, .. } => {
            let mut all: Vec<Finding> = refused.iter().take(SHOWN).map(|text| self::refused(text, WHOLE)).collect();
            if refused.len() > SHOWN {
                let words = format!("{} more would be refused", count(refused.len() - SHOWN, "dataset"));
                all.push(Finding::failure(CHECK, words, WHOLE));
            }
            all
        }
    }
}

/// A conflict has its own advice.
fn refused(text: &str, whole: &str) -> Finding {
    match text.split_once("\n  nothing was changed; to continue: ") {
        Some((words, advice)) => Finding::failure(CHECK, words, format!("to continue: {advice}")),
        None => Finding::failure(CHECK, text, whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::doctor::Mark;
    use crate::plan::doctor::tests::both;

    fn told(planned: &Planned, takes_snapshots: bool) -> Vec<(Mark, String, Option<String>)> {
        let mut found = Diagnosis::of(both(), "1.0.0");
        found.plan(planned, takes_snapshots);
        let all = found.findings().filter(|finding| finding.check == CHECK);
        all.map(|finding| (finding.mark, finding.words.clone(), finding.advice.clone())).collect()
    }

    #[test]
    fn nothing_to_replicate_is_a_failure_unless_the_run_takes_a_snapshot() {
        let why = "nothing to replicate: why\n  take one first: zfsync snapshot p".to_owned();
        let nothing = Planned::Nothing { why: why.clone(), selected: true };
        let advice = Some("take one first: zfsync snapshot p".to_owned());
        assert_eq!(told(&nothing, false), [(Mark::Failure, "nothing to replicate: why".into(), advice)]);
        assert_eq!(told(&nothing, true)[0].0, Mark::Ok);
        // A snapshot of nothing is no help.
        assert_eq!(told(&Planned::Nothing { why, selected: false }, true)[0].0, Mark::Failure);
    }

    #[test]
    fn each_conflict_is_a_failure_with_its_own_advice() {
        let text = "p/a -> q/a: conflict: why\n  common: @x\n  nothing was changed; to continue: run again with\n    --rollback, which";
        let steps = |refused: Vec<String>| Planned::Steps { snapshots: 3, sent: 2, in_sync: 1, refused };
        let found = told(&steps(vec![text.to_owned()]), true);
        assert_eq!(found[0].1, "p/a -> q/a: conflict: why\n  common: @x");
        assert_eq!(found[0].2.as_deref(), Some("to continue: run again with\n    --rollback, which"));
        let found = told(&steps(vec!["why".to_owned(); 7]), false);
        assert!(found.len() == 6 && found.iter().all(|(mark, ..)| *mark == Mark::Failure), "{found:?}");
        assert_eq!(found[5].1, "2 datasets more would be refused");
        let words = "a push would send 3 snapshots of 2 datasets; 1 dataset in sync".to_owned();
        assert_eq!(told(&steps(Vec::new()), false), [(Mark::Ok, words, None)]);
    }
}
