//! Single decisions, each with what would go wrong otherwise.

use super::{plan, planned, step};
use crate::exec::machine::{Action, End, Input, Machine};
use crate::plan::{Conflict, ConflictKind, Placement, PlannedDataset, Verdict};
use crate::remote::wire::Failure;
use crate::report::StepId;
use crate::zfs::Refusal;

fn send(steps: std::ops::Range<u64>) -> Verdict {
    Verdict::Send(steps.map(step).collect())
}

fn existing(number: usize) -> PlannedDataset {
    planned(number, Placement::Existing, None, send(1..2))
}

fn new(number: usize, after: Option<usize>) -> PlannedDataset {
    planned(number, Placement::Create, after, send(0..2))
}

fn half_made() -> Verdict {
    let (common, nothing) = (None, Vec::new());
    Verdict::Conflict(Conflict { kind: ConflictKind::Partial, common, only_here: nothing.clone(), only_there: nothing })
}

fn started(datasets: Vec<PlannedDataset>) -> (Machine, Vec<Action>) {
    let (mut machine, mut actions) = Machine::new(&plan(datasets), 4, true);
    actions.extend(machine.handle(Input::ChannelUp { channel: 1, connection: 1 }));
    (machine, actions)
}

fn sent(step: StepId, failure: Option<&str>) -> Input {
    Input::Sent { step, bytes: 5, failure: failure.map(str::to_owned) }
}

fn refused(step: StepId, refusal: Refusal) -> Input {
    Input::Received { step, failure: Some(Failure { refusal, words: "zfs says no".into() }) }
}

fn received(step: StepId) -> Input {
    Input::Received { step, failure: None }
}

fn down(channel: u32) -> Input {
    Input::ChannelDown { channel, why: "cut".into() }
}

fn replanned(dataset: usize, planned: PlannedDataset) -> Input {
    Input::Replanned { dataset, planned: Ok(Box::new(planned)) }
}

fn starts(actions: &[Action]) -> Vec<(usize, StepId)> {
    let start = |action: &Action| match action {
        Action::Start { dataset, step, .. } => Some((*dataset, *step)),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

fn failed(actions: &[Action]) -> Vec<&str> {
    let words = |action| match action {
        &Action::DatasetEnded { end: End::Failed(ref words), .. } => Some(words.as_str()),
        _ => None,
    };
    actions.iter().filter_map(words).collect()
}

#[test]
fn a_step_is_done_when_both_ends_have_spoken_in_either_order() {
    for sent_first in [true, false] {
        let (mut machine, _) = started(vec![existing(0)]);
        let (one, two) = if sent_first { (sent(1, None), received(1)) } else { (received(1), sent(1, None)) };
        assert_eq!(machine.handle(one), []);
        let end = End::InSync { updated: true };
        let done = [Action::StepDone { step: 1, bytes: 5 }, Action::DatasetEnded { dataset: 0, end }];
        assert_eq!(machine.handle(two), done);
        assert!(machine.is_done());
    }
}

/// The next step goes out while the last receive settles, but not over a channel with two that settle.
#[test]
fn a_channel_goes_on_while_a_receive_settles() {
    let (mut machine, actions) = started((0..3).map(existing).collect());
    assert_eq!(starts(&actions), [(0, 1)]);
    assert_eq!(starts(&machine.handle(sent(1, None))), [(1, 2)]);
    assert_eq!(starts(&machine.handle(sent(2, None))), []);
    assert_eq!(starts(&machine.handle(received(1))), [(2, 3)]);
}

#[test]
fn children_wait_for_the_first_step_of_a_new_parent() {
    let (mut machine, actions) = started(vec![new(0, None), new(1, Some(0))]);
    assert_eq!(starts(&actions), [(0, 1)]);
    assert_eq!(starts(&machine.handle(sent(1, None))), []);
    assert_eq!(starts(&machine.handle(received(1))), [(0, 2)]);
    assert_eq!(starts(&machine.handle(sent(2, None))), [(1, 3)]);
}

#[test]
fn nothing_is_tried_below_what_is_half_made() {
    let parent = planned(0, Placement::Existing, None, half_made());
    let (mut machine, actions) = started(vec![parent, new(1, Some(0)), new(2, Some(1)), existing(3)]);
    assert_eq!(starts(&actions), [(3, 1)]);
    let skipped = |action: &&Action| matches!(action, Action::DatasetEnded { end: End::Skipped(_), .. });
    assert_eq!(actions.iter().filter(skipped).count(), 2);
    assert_eq!(machine.handle(Input::Stop), [Action::Abort(1)]);
}

/// The full stream was cut, but had been received: children needn't wait for the rest of their parent.
#[test]
fn children_start_as_soon_as_a_look_finds_their_parent() {
    let (mut machine, _) = started(vec![new(0, None), new(1, Some(0))]);
    machine.handle(Input::ChannelUp { channel: 2, connection: 1 });
    machine.handle(down(1));
    let actions = machine.handle(replanned(0, existing(0)));
    assert_eq!(starts(&actions).len(), 1);
    assert_eq!(starts(&machine.handle(Input::ChannelUp { channel: 3, connection: 1 })).len(), 1);
}

#[test]
fn what_was_given_up_is_not_revived_by_a_late_look() {
    let (mut machine, _) = started(vec![existing(0), existing(1)]);
    machine.handle(refused(1, Refusal::Modified));
    assert_eq!(machine.handle(sent(1, Some("stopped"))).len(), 3);
    machine.handle(down(1));
    let mut ended = 0;
    for _ in 0..6 {
        let actions = machine.handle(Input::ConnectFailed { why: "no route".into() });
        ended += actions.iter().filter(|action| matches!(action, Action::DatasetEnded { .. })).count();
    }
    assert!(machine.is_done());
    assert_eq!(ended, 2);
    machine.handle(Input::ChannelUp { channel: 9, connection: 9 });
    assert_eq!(machine.handle(replanned(0, existing(0))), []);
}

#[test]
fn a_stopped_run_connects_no_more() {
    let datasets = (0..9).map(existing).collect();
    let (mut machine, _) = started(datasets);
    machine.handle(Input::ChannelUp { channel: 2, connection: 1 });
    let stopped = machine.handle(Input::Stop);
    assert!(stopped.contains(&Action::Abort(1)) && stopped.contains(&Action::Abort(2)));
    assert_eq!(machine.handle(Input::Estimated { step: 1, total: 1 << 40 }), []);
}

#[test]
fn speed_is_not_tried_for_twice() {
    let (mut machine, _) = started((0..9).map(existing).collect());
    machine.handle(Input::ChannelUp { channel: 2, connection: 1 });
    let estimated = || Input::Estimated { step: 1, total: 1 << 40 };
    assert_eq!(machine.handle(estimated()), [Action::Connect { losses: 0 }]);
    assert_eq!(machine.handle(Input::ConnectFailed { why: "refused".into() }), []);
    assert_eq!(machine.handle(estimated()), []);
}

/// What runs for days may lose its connection more often than what achieves nothing.
#[test]
fn progress_renews_the_patience_with_lost_connections() {
    let (mut machine, _) = started((0..40).map(existing).collect());
    let mut channel = 1;
    let mut step = 1;
    for _ in 0..12 {
        machine.handle(sent(step, None));
        machine.handle(received(step));
        let actions = machine.handle(down(channel));
        assert!(actions.contains(&Action::Connect { losses: 1 }), "{actions:?}");
        channel += 1;
        let actions = machine.handle(Input::ChannelUp { channel, connection: channel });
        step = starts(&actions)[0].1;
    }
    for losses in 2..=5 {
        let actions = machine.handle(down(channel));
        assert!(actions.contains(&Action::Connect { losses }), "{actions:?}");
        channel += 1;
        machine.handle(Input::ChannelUp { channel, connection: channel });
    }
    machine.handle(down(channel));
    assert!(machine.is_done());
}

#[test]
fn the_words_of_a_broken_send_are_not_lost_in_their_echo() {
    let words = "zfs send: dataset is gone";
    for echo_first in [true, false] {
        let (mut machine, _) = started(vec![existing(0)]);
        let (one, two) = (sent(1, Some(words)), refused(1, Refusal::Stream));
        let (one, two) = if echo_first { (two, one) } else { (one, two) };
        machine.handle(one);
        let actions = machine.handle(two);
        assert!(failed(&actions)[0].contains(words), "{actions:?}");
        assert!(machine.is_done());
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
    let (mut machine, actions) = Machine::new(&plan(all.collect()), 8, true);
    assert_eq!(actions.len(), datasets / 3);
    let mut todo: std::collections::VecDeque<StepId> = std::collections::VecDeque::new();
    for channel in 1..=8 {
        let actions = machine.handle(Input::ChannelUp { channel, connection: channel % 2 });
        todo.extend(starts(&actions).iter().map(|(_, step)| *step));
    }
    let mut done = 0;
    while let Some(step) = todo.pop_front() {
        for input in [sent(step, None), received(step)] {
            let actions = machine.handle(input);
            todo.extend(starts(&actions).iter().map(|(_, step)| *step));
            done += actions.iter().filter(|action| matches!(action, Action::StepDone { .. })).count();
        }
    }
    assert!(machine.is_done());
    assert_eq!(done, 2 * (datasets - datasets / 3));
}
