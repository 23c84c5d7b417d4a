//! Two ZFS sides in memory, for tests: `receive` behaves as real ZFS without `-F` does (tried with OpenZFS 2.3.9), and a
//! push goes as in a run: [`Inquiry`] asks, and the machine of `exec` decides.

mod answers;
mod push;
mod resolutions;

use std::collections::{BTreeMap, HashMap};

use answers::answer;

use super::{
    Ask, BaseKind, Conflict, EncryptionRules, Inquiry, Listing, Negotiation, Placement, Plan, PlannedDataset,
    Resolutions, Step,
};
use zfs::name::{DatasetName, Guid, RelPath, Txg};
use zfs::{Kind, Refusal, Versions};

/// Names asked for one dataset in all rounds together, at most.
pub(crate) const MOST_NAMES: usize = 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snap {
    pub name: String,
    pub guid: u64,
    pub txg: u64,
    /// Which data it holds: equal numbers, equal data; 0 is that of a fresh dataset.
    pub data: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dataset {
    pub kind: Kind,
    pub snapshots: Vec<Snap>,
    pub bookmarks: Vec<Snap>,
    pub data: u64,
    /// A source that is sent raw: then ZFS tolerates no newer snapshot on the target at all.
    pub raw: bool,
    /// A receive into it was cut.
    pub partial: bool,
    /// It was received.
    pub came: bool,
}

impl Dataset {
    pub fn new(kind: Kind) -> Self {
        Self { kind, snapshots: Vec::new(), bookmarks: Vec::new(), data: 0, raw: false, partial: false, came: false }
    }

    pub fn newest(&self) -> Option<&Snap> {
        self.snapshots.last()
    }

    fn by_guid(&self, guid: u64) -> Option<&Snap> {
        self.snapshots.iter().rfind(|snap| snap.guid == guid)
    }

    pub fn has(&self, guid: u64) -> bool {
        self.by_guid(guid).is_some()
    }

    /// Made half by a receive that was cut: ZFS can't do anything with it yet.
    fn half_made(&self) -> bool {
        self.partial && self.snapshots.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.kind == Kind::Filesystem && self.snapshots.is_empty() && self.data == 0 && !self.partial
    }
}

/// One side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ModelHost {
    pub datasets: BTreeMap<DatasetName, Dataset>,
    txg: u64,
}

/// A stream: what of each snapshot arrives.
#[derive(Debug, Clone)]
pub(crate) struct ModelStream {
    base: Option<u64>,
    snapshots: Vec<Snap>,
    kind: Kind,
    raw: bool,
}

impl ModelHost {
    pub fn new(pool: &str) -> Self {
        let pool = pool.parse().unwrap();
        Self { datasets: BTreeMap::from([(pool, Dataset::new(Kind::Filesystem))]), txg: 0 }
    }

    pub fn txg(&mut self) -> u64 {
        self.txg += 1;
        self.txg
    }

    /// A new dataset, if its parent can have one.
    pub fn create(&mut self, name: &DatasetName, kind: Kind) -> Result<(), Refusal> {
        if self.datasets.contains_key(name) {
            return Err(Refusal::Exists);
        }
        let parent = name.parent().and_then(|parent| self.datasets.get(&parent)).ok_or(Refusal::Missing)?;
        if parent.kind == Kind::Volume || parent.half_made() {
            return Err(Refusal::Other);
        }
        self.datasets.insert(name.clone(), Dataset::new(kind));
        Ok(())
    }

    pub fn snapshot(&mut self, dataset: &DatasetName, name: &str, guid: u64) {
        let txg = self.txg();
        let Some(dataset) = self.datasets.get_mut(dataset).filter(|dataset| !dataset.half_made()) else { return };
        if !dataset.snapshots.iter().any(|snap| snap.name == name) {
            dataset.snapshots.push(Snap { name: name.into(), guid, txg, data: dataset.data });
        }
    }

    pub fn destroy(&mut self, dataset: &DatasetName) {
        self.datasets.retain(|name, _| !name.is_within(dataset));
    }

    /// `zfs send`; fails as the real one does when base or snapshot are not there (any more).
    pub fn send(&self, dataset: &DatasetName, step: &Step) -> Result<ModelStream, String> {
        let source = self.datasets.get(dataset).ok_or("dataset does not exist")?;
        let place = |guid: Guid, name: &str| {
            source.snapshots.iter().position(|snap| snap.guid == guid.0 && snap.name == name).ok_or("no such snapshot")
        };
        let to = place(step.to_guid, step.to.as_str())?;
        let (base, after) = match &step.base {
            None => (None, to),
            Some(base) if base.kind == BaseKind::Snapshot => {
                let at = place(base.guid, base.name.as_str())?;
                (Some((base.guid.0, source.snapshots[at].txg)), if step.intermediates { at + 1 } else { to })
            }
            Some(base) => {
                let is_it = |mark: &&Snap| mark.guid == base.guid.0 && mark.name == base.name.as_str();
                let mark = source.bookmarks.iter().find(is_it).ok_or("no such bookmark")?;
                assert!(!step.intermediates, "-I can't start at a bookmark");
                (Some((mark.guid, mark.txg)), to)
            }
        };
        assert!(base.is_none_or(|(_, txg)| txg < source.snapshots[to].txg), "the base must be older: {step:?}");
        assert_eq!(step.snapshots, to + 1 - after, "{step:?}");
        assert!(step.base.is_some() || !step.intermediates);
        assert!(!step.intermediates || step.snapshots > 1, "-i costs less: {step:?}");
        let snapshots = source.snapshots[after..=to].to_vec();
        Ok(ModelStream { base: base.map(|(guid, _)| guid), snapshots, kind: source.kind, raw: source.raw })
    }

    /// `zfs recv`, without `-F` but for a filesystem that has proved to be empty.
    pub fn receive(&mut self, planned: &PlannedDataset, into: Placement, stream: &ModelStream) -> Result<(), Refusal> {
        let new = into != Placement::Existing;
        for ancestor in planned.ancestors.iter().filter(|_| new) {
            match self.create(ancestor, Kind::Filesystem) {
                Ok(()) | Err(Refusal::Exists) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let Some(mut base) = stream.base else {
            if into == Placement::Overwrite {
                return self.overwrite(planned, &stream.snapshots[0]);
            }
            if into == Placement::IntoEmpty {
                let fits = |dataset: &Dataset| dataset.is_empty() && dataset.kind == stream.kind;
                if stream.raw || self.datasets.get(&planned.target).is_some_and(|dataset| dataset.raw) {
                    return Err(Refusal::EncryptedInPlace);
                }
                if !self.datasets.get(&planned.target).is_some_and(fits) {
                    return Err(Refusal::Exists);
                }
                self.datasets.remove(&planned.target);
            }
            if self.datasets.get(&planned.target).is_some_and(|dataset| dataset.partial) {
                return Err(Refusal::Partial);
            }
            self.create(&planned.target, stream.kind)?;
            let made = self.datasets.get_mut(&planned.target).unwrap();
            (made.raw, made.came) = (stream.raw, true);
            self.arrive(&planned.target, &stream.snapshots[0]);
            return Ok(());
        };
        for snap in &stream.snapshots {
            self.increment(&planned.target, base, snap, stream.raw)?;
            base = snap.guid;
        }
        Ok(())
    }

    fn increment(&mut self, name: &DatasetName, base: u64, snap: &Snap, raw: bool) -> Result<(), Refusal> {
        let target = self.datasets.get(name).ok_or(Refusal::Missing)?;
        if target.partial {
            return Err(Refusal::Partial);
        }
        if raw && !target.raw {
            return Err(Refusal::Encryption);
        }
        // What is there already, under whatever name, is skipped instead of refused (libzfs_sendrecv.c, recv_skip).
        let refused = |refusal| if target.has(snap.guid) { Ok(()) } else { Err(refusal) };
        if target.snapshots.iter().any(|there| there.name == snap.name) {
            return refused(Refusal::Exists);
        }
        let base = target.by_guid(base).ok_or(Refusal::NotNewest)?;
        if target.data != base.data || (raw && target.newest() != Some(base)) {
            return refused(Refusal::Modified);
        }
        self.arrive(name, snap);
        Ok(())
    }

    fn arrive(&mut self, name: &DatasetName, snap: &Snap) {
        let txg = self.txg();
        let dataset = self.datasets.get_mut(name).unwrap();
        dataset.data = snap.data;
        dataset.snapshots.push(Snap { txg, ..snap.clone() });
    }
}

fn versions(snaps: &[Snap]) -> Versions {
    let mut all = Versions::default();
    for snap in snaps {
        all.push(&snap.name.parse().unwrap(), Guid(snap.guid), Txg(snap.txg));
    }
    all.sort();
    all
}

/// How a dataset ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a model of a test, of which there is one at a time")]
pub(crate) enum PushOutcome {
    InSync,
    NoSnapshots,
    Conflict(Conflict),
    Failed(Refusal),
    SendFailed,
    Skipped,
}

/// A push from one side to the other.
pub(crate) struct Job<'a> {
    pub source: DatasetName,
    pub target: DatasetName,
    pub selects: &'a dyn Fn(&RelPath) -> bool,
    pub newest_only: bool,
    pub skip_empty: bool,
    pub resolutions: Resolutions,
}

/// What a push came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub rounds: usize,
    pub listed: usize,
    pub refused: usize,
    /// By the target's name.
    pub ends: BTreeMap<DatasetName, PushOutcome>,
    /// What was sent, in `zfs send`'s own notation.
    pub sent: Vec<(DatasetName, String)>,
    /// What a dry run would have shown before, in the same notation.
    pub foretold: Vec<(DatasetName, String)>,
}

impl Job<'_> {
    /// From nothing to the plan, as `exec::push` does it; `between` may change the target before each question.
    pub fn negotiate(
        &self,
        source: &ModelHost,
        target: &mut ModelHost,
        between: &mut dyn FnMut(&mut ModelHost),
        report: &mut Report,
    ) -> (Negotiation, Plan) {
        let selected = source.list_source(&self.source, self.selects);
        let mut negotiation = Negotiation::new(&self.source, &self.target, selected, self.newest_only);
        // A number of its own for each run, as the date is.
        let stamp =
            if self.resolutions == Resolutions::default() { String::new() } else { format!("2026-{}", target.txg()) };
        negotiation = negotiation
            .with_resolutions(self.resolutions.clone(), &stamp)
            .with_skip_empty(self.skip_empty)
            // What is stored where is not the model's business.
            .with_encryption(EncryptionRules { allow_unencrypted: true, ..EncryptionRules::default() })
            .with_listing(if self.resolutions.any() { Listing::AllBehind } else { Listing::AsNeeded });
        let (mut inquiry, mut asked) = (Inquiry::default(), HashMap::new());
        while let Some(ask) = inquiry.next(&mut negotiation).expect("the pool is there") {
            if let Ask::Names(names) = &ask {
                for name in names {
                    *asked.entry(name.split('@').next().unwrap().to_owned()).or_default() += 1;
                }
            }
            answer(ask, &mut negotiation, source, target, between, report);
        }
        assert!(report.rounds <= 3);
        assert!(asked.values().all(|&names: &usize| names <= MOST_NAMES), "{asked:?}");
        let plan = negotiation.plan();
        self.check_plan(&plan);
        between(target);
        (negotiation, plan)
    }

    fn check_plan(&self, plan: &Plan) {
        for (index, planned) in plan.datasets.iter().enumerate() {
            assert!(planned.after.is_none_or(|after| after < index));
            assert!(planned.ancestors.is_sorted(), "the highest first: {planned:?}");
            assert!(planned.ancestors.iter().all(|above| planned.target.is_within(above) && *above != planned.target));
            assert!(planned.target.is_within(&self.target));
            if planned.placement == Placement::Existing {
                assert!(planned.ancestors.is_empty() && planned.after.is_none() && !planned.top);
                assert_eq!(planned.top_ancestor, None);
            }
        }
    }
}

/// As on the command line of `zfs send`.
pub(crate) fn notation(step: &Step) -> String {
    let to = &step.to;
    match &step.base {
        None => format!("@{to}"),
        Some(base) => format!("{} {} @{to}", if step.intermediates { "-I" } else { "-i" }, base.marked()),
    }
}

/// So many cases unless `PROPTEST_CASES` says otherwise.
pub(crate) fn config(cases: u32) -> proptest::prelude::ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    proptest::prelude::ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::default()
    }
}
