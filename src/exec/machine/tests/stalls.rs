//! Receives that stand still, with and without signs of life: when each is given up, and what of that the others notice.

use std::time::Duration;

use super::cases::{NOW, existing, received, replanned, sent, started, starts};
use crate::exec::machine::{Action, Input};

fn after(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn drops(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Drop { .. }))
}

#[test]
fn signs_of_life_without_bytes_are_not_believed_for_ever() {
    for settles in [false, true] {
        let (mut machine, _) = started(vec![existing(0)]);
        if settles {
            machine.handle(NOW, sent(1, None));
        }
        let mut given_up = None;
        for second in (0..10_000).step_by(5) {
            machine.handle(after(second), Input::Heartbeat { step: 1 });
            let actions = machine.handle(after(second), Input::Tick);
            if drops(&actions) || actions.contains(&Action::Abort(1)) {
                given_up = Some(second);
                break;
            }
        }
        assert_eq!(given_up, Some(3600), "settles: {settles}");
    }
}

#[test]
fn what_goes_on_after_an_abort_is_dropped_though_it_shows_life() {
    let (mut machine, _) = started(vec![existing(0)]);
    assert_eq!(machine.handle(after(300), Input::Tick), [Action::Abort(1)]);
    let mut dropped = None;
    for second in (300..10_000).step_by(5) {
        machine.handle(after(second), Input::Heartbeat { step: 1 });
        if drops(&machine.handle(after(second), Input::Tick)) {
            dropped = Some(second);
            break;
        }
    }
    assert_eq!(dropped, Some(3900));
}

#[test]
fn a_frozen_receive_takes_no_healthy_one_with_it() {
    let (mut machine, _) = started(vec![existing(0), existing(1), existing(2)]);
    assert_eq!(starts(&machine.handle(NOW, sent(1, None))), [(1, 2)]);
    machine.handle(after(299), Input::Moved { step: 2 });
    let actions = machine.handle(after(300), Input::Tick);
    assert!(!drops(&actions), "{actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::Relist { dataset: 0, .. })), "{actions:?}");
    // The frozen one still has its place: only one more may settle beside it.
    assert_eq!(starts(&machine.handle(after(301), sent(2, None))), []);
    assert_eq!(starts(&machine.handle(after(302), received(2))), [(2, 3)]);
    // When it ends after all, nobody waits for that any more.
    assert_eq!(machine.handle(after(303), received(1)), []);
    machine.handle(after(304), sent(3, None));
    machine.handle(after(305), received(3));
    assert_eq!(starts(&machine.handle(after(306), replanned(0, existing(0)))), [(0, 4)]);
}
