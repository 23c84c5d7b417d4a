//! A dataset whose target was listed anew is planned anew. What this machine's `zfs` has to be asked for that is asked on tasks, one
//! after the other; the run goes on meanwhile.

use std::collections::HashMap;

use super::{Later, Run};
use crate::error::StartError;
use crate::exec::machine::source_advice;
use crate::exec::receiver::Listings;
use crate::exec::resume::{self, Judged};
use crate::exec::{dates, proof, source};
use crate::plan::{AskAnew, PlannedDataset, Proofs, Replan, SourceDataset, SourceFacts, TargetDataset, Verdict};
use zfs::Refusal;
use zfs::name::{DatasetName, RelPath};

/// What a task has found out.
pub(super) enum Found {
    /// What the token of the listed target is good for.
    Judged(Box<TargetDataset>, Judged),
    /// What the source has of it by now.
    Source(Result<Vec<SourceDataset>, StartError>),
    /// What the source is.
    Facts(Replan, Result<HashMap<DatasetName, SourceFacts>, StartError>),
    /// What was written to its snapshots.
    Written(Replan, Vec<(String, u64)>),
    /// Which of its bookmarks still belong to its history.
    Proofs(Replan, Proofs),
    /// A conflict, with the dates of this machine's snapshots.
    Dated(Box<PlannedDataset>),
}

impl Run<'_> {
    /// Something that was to come later has come.
    pub(super) fn come(&mut self, later: Later) {
        match later {
            Later::Look(dataset) => self.ask_listing(dataset),
            Later::Tried(dataset, tried) => self.tried(dataset, tried),
            Later::Answered(dataset, answer) => self.answered(dataset, answer),
            Later::Claimed(channel, failure) => self.claim_answered(channel, failure),
            Later::Found(dataset, Found::Judged(target, judged)) => self.judged(dataset, *target, judged),
            Later::Found(dataset, Found::Source(listed)) => self.relisted(dataset, listed),
            Later::Found(_, Found::Facts(replan, facts)) => {
                match facts {
                    Ok(facts) => self.ready.negotiation.facts(&facts),
                    // The plan does without; the receive will tell.
                    Err(error) => tracing::info!("{error}"),
                }
                self.ask_anew(replan);
            }
            Later::Found(_, Found::Written(replan, written)) => {
                self.ready.negotiation.written(&written);
                self.ask_anew(replan);
            }
            // A bookmark that is none any more changes the plan, not what is known of the target.
            Later::Found(_, Found::Proofs(replan, found)) => {
                proof::tell(&self.ready.negotiation.proofs(found), self.reporter);
                self.ask_anew(replan);
            }
            Later::Found(dataset, Found::Dated(planned)) => self.ask_dates(dataset, planned),
        }
    }

    /// Has something found out on a task.
    fn find_out(&self, dataset: usize, work: impl Future<Output = Found> + Send + 'static) {
        let later = self.later.0.clone();
        tokio::spawn(async move {
            // The run may have ended.
            let _ = later.send(Later::Found(dataset, work.await));
        });
    }

    /// What was to be sent is gone: the source is listed anew, then the target.
    pub(super) fn relist(&mut self, dataset: usize) {
        self.ready.negotiation.relist(dataset, None);
        let source = self.ready.plan.datasets[dataset].source.clone();
        let (sender, stall) = (self.sender.clone(), self.job.faults.stall_timeout);
        self.find_out(dataset, async move { Found::Source(source::list(&sender, source, Some(0), stall).await) });
    }

    fn relisted(&mut self, dataset: usize, listed: Result<Vec<SourceDataset>, StartError>) {
        let own = |listed: Vec<SourceDataset>| listed.into_iter().find(|one| one.path == RelPath::default());
        match listed.map(own) {
            Ok(Some(listed)) => {
                self.ready.negotiation.source_relisted(dataset, listed);
                self.ask_listing(dataset);
            }
            Ok(None) => self.planned(dataset, Err("it no longer exists".to_owned())),
            Err(error) => {
                let refusal = match &error {
                    StartError::List { words, .. } => Refusal::from_words(words),
                    _ => Refusal::Other,
                };
                let error = error.to_string();
                let advice = source_advice(refusal, &error);
                self.planned(dataset, Err(format!("{error}{advice}")));
            }
        }
    }

    /// A dataset's target is listed.
    pub(super) fn looked(&mut self, dataset: usize, listings: Listings) {
        match listings.finish().remove(&self.target(dataset)) {
            Some((target, Some(token))) => {
                let source = self.ready.plan.datasets[dataset].source.clone();
                let (sender, job) = (self.sender.clone(), self.job.clone());
                let refused = self.ready.negotiation.refusal(dataset) == Some(Refusal::Invalid);
                let newest = target.snapshots.newest().filter(|_| refused).map(|version| version.guid);
                self.find_out(dataset, async move {
                    Found::Judged(Box::new(target), resume::judge(&sender, &source, token, newest, &job).await)
                });
            }
            Some((target, None)) => self.known(dataset, Some(target)),
            None => self.known(dataset, None),
        }
    }

    fn judged(&mut self, dataset: usize, mut target: TargetDataset, judged: Judged) {
        match judged {
            Judged::Resumable(point) => target.resume = Some(point),
            Judged::Unclear(why) => {
                let source = &self.ready.plan.datasets[dataset].source;
                self.reporter.event(&resume::kept(source, &why));
            }
            Judged::Useless(why) => return self.clear(dataset, why),
        }
        self.known(dataset, Some(target));
    }

    /// All is known of the target; now the source.
    fn known(&mut self, dataset: usize, target: Option<TargetDataset>) {
        self.ready.negotiation.relisted(dataset, target);
        self.ask_anew(Replan::new(dataset));
    }

    /// Asks what else the new plan needs, in the order of [`Replan`].
    fn ask_anew(&mut self, mut replan: Replan) {
        let dataset = replan.index;
        let Some(ask) = replan.next(&self.ready.negotiation) else {
            return self.planned(dataset, Err("it is not in the plan".to_owned()));
        };
        let (sender, stall) = (self.sender.clone(), self.job.faults.stall_timeout);
        match ask {
            AskAnew::Facts(source) => self.find_out(dataset, async move {
                let facts = source::facts(&sender, &[source], stall).await;
                Found::Facts(replan, facts)
            }),
            AskAnew::Written(snapshots) => self.find_out(dataset, async move {
                let written = sender.written(&snapshots, stall).await;
                Found::Written(replan, written)
            }),
            AskAnew::Proofs(doubt) => self.find_out(dataset, async move {
                let found = proof::find_out(&sender, vec![doubt], stall).await;
                Found::Proofs(replan, found)
            }),
            AskAnew::Planned(planned) if !matches!(planned.verdict, Verdict::Conflict(_)) => {
                self.planned(dataset, Ok(planned));
            }
            AskAnew::Planned(mut conflict) => self.find_out(dataset, async move {
                dates::here(&sender, stall, std::slice::from_mut(&mut *conflict)).await;
                Found::Dated(conflict)
            }),
        }
    }
}
