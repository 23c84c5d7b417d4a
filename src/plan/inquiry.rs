//! The one order in which everything is asked that a plan needs. Whoever plans, over connections or in the memory of a test, takes
//! one [`Ask`] after the other and hands its answer to the [`Negotiation`]; what is asked, of whom, and when it is enough is decided here.

use std::collections::BTreeSet;

use super::negotiate::Negotiation;
use super::{Doubt, PlannedDataset, SnapshotPair, TargetLimits};
use zfs::name::DatasetName;

/// What must be found out next. With each stands where its answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Which of these snapshots and datasets the target has: [`Negotiation::unread`] what can't be read, then
    /// [`Negotiation::answers`].
    Names(Vec<String>),
    /// Whether the first of each pair, a dataset of the source, is a copy of the second, one of the target: nothing may be changed then.
    Origins(Vec<(DatasetName, DatasetName)>),
    /// Names have told all that they can. Now is the time to look at what only the target has, and to rename on the target what has another
    /// name at the source ([`Negotiation::moved`]); a plan needs neither.
    OnlyThere,
    /// All that these datasets of the target have: [`Negotiation::listed`].
    List(Vec<DatasetName>),
    /// Whether bookmarks of the source still belong to their datasets' histories: [`Negotiation::proofs`], for each an answer.
    Proofs(Vec<Doubt>),
    /// Which datasets there are below each of these, TARGET or tops below it: [`Negotiation::below`].
    Below(Vec<DatasetName>),
    /// What zfsync has recorded on the target, above all on these datasets: [`Negotiation::records`].
    Records(BTreeSet<DatasetName>),
    /// Whether this dataset of the target doesn't exist: [`Negotiation::vacant`].
    Vacancy(DatasetName),
    /// All that steps depend on, at the same time: what the target allows streams to carry, below the dataset `nearest` to TARGET that
    /// exists, [`Inquiry::limited`]; what the datasets of the source are, [`Negotiation::wants_facts`] and [`Negotiation::facts`];
    /// and what was written to these snapshots of it, [`Negotiation::written`].
    Facts {
        /// The target's.
        nearest: DatasetName,
        /// The source's.
        snapshots: Vec<String>,
    },
    /// What these datasets of the source are, as the target has limits: [`Negotiation::facts`].
    MoreFacts(Vec<DatasetName>),
    /// How these datasets of the target are encrypted, in which others will be made: [`Negotiation::holders`].
    Holders(Vec<DatasetName>),
    /// What speaks against increments on top of these snapshots of the target: [`Negotiation::bases`].
    Bases(Vec<(usize, String)>),
    /// The IV sets of these snapshots and bookmarks of the source: [`Negotiation::iv_sets`].
    IvSets(Vec<String>),
    /// The IV sets of snapshots that both sides have: [`Negotiation::history`].
    History(Vec<SnapshotPair>),
    /// Which datasets there are below TARGET, this one, as some may have a key that is replaced: [`Negotiation::sharers_below`]. A dry run
    /// asks only where it may be refused for that.
    SharersBelow(DatasetName),
}

/// Not even the target's pool exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPool;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Names,
    OnlyThere,
    /// What is in doubt by now is listed and proven.
    NamesInDoubt,
    Below,
    /// Each top by itself, if not all of TARGET was listed.
    BelowTops,
    Records,
    Vacancy,
    Facts,
    MoreFacts,
    Holders,
    Bases,
    IvSets,
    BasesInDoubt,
    History,
    SharersBelow,
    Sharers,
    Stragglers,
    Through,
}

/// How far the questions of a plan are.
#[derive(Debug, Default)]
pub struct Inquiry {
    stage: Stage,
    limited: bool,
}

impl Inquiry {
    /// What the target allows streams to carry, as the answer to [`Ask::Facts`].
    pub fn limited(&mut self, limits: &TargetLimits) {
        self.limited = !limits.none();
    }

    /// The next question; `None` when the plan is known.
    ///
    /// # Errors
    ///
    /// When there is something to send, and no pool to receive it.
    pub fn next(&mut self, negotiation: &mut Negotiation) -> Result<Option<Ask>, NoPool> {
        loop {
            let (ask, stage) = match self.stage {
                Stage::Names => match negotiation.questions() {
                    names if names.is_empty() => {
                        (some(negotiation.wants_origins(), Vec::is_empty, Ask::Origins), Stage::OnlyThere)
                    }
                    names => (Some(Ask::Names(names)), Stage::Names),
                },
                Stage::OnlyThere => (Some(Ask::OnlyThere), Stage::NamesInDoubt),
                Stage::NamesInDoubt => match in_doubt(negotiation) {
                    None => (None, Stage::Below),
                    ask => (ask, Stage::NamesInDoubt),
                },
                Stage::Below => (some(negotiation.wants_below(), Vec::is_empty, Ask::Below), Stage::BelowTops),
                Stage::BelowTops => (some(negotiation.wants_below(), Vec::is_empty, Ask::Below), Stage::Records),
                Stage::Records => {
                    let is_enough = |asked: &BTreeSet<_>| asked.is_empty() && !negotiation.has_staying();
                    (some(negotiation.wants_records(), is_enough, Ask::Records), Stage::Vacancy)
                }
                Stage::Vacancy => (negotiation.wants_vacancy().map(Ask::Vacancy), Stage::Facts),
                Stage::Facts if negotiation.plan().steps() == 0 && negotiation.wants_facts(false).is_empty() => {
                    (None, Stage::Through)
                }
                Stage::Facts => {
                    let nearest = negotiation.nearest().ok_or(NoPool)?;
                    (Some(Ask::Facts { nearest, snapshots: negotiation.wants_written() }), Stage::MoreFacts)
                }
                Stage::MoreFacts if self.limited => {
                    (some(negotiation.wants_facts(true), Vec::is_empty, Ask::MoreFacts), Stage::Holders)
                }
                Stage::MoreFacts => (None, Stage::Holders),
                Stage::Holders => (some(negotiation.wants_holders(), Vec::is_empty, Ask::Holders), Stage::Bases),
                Stage::Bases => match some(negotiation.wants_bases(), Vec::is_empty, Ask::Bases) {
                    None => (None, Stage::BasesInDoubt),
                    ask => (ask, Stage::IvSets),
                },
                Stage::IvSets => match some(negotiation.wants_iv_sets(), Vec::is_empty, Ask::IvSets) {
                    None => {
                        // What the target has said of bases counts without them, too.
                        negotiation.iv_sets(&[]);
                        (None, Stage::BasesInDoubt)
                    }
                    ask => (ask, Stage::BasesInDoubt),
                },
                Stage::BasesInDoubt => match in_doubt(negotiation) {
                    None => (None, Stage::History),
                    ask => (ask, Stage::BasesInDoubt),
                },
                Stage::History => (some(negotiation.wants_history(), Vec::is_empty, Ask::History), Stage::SharersBelow),
                Stage::SharersBelow => (negotiation.wants_sharers_below().map(Ask::SharersBelow), Stage::Sharers),
                Stage::Sharers => (some(negotiation.wants_sharers(), Vec::is_empty, Ask::Holders), Stage::Stragglers),
                Stage::Stragglers => {
                    negotiation.note_stragglers();
                    (None, Stage::Through)
                }
                Stage::Through => return Ok(None),
            };
            self.stage = stage;
            if ask.is_some() {
                return Ok(ask);
            }
        }
    }
}

/// Target datasets that only a listing settles; once they are listed, the bookmarks from which a plan would start.
fn in_doubt(negotiation: &Negotiation) -> Option<Ask> {
    some(negotiation.unlisted(), Vec::is_empty, Ask::List)
        .or_else(|| some(negotiation.wants_proofs(), Vec::is_empty, Ask::Proofs))
}

fn some<T>(wanted: T, is_empty: impl FnOnce(&T) -> bool, ask: impl FnOnce(T) -> Ask) -> Option<Ask> {
    (!is_empty(&wanted)).then(|| ask(wanted))
}

/// What must be found out of one dataset whose target was listed anew, after [`Negotiation::relisted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskAnew {
    /// What this dataset of the source is: [`Negotiation::facts`]. A plan does without.
    Facts(DatasetName),
    /// What was written to these snapshots of it: [`Negotiation::written`].
    Written(Vec<String>),
    /// Whether its bookmarks still belong to its history: [`Negotiation::proofs`].
    Proofs(Doubt),
    /// Nothing more: this is its new plan.
    Planned(Box<PlannedDataset>),
}

/// How far the questions about one dataset are that was listed anew.
#[derive(Debug, Clone, Copy)]
pub struct Replan {
    /// The dataset's place in the plan.
    pub index: usize,
    stage: StageAnew,
}

#[derive(Debug, Clone, Copy)]
enum StageAnew {
    Facts,
    Written,
    Proofs,
}

impl Replan {
    /// Starts when the target is listed.
    #[must_use]
    pub fn new(index: usize) -> Self {
        Self { index, stage: StageAnew::Facts }
    }

    /// The next question, or the plan; `None` for a dataset that is in no plan.
    pub fn next(&mut self, negotiation: &Negotiation) -> Option<AskAnew> {
        if matches!(self.stage, StageAnew::Facts) {
            self.stage = StageAnew::Written;
            return Some(AskAnew::Facts(negotiation.names(self.index)?.0.clone()));
        }
        if matches!(self.stage, StageAnew::Written) {
            self.stage = StageAnew::Proofs;
            let snapshots = negotiation.wants_written_of(self.index);
            if !snapshots.is_empty() {
                return Some(AskAnew::Written(snapshots));
            }
        }
        if let Some(doubt) = negotiation.wants_proof_of(self.index) {
            return Some(AskAnew::Proofs(doubt));
        }
        negotiation.replan(self.index).map(|planned| AskAnew::Planned(Box::new(planned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{self, numbered as versions};
    use crate::plan::{Proof, Proofs, SourceDataset, SourceFacts, TargetDataset, Verdict};
    use zfs::name::{Guid, Txg};
    use zfs::{Encryption, Kind};

    fn negotiation(bookmarks: &[(&str, u64)]) -> Negotiation {
        let source = SourceDataset {
            snapshots: versions(&[("old", 4), ("new", 9)]),
            bookmarks: versions(bookmarks),
            ..SourceDataset::default()
        };
        Negotiation::new(&"p/s".parse().unwrap(), &"q/t".parse().unwrap(), vec![source], false)
    }

    /// A target that has these, and of whose names nothing but those of `told` are found when asked for.
    struct There<'a> {
        told: &'a [(&'a str, u64)],
        listed: &'a [(&'a str, u64)],
        encrypted: bool,
        limits: TargetLimits,
    }

    /// Answers all questions, and tells in which order they came.
    fn asked(negotiation: &mut Negotiation, there: &There<'_>) -> Result<Vec<String>, NoPool> {
        let (mut inquiry, mut all) = (Inquiry::default(), Vec::new());
        while let Some(ask) = inquiry.next(negotiation)? {
            let told = format!("{ask:?}");
            all.push(told.split(['(', ' ']).next().unwrap_or_default().to_owned());
            match ask {
                Ask::Names(names) => {
                    let guid = |name: &String| there.told.iter().find(|(told, _)| told == name).map(|(_, guid)| *guid);
                    let found = (0..).zip(&names).filter_map(|(at, name)| Some((at, Guid(guid(name)?), Txg(1))));
                    negotiation.answers(&found.collect::<Vec<_>>());
                }
                Ask::List(datasets) => {
                    let dataset = || TargetDataset {
                        encryption: if there.encrypted { Encryption::Root } else { Encryption::Off },
                        ..fixture::target(versions(there.listed))
                    };
                    negotiation.listed(datasets.into_iter().map(|name| (name, dataset())).collect());
                }
                Ask::Proofs(doubts) => {
                    let gone = |doubt: Doubt| {
                        let marks = doubt.marks.into_iter().map(|(guid, _)| (guid, Proof::WentBack(Txg(5))));
                        (doubt.index, marks.collect())
                    };
                    negotiation.proofs(doubts.into_iter().map(gone).collect::<Proofs>());
                }
                Ask::Facts { .. } => {
                    inquiry.limited(&there.limits);
                    let facts = SourceFacts { kind: Kind::Filesystem, encrypted: there.encrypted, root_up: 0 };
                    let datasets = negotiation.wants_facts(there.encrypted);
                    negotiation.facts(&datasets.into_iter().map(|name| (name, facts)).collect());
                }
                Ask::Bases(wanted) => {
                    let facts = zfs::BaseFacts {
                        written: Some(0),
                        iv_set: Some(Guid(1)),
                        encryption_root: Some("q/t".parse().unwrap()),
                        key_loaded: true,
                    };
                    negotiation.bases(&wanted, vec![(0, facts)]);
                }
                Ask::IvSets(names) => {
                    negotiation.iv_sets(&names.into_iter().map(|name| (name, Guid(2))).collect::<Vec<_>>());
                }
                Ask::Origins(_)
                | Ask::OnlyThere
                | Ask::Records(_)
                | Ask::Below(_)
                | Ask::Vacancy(_)
                | Ask::MoreFacts(_)
                | Ask::Holders(_)
                | Ask::SharersBelow(_)
                | Ask::History(_) => {}
            }
            assert!(all.len() < 30, "it asks for ever: {all:?}");
        }
        Ok(all)
    }

    const PLAIN: There<'_> = There {
        told: &[("q", 1), ("q/t", 1), ("q/t@new", 9)],
        listed: &[],
        encrypted: false,
        limits: TargetLimits { disabled: Vec::new(), encrypted: false },
    };

    #[test]
    fn nothing_to_do_is_known_by_one_question() {
        let mut negotiation = negotiation(&[]);
        assert_eq!(asked(&mut negotiation, &PLAIN).unwrap(), ["Names", "OnlyThere"]);
        assert_eq!(negotiation.plan().datasets[0].verdict, Verdict::InSync);
    }

    #[test]
    fn no_pool_takes_nothing() {
        let mut negotiation = negotiation(&[]);
        assert_eq!(asked(&mut negotiation, &There { told: &[], ..PLAIN }), Err(NoPool));
    }

    #[test]
    fn what_streams_may_carry_decides_how_much_is_asked() {
        let there = There { told: &[("q", 1), ("q/t", 1), ("q/t@old", 4)], ..PLAIN };
        assert_eq!(asked(&mut negotiation(&[]), &there).unwrap(), ["Names", "Names", "Origins", "OnlyThere", "Facts"]);
        let limits = TargetLimits { disabled: vec!["lz4_compress".into()], encrypted: false };
        assert_eq!(
            asked(&mut negotiation(&[]), &There { limits, ..there }).unwrap(),
            ["Names", "Names", "Origins", "OnlyThere", "Facts", "MoreFacts"]
        );
    }

    /// A bookmark that is none any more sends back to the list, and a doubtful IV set to the history.
    #[test]
    fn answers_lead_to_further_questions() {
        let there =
            There { told: &[("q", 1), ("q/t", 1), ("q/t@mark", 7)], listed: &[("old", 4), ("mark", 7)], ..PLAIN };
        let mut marked = negotiation(&[("mark", 7)]);
        assert_eq!(
            asked(&mut marked, &there).unwrap(),
            ["Names", "Names", "Origins", "OnlyThere", "Proofs", "List", "Facts"],
            "{:?}",
            marked.plan()
        );
        let there =
            There { told: &[("q", 1), ("q/t", 1), ("q/t@old", 4)], listed: &[("old", 4)], encrypted: true, ..there };
        let all = ["Names", "Names", "Origins", "OnlyThere", "Facts", "Bases", "IvSets", "List", "History"];
        assert_eq!(asked(&mut negotiation(&[]), &there).unwrap(), all);
    }
}
