//! What a push destroys or moves on its target gets into the record of destructions, and is told as an event when it is done.

use crate::config::PushJob;
use crate::format::duration;
use crate::plan::{Doomed, Negotiation};
use crate::report::{Event, Reporter};
use crate::state::record::{Begun, Deed, Record, Thing};
use zfs::name::DatasetName;
use zfs::{Receive, Rename, Resolution};

/// The rule by which a receive replaces an empty filesystem.
pub const INTO_EMPTY: &str = "zfs receive -F onto an empty filesystem";
/// The rule by which partially received state goes.
pub const CUT: &str = "it can't be resumed";

fn begin(job: &PushJob, rule: &str, things: Vec<Thing>) -> Begun {
    Record::of(job.state_dir.as_deref()).begin(host(job), rule, things)
}

fn host(job: &PushJob) -> Option<String> {
    job.ends.target.host().map(ToString::to_string)
}

/// Tells what is gone.
pub fn tell(job: &PushJob, rule: &str, names: Vec<String>, reporter: &mut dyn Reporter) {
    if !names.is_empty() {
        reporter.event(&Event::Destroyed { host: host(job), names, rule: rule.to_owned() });
    }
}

/// The rule by which something goes that the source has no more.
pub fn missing_rule(job: &PushJob, what: &str) -> String {
    let grace = job.missing.grace;
    let grace = if grace.is_zero() { "0".to_owned() } else { duration(grace) };
    format!("--delete-missing {what}, --grace {grace}")
}

/// The same before it goes, with the option as it was given.
pub fn is_to_go(job: &PushJob) -> String {
    let what = match (job.missing.datasets, job.missing.snapshots) {
        (true, true) => "both",
        (true, false) => "datasets",
        _ => "snapshots",
    };
    format!("no longer exists on the source, and is to be destroyed on the target ({})", missing_rule(job, what))
}

/// A dataset that the source has no more, with its snapshots.
pub fn doomed(job: &PushJob, rule: &str, doomed: &Doomed) -> Begun {
    let snapshots = Thing::snapshots(&doomed.dataset, &doomed.snapshots);
    begin(job, rule, snapshots.chain([Thing::dataset(Deed::Destroy, &doomed.dataset)]).collect())
}

/// Snapshots that the source has no more.
pub fn portions(job: &PushJob, rule: &str, portions: &[super::prune::Portion]) -> Begun {
    begin(job, rule, portions.iter().flat_map(|(dataset, some)| Thing::snapshots(dataset, some)).collect())
}

/// A rename.
pub fn renamed(job: &PushJob, rename: &Rename) -> Begun {
    begin(job, "--follow-renames", vec![Thing::moved(Deed::Rename, &rename.from, rename.to.to_string())])
}

/// The rest of a cut receive.
pub fn partial(job: &PushJob, dataset: &DatasetName) -> Begun {
    begin(job, CUT, vec![Thing::dataset(Deed::DropPartial, dataset)])
}

/// What a resolution is called on the command line.
pub fn resolution_rule(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::Rollback { .. } => "--rollback",
        Resolution::SetAside { .. } => "--set-aside",
        Resolution::Replace { .. } => "--replace",
    }
}

/// What gets a conflict out of the way, and what that takes away.
pub fn resolution(job: &PushJob, negotiation: &Negotiation, place: usize, resolution: &Resolution) -> Begun {
    let lost = negotiation.losses(place, resolution);
    let mut things: Vec<Thing> = Thing::snapshots(resolution.dataset(), &lost).collect();
    things.push(match resolution {
        Resolution::Rollback { dataset, to, .. } => Thing::moved(Deed::Rollback, dataset, dataset.at(to.as_str())),
        Resolution::SetAside { dataset, aside, .. } => Thing::moved(Deed::Rename, dataset, aside.to_string()),
        Resolution::Replace { dataset, .. } => Thing::dataset(Deed::Replace, dataset),
    });
    begin(job, resolution_rule(resolution), things)
}

/// A receive that takes the place of what is there.
pub fn receive(job: &PushJob, receive: &Receive) -> Option<Begun> {
    let rule = match receive {
        Receive { overwrite: true, .. } => "--replace",
        Receive { into_empty: true, .. } => INTO_EMPTY,
        _ => return None,
    };
    Some(begin(job, rule, vec![Thing::dataset(Deed::Replace, &receive.dataset)]))
}
