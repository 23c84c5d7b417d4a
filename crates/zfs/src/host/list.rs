//! Lists datasets' snapshots in portions, and tells which datasets are empty.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};

use super::SNAPSHOTS_A_CALL;
use super::empty::look_into;
use super::run::{read, run_naming};
use super::{Sink, Snapshot, Unread};
use crate::name::DatasetName;
use crate::{Facts, Listed, Mark, ParseError, Refusal, Zfs, read_listed};
use crate::{Failure, TargetFacts};

/// Lists the snapshots of `datasets`, which exist; ones that have none come last.
pub(super) fn list(zfs: &Zfs, datasets: &[Facts], sink: &mut Sink<'_>, unread: &mut Unread<'_>) -> Result<(), Failure> {
    if datasets.is_empty() {
        return Ok(());
    }
    let names: Vec<DatasetName> = datasets.iter().map(|facts| facts.name.clone()).collect();
    let places = datasets.iter().map(|facts| (&facts.name, facts)).collect();
    let mut portions = Portions { places, sink, told: HashSet::new(), current: None, pending: Vec::new() };
    let ((), bad) = run_naming(zfs.list_snapshots(&names), |output| portions.read(output))?;
    for (name, words) in &bad {
        unread(name, words);
    }
    let Portions { told, .. } = portions;
    let is_bad = |facts: &Facts| bad.iter().any(|(name, _)| name == facts.name.as_str());
    for facts in datasets.iter().filter(|facts| !told.contains(&facts.name) && !is_bad(facts)) {
        let empty = look_into(zfs, facts);
        sink(&facts.name, target_facts(facts, empty), Vec::new()).map_err(|error| gone(&error))?;
    }
    Ok(())
}

/// Whether a dataset has any snapshot.
pub(super) fn has_snapshots(zfs: &Zfs, dataset: &DatasetName) -> Result<bool, Failure> {
    let mut any = false;
    read(zfs.list_snapshots(std::slice::from_ref(dataset)), |output| {
        read_listed(output, |_| {
            any = true;
            Ok::<_, ParseError>(())
        })
    })?;
    Ok(any)
}

fn target_facts(facts: &Facts, empty: Result<bool, Failure>) -> TargetFacts {
    TargetFacts {
        kind: facts.kind,
        partial: facts.token.is_some(),
        token: facts.token.clone(),
        unborn: facts.unborn,
        empty: empty.as_ref().is_ok_and(|empty| *empty),
        unsure: empty.err().map(|why| why.words),
        written: facts.written,
        encryption: facts.encryption,
    }
}

fn gone(error: &io::Error) -> Failure {
    Failure::new(Refusal::Other, &error.to_string())
}

/// Gathers lines into portions of one dataset each.
struct Portions<'a, 'b> {
    places: HashMap<&'a DatasetName, &'a Facts>,
    sink: &'a mut Sink<'b>,
    told: HashSet<DatasetName>,
    current: Option<DatasetName>,
    pending: Vec<Snapshot>,
}

impl Portions<'_, '_> {
    fn read(&mut self, output: impl BufRead) -> Result<(), ParseError> {
        read_listed(output, |listed| self.add(listed))?;
        self.flush()
    }

    fn add(&mut self, listed: Listed) -> Result<(), ParseError> {
        let Listed { dataset, mark: Mark::Snapshot(snapshot), guid, txg } = listed else { return Ok(()) };
        if self.current.as_ref() != Some(&dataset) || self.pending.len() >= SNAPSHOTS_A_CALL {
            self.flush()?;
            self.current = Some(dataset);
        }
        self.pending.push((snapshot, guid, txg));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParseError> {
        let Some(dataset) = self.current.take() else { return Ok(()) };
        let snapshots = std::mem::take(&mut self.pending);
        // None when it has come into being since.
        if let Some(facts) = self.places.get(&dataset) {
            (self.sink)(&dataset, target_facts(facts, Ok(false)), snapshots)?;
            self.told.insert(dataset);
        }
        Ok(())
    }
}
