//! A whole push of the model: what is decided in it is decided by the machine that decides in a run.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::answers::all_hold;
use super::{Job, ModelHost, PushOutcome, Report, notation};
use crate::exec::machine::{Action, DatasetOutcome, Input, Limits, Machine, Resolved};
use crate::plan::{AskAnew, Attempt, Negotiation, Placement, Plan, PlannedDataset, Replan, Step, Verdict};
use crate::remote::client::SendFailure;
use zfs::{Failure, Refusal};

/// One channel, and no second try of what fails for no reason that a plan could mend: in the model nothing passes by itself.
const LIMITS: Limits = Limits { channels: 1, auto: false, retries: 0, max_wait: Duration::ZERO, stall: None, seed: 0 };

/// A push that is under way.
struct Push<'a> {
    job: &'a Job<'a>,
    source: &'a ModelHost,
    target: &'a mut ModelHost,
    between: &'a mut dyn FnMut(&mut ModelHost),
    negotiation: Negotiation,
    plan: Plan,
    /// Why the last receive of a dataset was refused, or its conflict not resolved; `None`: its `zfs send` failed.
    failed: BTreeMap<usize, Option<Refusal>>,
    report: Report,
}

impl Job<'_> {
    /// A whole push.
    pub fn push(&self, source: &ModelHost, target: &mut ModelHost, between: &mut dyn FnMut(&mut ModelHost)) -> Report {
        let mut report = Report::default();
        let (negotiation, plan) = self.negotiate(source, target, between, &mut report);
        for planned in negotiation.in_turn(&plan, &|_| false).datasets {
            let steps = planned.verdict.steps().iter().map(|step| (planned.target.clone(), notation(step)));
            report.foretold.extend(steps);
        }
        let (mut machine, actions) = Machine::new(&plan, &LIMITS);
        let mut push = Push { job: self, source, target, between, negotiation, plan, failed: BTreeMap::new(), report };
        let mut todo = VecDeque::from(actions);
        let mut inputs = VecDeque::from([Input::ChannelUp { channel: 1, connection: 1 }]);
        loop {
            if let Some(action) = todo.pop_front() {
                inputs.extend(push.act(action));
            } else if let Some(input) = inputs.pop_front() {
                todo.extend(machine.handle(Duration::ZERO, input));
            } else {
                break;
            }
        }
        assert!(machine.is_done(), "nothing more happens: {machine:?}");
        push.report
    }

    /// Relists a dataset and plans it anew, as `exec::run` does it.
    pub fn relist(
        source: &ModelHost,
        target: &ModelHost,
        negotiation: &mut Negotiation,
        planned: &PlannedDataset,
        (index, attempt): (usize, Option<Attempt>),
    ) -> PlannedDataset {
        negotiation.relist(index, attempt);
        negotiation.relisted(index, target.list_target(&planned.target));
        let mut replan = Replan::new(index);
        loop {
            match replan.next(negotiation).unwrap() {
                AskAnew::Facts(dataset) => negotiation.facts(&source.facts(&[dataset])),
                AskAnew::Written(snapshots) => negotiation.written(&source.written(&snapshots)),
                AskAnew::Proofs(doubt) => _ = negotiation.proofs(all_hold(vec![doubt])),
                AskAnew::Planned(planned) => return *planned,
            }
        }
    }
}

impl Push<'_> {
    /// Does it, and tells what came of it.
    fn act(&mut self, action: Action) -> Vec<Input> {
        match action {
            Action::Start { step, dataset, send, into, .. } => {
                let (failure, refusal) = self.step(dataset, &send, into);
                let received = Input::Received { step, failure: refusal.map(failure_of) };
                vec![Input::Sent { step, bytes: 1, failure }, received]
            }
            Action::Relist { dataset, attempt, .. } => {
                if attempt.is_some() {
                    (self.between)(self.target);
                }
                let planned = &self.plan.datasets[dataset];
                let anew = Job::relist(self.source, self.target, &mut self.negotiation, planned, (dataset, attempt));
                self.plan.datasets[dataset] = anew.clone();
                vec![Input::Replanned { dataset, planned: Ok(Box::new(anew)) }]
            }
            Action::Resolve { dataset } => vec![self.resolve(dataset)],
            Action::DatasetEnded { dataset, end } => {
                let outcome = self.outcome(dataset, &end);
                self.report.ends.insert(self.plan.datasets[dataset].target.clone(), outcome);
                Vec::new()
            }
            Action::StepDone { .. } | Action::StepFailed { .. } => Vec::new(),
            Action::Abort(_) | Action::Connect { .. } | Action::Reopen { .. } | Action::Drop { .. } => {
                unreachable!("streams are through at once, and no channel is lost: {action:?}")
            }
        }
    }

    fn step(&mut self, dataset: usize, send: &Step, into: Placement) -> (Option<SendFailure>, Option<Refusal>) {
        assert!(!self.job.newest_only || !send.intermediates);
        let planned = &self.plan.datasets[dataset];
        let stream = match self.source.send(&planned.source, send) {
            Ok(stream) => stream,
            Err(words) => {
                self.failed.insert(dataset, None);
                return (Some(SendFailure { words, killed: false }), Some(Refusal::Stream));
            }
        };
        if let Err(refusal) = self.target.receive(planned, into, &stream) {
            self.report.refused += 1;
            self.failed.insert(dataset, Some(refusal));
            return (None, Some(refusal));
        }
        self.report.sent.push((planned.target.clone(), notation(send)));
        (None, None)
    }

    fn resolve(&mut self, dataset: usize) -> Input {
        let Verdict::Resolve(solvable) = &self.plan.datasets[dataset].verdict else { panic!("there is no conflict") };
        let resolved = match self.target.resolve(&solvable.resolution) {
            Ok(()) => {
                self.negotiation.resolved(dataset);
                Resolved::Done
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Exists, "{solvable:?}");
                Resolved::Refused(format!("{refusal:?}"))
            }
        };
        Input::Resolved { dataset, resolved }
    }

    fn outcome(&self, dataset: usize, end: &DatasetOutcome) -> PushOutcome {
        match (end, &self.plan.datasets[dataset].verdict) {
            (DatasetOutcome::InSync { .. }, _) => PushOutcome::InSync,
            (DatasetOutcome::NoSnapshots, _) => PushOutcome::NoSnapshots,
            (DatasetOutcome::Skipped(_), _) => PushOutcome::Skipped,
            (DatasetOutcome::Conflict(_), Verdict::Conflict(conflict)) => PushOutcome::Conflict(conflict.clone()),
            (DatasetOutcome::Conflict(_), Verdict::Resolve(solvable)) => {
                PushOutcome::Conflict(solvable.conflict.clone())
            }
            (DatasetOutcome::Failed(words), _) => match self.failed.get(&dataset) {
                Some(Some(refusal)) => PushOutcome::Failed(*refusal),
                Some(None) => PushOutcome::SendFailed,
                None => unreachable!("all keys are loaded, and all was asked: {words}"),
            },
            (DatasetOutcome::Conflict(_) | DatasetOutcome::Interrupted, verdict) => {
                unreachable!("{end:?} with {verdict:?}")
            }
        }
    }
}

fn failure_of(refusal: Refusal) -> Failure {
    Failure { refusal, words: format!("{refusal:?}") }
}
