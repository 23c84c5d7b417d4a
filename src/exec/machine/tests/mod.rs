//! The machine against a simulated connections: random orders of all that can happen, and single cases.

mod cases;
mod check;
mod contact;
mod next;
mod random;
mod stalls;
mod target;
mod world;

use std::time::Duration;

use super::Limits;
use crate::plan::{Base, BaseKind, Placement, Plan, PlannedDataset, Step, Verdict};
use zfs::name::{DatasetName, Guid};

/// The step from snapshot `number - 1` to `number`; 0 is a full stream.
pub(super) fn step(number: u64) -> Step {
    let name = |number: u64| format!("s{number}").parse().unwrap();
    let base = |number: u64| Base { kind: BaseKind::Snapshot, name: name(number), guid: Guid(number) };
    let base = number.checked_sub(1).map(base);
    Step { base, resume: None, to: name(number), to_guid: Guid(number), snapshots: 1, intermediates: false }
}

pub(super) fn planned(number: usize, placement: Placement, after: Option<usize>, verdict: Verdict) -> PlannedDataset {
    let name = |pool: &str| format!("{pool}/d{number}").parse::<DatasetName>().unwrap();
    PlannedDataset {
        source: name("a"),
        target: name("b"),
        verdict,
        placement,
        kind: zfs::Kind::Filesystem,
        encrypted: None,
        unencrypted: false,
        shares_key_with: None,
        top: false,
        ancestors: Vec::new(),
        top_ancestor: None,
        after,
        above: None,
    }
}

pub(super) fn plan(datasets: Vec<PlannedDataset>) -> Plan {
    Plan { datasets, misfits: Vec::new(), nearest: Some("b".parse().unwrap()), gated: false }
}

pub(super) fn limits(channels: usize, auto: bool) -> Limits {
    let (max_wait, stall) = (Duration::from_secs(60), Some(Duration::from_secs(300)));
    Limits { channels, auto, retries: 5, max_wait, stall, seed: 7 }
}
