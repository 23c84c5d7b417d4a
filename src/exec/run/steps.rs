//! Steps: started over a channel, told, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Input, Live, Run};
use crate::exec::recorded;
use crate::plan::{Placement, Step, StepId};
use crate::remote::client::{ChannelId, Stream};
use crate::report::Event;
use zfs::{Brings, Failure, Put, Receive, Refusal};

impl Run<'_> {
    pub(super) fn start_step(
        &mut self,
        channel: ChannelId,
        step: StepId,
        dataset: usize,
        send: &Step,
        into: Placement,
    ) {
        let receive = self.receive(dataset, send, into);
        let planned = &self.ready.plan.datasets[dataset];
        let stream = self.ready.stream(planned, send, self.job);
        self.reporter.event(&Event::StepStarted {
            step,
            dataset: planned.source.to_string(),
            from: send.base.as_ref().map(crate::plan::Base::marked),
            resumed: send.resume.is_some(),
            to: send.to.to_string(),
            snapshots: send.snapshots,
        });
        if send.resume.is_none() {
            self.cut.remove(&dataset);
        }
        let record = recorded::receive(self.job, &receive);
        let (progress, abort, held) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        if let Some(bookmarks) = &mut self.bookmarks {
            bookmarks.step(dataset, planned, &self.ready.negotiation, send);
        }
        let live = Live {
            dataset,
            channel,
            to_guid: send.to_guid,
            to: send.to.to_string(),
            snapshots: send.snapshots,
            progress: progress.clone(),
            abort: abort.clone(),
            held: held.clone(),
            reported: 0,
            sent: false,
            started: Instant::now(),
            record,
        };
        self.steps.insert(step, live);
        let Some(lane) = self.connections.lane(channel) else {
            // Never silently: a step that nobody carries would be waited for without end.
            let why = self.pending.why_gone(channel);
            return self.input(Input::ChannelDown { channel, why });
        };
        let send = self.sender.sending(stream, lane.source.as_ref());
        let pace = self.job.pace.clone();
        lane.target.stream(Stream { id: step, receive, send, progress, abort, pace, held });
    }

    /// What the helper is to do with a step.
    fn receive(&self, dataset: usize, send: &Step, into: Placement) -> Receive {
        let planned = &self.ready.plan.datasets[dataset];
        let new = into != Placement::Existing;
        let mountable = self.job.restore.is_some();
        Receive {
            dataset: planned.target.clone(),
            ancestors: if new { planned.ancestors.clone() } else { Vec::new() },
            top_ancestor: planned.top_ancestor.clone().filter(|_| new && !mountable),
            kind: planned.kind,
            brings: if send.intermediates { Brings::Snapshots } else { Brings::Snapshot(send.to.clone()) },
            create: into == Placement::Create,
            top: new && planned.top && !mountable,
            into_empty: into == Placement::IntoEmpty,
            overwrite: into == Placement::Overwrite,
            volmode: self.job.volmode,
            unencrypted: into == Placement::Create && planned.unencrypted,
            resumable: self.job.resume,
            base: send.base.as_ref().map(|base| base.name.clone()),
            mountable,
            // What another host sends must be what it has listed.
            to_guid: self.sender.remote().map(|_| send.to_guid),
            from_guid: self.sender.remote().and(send.base.as_ref()).map(|base| base.guid),
            keeps_key: planned.shares_key_with.is_some(),
            put: (self.ready.negotiation.source(dataset))
                .filter(|_| !mountable)
                .and_then(|source| Put::new(self.job.missing.by, &source.path, &source.snapshots)),
        }
    }

    pub(super) fn step_done(&mut self, step: StepId, bytes: u64) {
        let Some(live) = self.steps.remove(&step) else { return };
        if let Some(open) = live.record {
            let rule = open.rule().to_owned();
            recorded::tell(self.job, &rule, open.done(), self.reporter);
        }
        self.summary.snapshots += live.snapshots;
        self.summary.bytes += bytes + self.cut.remove(&live.dataset).unwrap_or_default();
        if let Some(bookmarks) = &mut self.bookmarks {
            bookmarks.received(live.dataset, live.to_guid);
        }
        self.reporter.event(&Event::StepDone {
            step,
            dataset: self.ready.plan.datasets[live.dataset].source.to_string(),
            to: live.to,
            snapshots: live.snapshots,
            bytes,
            took: live.started.elapsed(),
        });
    }

    pub(super) fn step_failed(&mut self, step: StepId, retry: Option<Duration>, error: String) {
        let Some(live) = self.steps.remove(&step) else { return };
        if let Some(open) = live.record {
            open.unclear(&error);
        }
        // Of one that was refused nothing is kept.
        if retry.is_some_and(|wait| !wait.is_zero()) {
            *self.cut.entry(live.dataset).or_default() += live.progress.load(Ordering::Relaxed);
        }
        // Where its channel was given up nobody else tells its stream to stop.
        live.abort.store(true, Ordering::Relaxed);
        let dataset = self.ready.plan.datasets[live.dataset].source.to_string();
        let (retry, wait) = (retry.is_some(), retry.unwrap_or_default());
        self.reporter.event(&Event::StepFailed { step, dataset, retry, wait, error });
    }

    /// A stream that the run has cut, as it is to end: the target may have kept what has come.
    pub(super) fn kept(&mut self, step: StepId, failure: &Failure) {
        let Some(live) = self.steps.get(&step).filter(|_| self.stop.is_some() && is_kept(failure)) else { return };
        let before = self.cut.get(&live.dataset).copied().unwrap_or_default();
        self.summary.kept += before + live.progress.load(Ordering::Relaxed);
    }

    /// The data arrived, and a property could not be set: a delegated user may receive without the right to keep the
    /// result unmounted.
    pub(super) fn received_but(&mut self, step: StepId, words: &str) {
        let Some(live) = self.steps.get(&step) else { return };
        let dataset = Some(self.ready.plan.datasets[live.dataset].source.to_string());
        let text = format!("received, but zfs on the target says: {words}{}", consequences(words));
        self.reporter.event(&Event::Notice { dataset, text });
    }
}

/// Whether `zfs receive` says that what has come can be gone on with.
fn is_kept(failure: &Failure) -> bool {
    failure.refusal == Refusal::Stream && failure.words.contains("Partially received snapshot is saved")
}

/// What it means that a property could not be set, a line for each.
fn consequences(words: &str) -> String {
    let known = [
        ("canmount", "it may be mounted at the target's next boot"),
        ("readonly", "it is writable if mounted, and writing to it leads to a conflict"),
        ("volmode", "the volume has device nodes on the target"),
    ];
    let unset = |name: &str| words.contains(&format!("cannot receive {name} property"));
    let all = known.iter().filter(|(name, _)| unset(name)).map(|(name, what)| format!("\nwithout {name}, {what}"));
    all.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_target_keeps_it_says() {
        let said = "cannot receive new filesystem stream: checksum mismatch or incomplete stream.\nPartially received snapshot is saved.\nA resuming";
        assert!(is_kept(&Failure::new(Refusal::from_words(said), said)));
        let said = "cannot receive new filesystem stream: checksum mismatch or incomplete stream.";
        assert!(!is_kept(&Failure::new(Refusal::from_words(said), said)));
    }

    #[test]
    fn a_property_that_is_not_set_has_consequences() {
        let denied = |name: &str| format!("cannot receive {name} property on b/x: permission denied\n");
        let words = [denied("readonly"), denied("canmount"), denied("compression")].concat();
        assert_eq!(
            consequences(&words),
            "\nwithout canmount, it may be mounted at the target's next boot\
             \nwithout readonly, it is writable if mounted, and writing to it leads to a conflict"
        );
        assert_eq!(consequences("it was odd"), "");
    }
}
