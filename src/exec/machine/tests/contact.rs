//! A first contact that turns out to be one only when something is received.

use std::time::Duration;

use super::{limits, plan, planned, step};
use crate::exec::machine::{Action, DatasetOutcome, Input, Machine};
use crate::plan::{Conflict, ConflictKind, FirstContact, Placement, Steps, Verdict};
use zfs::{Failure, Refusal};

/// The top was empty when the plan was made, and is another's when it is received into.
#[test]
fn a_first_contact_that_ends_in_a_conflict_withholds_what_waits_for_it() {
    let contact = FirstContact { target: "b/d0".parse().unwrap(), withheld: 0, instead: "another TARGET".into() };
    let conflict =
        Conflict { first_contact: Some(Box::new(contact)), ..Conflict::bare(ConflictKind::DataWithoutSnapshots) };
    let send = || Verdict::Send(Steps::new(vec![step(0)]).unwrap());
    let into = |number, placement, after| planned(number, placement, after, send());
    let datasets = vec![
        into(0, Placement::IntoEmpty, None),
        into(1, Placement::IntoEmpty, Some(0)),
        into(2, Placement::IntoEmpty, Some(1)),
        into(3, Placement::Create, Some(0)),
    ];
    let (mut machine, _) = Machine::new(&plan(datasets), &limits(1, false));
    machine.handle(Duration::ZERO, Input::ChannelUp { channel: 1, connection: 1 });
    machine.handle(Duration::ZERO, Input::Sent { step: 1, bytes: 5, failure: None });
    let failure = Some(Failure { refusal: Refusal::Exists, words: "it exists".into() });
    machine.handle(Duration::ZERO, Input::Received { step: 1, failure });
    let anew = Box::new(planned(0, Placement::Existing, None, Verdict::Conflict(conflict)));
    let actions = machine.handle(Duration::ZERO, Input::Replanned { dataset: 0, planned: Ok(anew) });
    let skipped = actions.iter().filter(|action| {
        matches!(action, Action::DatasetEnded { end: DatasetOutcome::Skipped(why), .. } if why.contains("in its place in 'b/d0'"))
    });
    assert_eq!((skipped.count(), actions.len()), (3, 4), "{actions:?}");
    assert!(machine.is_done());
}
