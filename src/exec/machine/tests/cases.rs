//! Single decisions, each with what would go wrong otherwise.

use std::time::Duration;

use super::{limits, plan, planned, step};
use crate::exec::machine::{Action, DatasetOutcome, Input, Machine, Resolved};
use crate::plan::{Conflict, ConflictKind, Placement, PlannedDataset, Sharer, StepId, Steps, Verdict};
use crate::remote::client::SendFailure;
use zfs::{Failure, Refusal};

/// For what doesn't depend on time.
pub(super) const NOW: Duration = Duration::ZERO;

fn send(steps: std::ops::Range<u64>) -> Verdict {
    Verdict::Send(Steps::new(steps.map(step).collect()).unwrap())
}

/// What was never found out is no success.
#[test]
fn the_unresolved_is_not_in_sync() {
    let (machine, actions) = started(vec![planned(0, Placement::Existing, None, Verdict::Unresolved)]);
    assert!(machine.is_done());
    let ended = |action: &Action| matches!(action, Action::DatasetEnded { dataset: 0, end: DatasetOutcome::Failed(_) });
    assert!(actions.iter().any(ended), "{actions:?}");
}

pub(super) fn existing(number: usize) -> PlannedDataset {
    planned(number, Placement::Existing, None, send(1..2))
}

fn new(number: usize, after: Option<usize>) -> PlannedDataset {
    planned(number, Placement::Create, after, send(0..2))
}

fn half_made() -> Verdict {
    Verdict::Conflict(Conflict::bare(ConflictKind::Partial))
}

pub(super) fn started(datasets: Vec<PlannedDataset>) -> (Machine, Vec<Action>) {
    let (mut machine, mut actions) = Machine::new(&plan(datasets), &limits(4, true));
    actions.extend(machine.handle(NOW, Input::ChannelUp { channel: 1, connection: 1 }));
    (machine, actions)
}

pub(super) fn sent(step: StepId, failure: Option<&str>) -> Input {
    Input::Sent { step, bytes: 5, failure: failure.map(|words| SendFailure { words: words.to_owned(), killed: false }) }
}

fn refused(step: StepId, refusal: Refusal) -> Input {
    Input::Received { step, failure: Some(Failure { refusal, words: "zfs says no".into() }) }
}

pub(super) fn received(step: StepId) -> Input {
    Input::Received { step, failure: None }
}

fn down(channel: u32) -> Input {
    Input::ChannelDown { channel, why: "cut".into() }
}

pub(super) fn replanned(dataset: usize, planned: PlannedDataset) -> Input {
    Input::Replanned { dataset, planned: Ok(Box::new(planned)) }
}

pub(super) fn starts(actions: &[Action]) -> Vec<(usize, StepId)> {
    let start = |action: &Action| match action {
        Action::Start { dataset, step, .. } => Some((*dataset, *step)),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

fn failed(actions: &[Action]) -> Vec<&str> {
    let words = |action| match action {
        &Action::DatasetEnded { end: DatasetOutcome::Failed(ref words), .. } => Some(words.as_str()),
        _ => None,
    };
    actions.iter().filter_map(words).collect()
}

#[test]
fn a_step_is_done_when_both_ends_have_spoken_in_either_order() {
    for sent_first in [true, false] {
        let (mut machine, _) = started(vec![existing(0)]);
        let (one, two) = if sent_first { (sent(1, None), received(1)) } else { (received(1), sent(1, None)) };
        assert_eq!(machine.handle(NOW, one), []);
        let end = DatasetOutcome::InSync { updated: true };
        let done = [Action::StepDone { step: 1, bytes: 5 }, Action::DatasetEnded { dataset: 0, end }];
        assert_eq!(machine.handle(NOW, two), done);
        assert!(machine.is_done());
    }
}

/// The next step goes out while the last receive settles, but not over a channel with two that settle.
#[test]
fn a_channel_goes_on_while_a_receive_settles() {
    let (mut machine, actions) = started((0..3).map(existing).collect());
    assert_eq!(starts(&actions), [(0, 1)]);
    assert_eq!(starts(&machine.handle(NOW, sent(1, None))), [(1, 2)]);
    assert_eq!(starts(&machine.handle(NOW, sent(2, None))), []);
    assert_eq!(starts(&machine.handle(NOW, received(1))), [(2, 3)]);
}

#[test]
fn children_wait_for_the_first_step_of_a_new_parent() {
    let (mut machine, actions) = started(vec![new(0, None), new(1, Some(0))]);
    assert_eq!(starts(&actions), [(0, 1)]);
    assert_eq!(starts(&machine.handle(NOW, sent(1, None))), []);
    assert_eq!(starts(&machine.handle(NOW, received(1))), [(0, 2)]);
    assert_eq!(starts(&machine.handle(NOW, sent(2, None))), [(1, 3)]);
}

#[test]
fn nothing_is_tried_below_what_is_half_made() {
    let parent = planned(0, Placement::Existing, None, half_made());
    let (mut machine, actions) = started(vec![parent, new(1, Some(0)), new(2, Some(1)), existing(3)]);
    assert_eq!(starts(&actions), [(3, 1)]);
    // What lies below is told of the one that failed, however far above it is.
    let failed =
        format!("{} above it could not be replicated", planned(0, Placement::Existing, None, half_made()).source);
    for dataset in [1, 2] {
        let end = DatasetOutcome::Skipped(failed.clone());
        assert!(actions.contains(&Action::DatasetEnded { dataset, end }), "{actions:?}");
    }
    assert_eq!(machine.handle(NOW, Input::Stop), [Action::Abort(1)]);
}

/// The full stream was cut, but had been received: children needn't wait for the rest of their parent.
#[test]
fn children_start_as_soon_as_a_listing_finds_their_parent() {
    let (mut machine, _) = started(vec![new(0, None), new(1, Some(0))]);
    machine.handle(NOW, Input::ChannelUp { channel: 2, connection: 1 });
    machine.handle(NOW, down(1));
    let actions = machine.handle(NOW, replanned(0, existing(0)));
    assert_eq!(starts(&actions).len(), 1);
    assert_eq!(starts(&machine.handle(NOW, Input::ChannelUp { channel: 3, connection: 1 })).len(), 1);
}

#[test]
fn what_was_given_up_is_not_revived_by_a_late_listing() {
    let (mut machine, _) = started(vec![existing(0), existing(1)]);
    machine.handle(NOW, refused(1, Refusal::Modified));
    assert_eq!(machine.handle(NOW, sent(1, Some("stopped"))).len(), 3);
    machine.handle(NOW, down(1));
    let mut ended = 0;
    for connection in 2..8 {
        let actions = machine.handle(NOW, refused_connection(connection));
        ended += actions.iter().filter(|action| matches!(action, Action::DatasetEnded { .. })).count();
    }
    assert!(machine.is_done());
    assert_eq!(ended, 2);
    machine.handle(NOW, Input::ChannelUp { channel: 9, connection: 9 });
    assert_eq!(machine.handle(NOW, replanned(0, existing(0))), []);
}

#[test]
fn a_stopped_run_connects_no_more() {
    let datasets = (0..9).map(existing).collect();
    let (mut machine, _) = started(datasets);
    machine.handle(NOW, Input::ChannelUp { channel: 2, connection: 1 });
    let stopped = machine.handle(NOW, Input::Stop);
    assert!(stopped.contains(&Action::Abort(1)) && stopped.contains(&Action::Abort(2)));
    assert_eq!(machine.handle(NOW, Input::Estimated { step: 1, total: 1 << 40 }), []);
}

#[test]
fn speed_is_not_tried_for_twice() {
    let (mut machine, _) = started((0..9).map(existing).collect());
    machine.handle(NOW, Input::ChannelUp { channel: 2, connection: 1 });
    let estimated = || Input::Estimated { step: 1, total: 1 << 40 };
    assert_eq!(machine.handle(NOW, estimated()), [Action::Connect { wait: NOW }]);
    assert_eq!(machine.handle(NOW, refused_connection(2)), []);
    assert_eq!(machine.handle(NOW, estimated()), []);
}

/// What runs for days may lose its connection more often than what achieves nothing.
#[test]
fn progress_renews_the_patience_with_lost_connections() {
    let (mut machine, _) = started((0..40).map(existing).collect());
    let mut channel = 1;
    let mut step = 1;
    for _ in 0..12 {
        machine.handle(NOW, sent(step, None));
        machine.handle(NOW, received(step));
        assert_eq!(connects(&machine.handle(NOW, down(channel))).len(), 1);
        channel += 1;
        let actions = machine.handle(NOW, Input::ChannelUp { channel, connection: channel });
        step = starts(&actions)[0].1;
    }
    for _ in 2..=5 {
        assert_eq!(connects(&machine.handle(NOW, down(channel))).len(), 1);
        channel += 1;
        machine.handle(NOW, Input::ChannelUp { channel, connection: channel });
    }
    machine.handle(NOW, down(channel));
    assert!(machine.is_done());
}

fn refused_connection(connection: u32) -> Input {
    Input::ConnectFailed { connection, why: "refused".into(), fatal: false }
}

fn connects(actions: &[Action]) -> Vec<Duration> {
    let wait = |action: &Action| match action {
        Action::Connect { wait } => Some(*wait),
        _ => None,
    };
    actions.iter().filter_map(wait).collect()
}

/// All channels of a connection end one after another; that is one loss, and the first pause is short.
#[test]
fn a_connection_with_many_channels_is_lost_but_once() {
    let (mut machine, _) = Machine::new(&plan((0..9).map(existing).collect()), &limits(8, true));
    for channel in 1..=8 {
        machine.handle(NOW, Input::ChannelUp { channel, connection: 1 });
    }
    let all: Vec<Action> = (1..=8).flat_map(|channel| machine.handle(NOW, down(channel))).collect();
    assert_eq!(failed(&all), [""; 0]);
    let waits = connects(&all);
    assert!(waits.len() == 1 && waits[0] <= Duration::from_secs(2), "{waits:?}");
    assert!(!all.iter().any(|action| matches!(action, Action::Reopen { .. })));
}

/// A channel alone is lost: another takes its place over the same connection, after a pause.
#[test]
fn a_lost_channel_is_replaced() {
    let (mut machine, _) = started((0..9).map(existing).collect());
    machine.handle(NOW, Input::ChannelUp { channel: 2, connection: 1 });
    let reopens =
        |actions: &[Action]| actions.iter().filter(|action| matches!(action, Action::Reopen { connection: 1 })).count();
    assert_eq!(reopens(&machine.handle(NOW, down(2))), 0);
    assert_eq!(reopens(&machine.handle(Duration::from_secs(1), Input::Tick)), 0);
    assert_eq!(reopens(&machine.handle(Duration::from_secs(3), Input::Tick)), 1);
    assert_eq!(reopens(&machine.handle(Duration::from_secs(9), Input::Tick)), 0);
}

/// What remains of a connection that is replaced already says nothing about its successor.
#[test]
fn a_lost_connection_cannot_fail_again() {
    let (mut machine, _) = started((0..9).map(existing).collect());
    assert_eq!(connects(&machine.handle(NOW, down(1))).len(), 1);
    for _ in 0..9 {
        assert_eq!(machine.handle(NOW, refused_connection(1)), []);
    }
    assert_eq!(connects(&machine.handle(NOW, refused_connection(2))).len(), 1);
}

/// One stream that goes on for days is cut more often than there are retries, and gets further each time.
#[test]
fn a_resumed_stream_that_gets_further_is_progress() {
    let (mut machine, _) = started(vec![existing(0)]);
    for channel in 1..=20 {
        assert_eq!(connects(&machine.handle(NOW, down(channel))).len(), 1);
        let mut steps = vec![step(1)];
        steps[0].resume = Some(zfs::name::ResumeToken(channel.to_string()));
        machine.handle(
            NOW,
            replanned(0, planned(0, Placement::Existing, None, Verdict::Send(Steps::new(steps).unwrap()))),
        );
        let up = machine.handle(NOW, Input::ChannelUp { channel: channel + 1, connection: channel + 1 });
        assert_eq!(starts(&up).len(), 1);
    }
}

/// A host that names another place each time, and never gets to the end.
#[test]
fn a_stream_that_only_seems_to_get_further_ends() {
    let (mut machine, _) = started(vec![existing(0)]);
    for cut in 0..2 * u64::from(crate::exec::machine::MAX_RESUMES) {
        let mut steps = vec![step(1)];
        steps[0].resume = Some(zfs::name::ResumeToken(cut.to_string()));
        machine.handle(
            NOW,
            replanned(0, planned(0, Placement::Existing, None, Verdict::Send(Steps::new(steps).unwrap()))),
        );
        let id = cut + 1;
        let broken = Failure { refusal: Refusal::Stream, words: "cut".into() };
        machine.handle(NOW, Input::Received { step: id, failure: Some(broken) });
        machine.handle(NOW, sent(id, None));
        if machine.is_done() {
            assert!(cut >= u64::from(crate::exec::machine::MAX_RESUMES), "{cut}");
            return;
        }
    }
    panic!("it goes on for ever");
}

#[test]
fn what_is_said_twice_counts_once() {
    let (mut machine, _) = started((0..3).map(existing).collect());
    assert_eq!(starts(&machine.handle(NOW, sent(1, None))), [(1, 2)]);
    assert_eq!(machine.handle(NOW, sent(1, None)), []);
    machine.handle(NOW, received(1));
    assert_eq!(starts(&machine.handle(NOW, sent(1, None))), []);
    assert_eq!(starts(&machine.handle(NOW, sent(2, None))), [(2, 3)]);
}

fn gated(datasets: Vec<PlannedDataset>) -> (Machine, Vec<Action>) {
    let mut plan = plan(datasets);
    plan.gated = true;
    for index in 1..plan.datasets.len() {
        plan.datasets[index].above = Some(index - 1);
    }
    let (mut machine, mut actions) = Machine::new(&plan, &limits(4, true));
    actions.extend(machine.handle(NOW, Input::ChannelUp { channel: 1, connection: 1 }));
    (machine, actions)
}

/// Between a dataset and the one that it waits for there may be one without snapshots.
#[test]
fn a_gated_dataset_is_not_tried_below_what_could_not_be_created() {
    let between = planned(1, Placement::Existing, None, Verdict::NoSnapshots);
    let (mut machine, _) = gated(vec![new(0, None), between, new(2, Some(0))]);
    machine.handle(NOW, sent(1, None));
    let actions = machine.handle(NOW, refused(1, Refusal::NoSpace));
    assert_eq!(starts(&actions), []);
    assert!(machine.is_done());
    let told = |action: &Action| matches!(action, Action::DatasetEnded { end: DatasetOutcome::Failed(why), .. } if why.contains("may be kept for resuming, and takes space: zfs receive -A b/d0 on"));
    assert!(actions.iter().any(told), "{actions:?}");
    let nothing_to_send = Action::DatasetEnded { dataset: 1, end: DatasetOutcome::NoSnapshots };
    assert!(actions.contains(&nothing_to_send), "{actions:?}");
}

/// Nobody knows how far a resolution got that failed: what lies below may be elsewhere.
#[test]
fn below_a_cure_that_failed_nothing_is_believed() {
    let how = super::target::Clash::Solvable(super::target::How::SetAside);
    let parent = planned(0, Placement::Existing, None, how.verdict());
    let child = planned(1, Placement::Existing, None, Verdict::InSync);
    let (mut machine, actions) = gated(vec![parent, child]);
    assert_eq!(actions, [Action::Resolve { dataset: 0 }]);
    let resolved = Resolved::Refused("it got stuck".into());
    let actions = machine.handle(NOW, Input::Resolved { dataset: 0, resolved });
    assert!(actions.iter().any(|action| matches!(action, Action::Relist { dataset: 1, .. })), "{actions:?}");
}

/// What isn't begun moves nothing: what lies below is done as it was planned.
#[test]
fn below_a_cure_that_was_not_begun_the_plan_holds() {
    let how = || super::target::Clash::Solvable(super::target::How::SetAside).verdict();
    let parent = planned(0, Placement::Existing, None, how());
    let child = planned(1, Placement::Existing, None, how());
    let (mut machine, actions) = gated(vec![parent, child]);
    assert_eq!(actions, [Action::Resolve { dataset: 0 }]);
    let resolved = Resolved::NotBegun("the key is not loaded".into());
    let actions = machine.handle(NOW, Input::Resolved { dataset: 0, resolved });
    let end = DatasetOutcome::Conflict("the key is not loaded".into());
    assert_eq!(actions, [Action::DatasetEnded { dataset: 0, end }, Action::Resolve { dataset: 1 }]);
}

/// The same where it may be begun later.
#[test]
fn below_a_cure_that_is_not_begun_yet_the_plan_holds() {
    let how = || super::target::Clash::Solvable(super::target::How::SetAside).verdict();
    let parent = planned(0, Placement::Existing, None, how());
    let child = planned(1, Placement::Existing, None, how());
    let (mut machine, actions) = gated(vec![parent, child]);
    assert_eq!(actions, [Action::Resolve { dataset: 0 }]);
    let resolved = Resolved::NotBegunYet("no session".into());
    let actions = machine.handle(NOW, Input::Resolved { dataset: 0, resolved });
    assert!(matches!(actions[..], [Action::Relist { dataset: 0, .. }]), "{actions:?}");
    let actions = machine.handle(NOW, replanned(0, planned(0, Placement::Existing, None, Verdict::InSync)));
    assert!(actions.contains(&Action::Resolve { dataset: 1 }), "{actions:?}");
}

/// The receiver may be heard first, but a stream that broke off here is told, and advised on, in the words of who broke it off.
#[test]
fn the_words_of_a_broken_send_are_not_lost_in_their_echo() {
    let words = "cannot open 'apool/x@s1': permission denied";
    let echo = "cannot receive: failed to read from stream";
    for echo_first in [true, false] {
        let (mut machine, _) = started(vec![existing(0)]);
        let failure = Failure { refusal: Refusal::Stream, words: echo.into() };
        let (one, two) = (sent(1, Some(words)), Input::Received { step: 1, failure: Some(failure) });
        let (one, two) = if echo_first { (two, one) } else { (one, two) };
        machine.handle(NOW, one);
        let actions = machine.handle(NOW, two);
        assert!(failed(&actions)[0].starts_with(words), "{actions:?}");
        assert!(
            failed(&actions)[0].contains("root on the source's host can delegate the permission: zfs allow"),
            "{actions:?}"
        );
        assert!(machine.is_done());
    }
    // A command to copy has nothing behind it.
    let (mut machine, _) = started(vec![existing(0)]);
    let grant = "root on the source's host can delegate the permission: zfs allow repl send 'apool/x'";
    let failure = Failure { refusal: Refusal::Stream, words: echo.into() };
    machine.handle(NOW, Input::Received { step: 1, failure: Some(failure) });
    let actions = machine.handle(NOW, sent(1, Some(&format!("{words}\n{grant}"))));
    assert_eq!(failed(&actions)[0], format!("{words} (the receiver: {echo})\n{grant}"));
}

/// Whoever prunes meanwhile costs the run a new plan, and that again and again as long as something arrives in between.
#[test]
fn what_is_gone_at_the_source_is_planned_anew() {
    let gone = "cannot open 'apool/x@s1': dataset does not exist";
    let fails = |machine: &mut Machine, step| {
        machine.handle(NOW, sent(step, Some(gone)));
        let words = "the stream was aborted".into();
        machine.handle(NOW, Input::Received { step, failure: Some(Failure { refusal: Refusal::Stream, words }) })
    };
    let both = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Relist { dataset: 0, source: true, attempt: None, .. }))
    };
    let two_steps = || planned(0, Placement::Existing, None, send(1..3));
    let (mut machine, _) = started(vec![two_steps()]);
    let mut step = 1;
    for _ in 0..5 {
        let actions = fails(&mut machine, step);
        assert!(both(&actions) && failed(&actions).is_empty(), "{actions:?}");
        step = starts(&machine.handle(NOW, replanned(0, two_steps())))[0].1;
        machine.handle(NOW, sent(step, None));
        step = starts(&machine.handle(NOW, received(step)))[0].1;
    }
    for _ in 0..3 {
        assert!(both(&fails(&mut machine, step)));
        step = starts(&machine.handle(NOW, replanned(0, two_steps())))[0].1;
    }
    let actions = fails(&mut machine, step);
    assert!(failed(&actions)[0].contains("destroyed or renamed on the source's host during the run"), "{actions:?}");
    assert!(machine.is_done());
}

/// What the receiver refuses breaks off the sender's stream: the sender's complaint is only that nobody read it.
#[test]
fn a_refusal_is_not_lost_in_the_broken_send_that_it_causes() {
    for refusal in [Refusal::NoSpace, Refusal::Permission, Refusal::Other] {
        let (mut machine, _) = started(vec![existing(0)]);
        assert_eq!(machine.handle(NOW, refused(1, refusal)), [Action::Abort(1)]);
        let actions = machine.handle(NOW, sent(1, Some("zfs send: dataset does not exist")));
        assert!(failed(&actions)[0].starts_with("zfs says no"), "{actions:?}");
        assert!(!failed(&actions)[0].contains("on the source's host during the run"), "{actions:?}");
    }
}

/// Leave for a new key would part it from those that have the same one.
#[test]
fn a_key_that_others_share_has_its_own_way_out() {
    let shared = Sharer::Dataset("b/d1".parse().unwrap());
    for (shares_key_with, says, hides) in [
        (None, "--allow-rekey", "snapshot -r"),
        (Some(shared), "with 'b/d1', which", "--allow-rekey"),
        (Some(Sharer::Unlisted), "it may share its key", "--allow-rekey"),
    ] {
        let (mut machine, _) = started(vec![PlannedDataset { shares_key_with, ..existing(0) }]);
        machine.handle(NOW, sent(1, None));
        let words = failed(&machine.handle(NOW, refused(1, Refusal::WrappedKey)))[0].replace('\n', " ");
        assert!(words.contains(says) && !words.contains(hides), "{words}");
    }
}

/// A hundred thousand datasets, over channels that come and go.
#[test]
fn many_datasets() {
    let datasets = 100_000;
    let all = (0..datasets).map(|number| match number % 3 {
        0 => new(number, None),
        1 => new(number, Some(number - 1)),
        _ => planned(number, Placement::Existing, None, Verdict::InSync),
    });
    let (mut machine, actions) = Machine::new(&plan(all.collect()), &limits(8, true));
    assert_eq!(actions.len(), datasets / 3);
    let mut todo: std::collections::VecDeque<StepId> = std::collections::VecDeque::new();
    for channel in 1..=8 {
        let actions = machine.handle(NOW, Input::ChannelUp { channel, connection: channel % 2 });
        todo.extend(starts(&actions).iter().map(|(_, step)| *step));
    }
    let mut done = 0;
    while let Some(step) = todo.pop_front() {
        for input in [sent(step, None), received(step)] {
            let actions = machine.handle(NOW, input);
            todo.extend(starts(&actions).iter().map(|(_, step)| *step));
            done += actions.iter().filter(|action| matches!(action, Action::StepDone { .. })).count();
        }
    }
    assert!(machine.is_done());
    assert_eq!(done, 2 * (datasets - datasets / 3));
}
