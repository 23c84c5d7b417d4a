//! The real host: asks and changes ZFS through its command line.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::base;
use super::claims::{Claims, Passage};
use super::dataset;
use super::empty;
use super::examine::{self, Account};
use super::list;
use super::portions::portions;
use super::process::{start, start_outgoing};
use super::prune;
use super::query;
use super::records::Records;
use super::remount;
use super::resolve;
use super::run::{run, run_listing, run_naming};
use super::wrapped_key;
use super::{Found, Host, NameSink, Outgoing, RecordSink, Sink, Started, Tell, Unread};
use crate::Resolution;
use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::record::Features;
use crate::{
    Answer, BaseFacts, BootId, ContentError, Examination, Examine, Lacking, Limits, Mark, Note, Noted, PLACEHOLDER,
    ParseError, Query, Reading, Refusal, StreamSpec, WrappedKey, Zfs, disabled_features, genuine, lacking, permission,
    read_content, read_creations, read_facts, read_listed, read_names, read_note_names, read_notes,
};
use crate::{Failure, Hello, Pruned, Receive, Rename};

/// So many `zfs list` at most look for one question's names.
const MAX_PARALLEL: usize = 4;

/// This machine.
#[derive(Debug, Default)]
pub struct LocalHost {
    zfs: Option<Zfs>,
    claims: Claims,
    records: Records,
    /// Datasets that a dry run would have destroyed by now.
    would_go: Mutex<BTreeSet<DatasetName>>,
    /// Whether many bookmarks are made by one channel program.
    programs: Arc<AtomicBool>,
    /// What another machine has told of itself, and the account there.
    told: Option<(Hello, Account)>,
}

impl LocalHost {
    /// With the `zfs` that is found in the usual places.
    #[must_use]
    pub fn new() -> Self {
        Self::limited(Limits::default())
    }

    /// The same, with limits for each call of `zfs` that doesn't carry a stream.
    #[must_use]
    pub fn limited(limits: Limits) -> Self {
        let zfs = Zfs::find().map(|zfs| zfs.within(limits));
        Self { claims: Claims::new(zfs.clone()), zfs, programs: may_run_programs(), ..Self::default() }
    }

    /// With this `zfs`.
    #[must_use]
    pub fn with(zfs: Zfs) -> Self {
        let programs = may_run_programs();
        Self { claims: Claims::new(Some(zfs.clone())), zfs: Some(zfs), programs, ..Self::default() }
    }

    /// Another machine, on which nothing but `zfs` runs; `told` is its greeting.
    #[must_use]
    pub fn away(zfs: Zfs, told: Hello, account: Account) -> Self {
        let told = Some((told, account));
        Self { zfs: Some(zfs), claims: Claims::of_another_machine(), told, ..Self::default() }
    }

    /// The same machine, with limits for each call of `zfs`. It claims nothing.
    #[must_use]
    pub fn within(&self, limits: Limits) -> Self {
        let zfs = self.zfs.as_ref().map(|zfs| zfs.within(limits));
        let away = self.told.is_some();
        let claims = if away { Claims::of_another_machine() } else { Claims::new(zfs.clone()) };
        Self { zfs, claims, programs: Arc::clone(&self.programs), told: self.told.clone(), ..Self::default() }
    }

    pub(super) fn zfs(&self) -> Result<&Zfs, Failure> {
        let nowhere = "no zfs command in PATH, /sbin, /usr/sbin or /usr/local/sbin";
        self.zfs.as_ref().ok_or_else(|| Failure::new(Refusal::Other, nowhere))
    }
}

impl Host for LocalHost {
    fn hello(&self) -> Hello {
        if let Some((hello, _)) = &self.told {
            return hello.clone();
        }
        Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            zfs: read_line("/sys/module/zfs/version"),
            zfs_path: self.zfs.as_ref().map(|zfs| zfs.path().to_string_lossy().into_owned()),
            boot_id: BootId::here(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            user: permission::user_name(),
            clock: Some(jiff::Timestamp::now().as_second()),
            ..Hello::default()
        }
    }

    fn find(&self, names: &[&str], unread: &mut Unread<'_>) -> Result<Found, Failure> {
        let zfs = self.zfs()?;
        let portions = portions(names, |name| name.len());
        // Each name costs milliseconds in the kernel, and that goes in parallel. But what fits on one command line is one
        // process: their number must not grow with the datasets.
        let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_PARALLEL);
        let share = portions.len().div_ceil(cores).max(1);
        thread::scope(|scope| {
            let running: Vec<_> = portions.chunks(share).map(|part| scope.spawn(move || find_all(zfs, part))).collect();
            running.into_iter().try_fold(Found::new(), |mut found, thread| {
                let (some, bad) =
                    thread.join().unwrap_or_else(|_| Err(Failure::new(Refusal::Other, "an internal thread failed")))?;
                found.extend(some);
                for (name, words) in &bad {
                    unread(name, words);
                }
                Ok(found)
            })
        })
    }

    fn list(&self, datasets: &[DatasetName], sink: &mut Sink<'_>, unread: &mut Unread<'_>) -> Result<(), Failure> {
        for some in portions(datasets, |dataset| dataset.as_str().len()) {
            let (facts, bad) = run_naming(self.zfs()?.facts(some), read_facts)?;
            for (name, words) in &bad {
                unread(name, words);
            }
            list::list(self.zfs()?, &facts, sink, unread)?;
        }
        Ok(())
    }

    fn tree(&self, dataset: &DatasetName) -> Result<Vec<DatasetName>, Failure> {
        run_listing(self.zfs()?.list_below(dataset), read_names)
    }

    fn probe(&self, dataset: &DatasetName) -> Result<(Vec<String>, bool), Failure> {
        let zfs = self.zfs()?;
        let disabled = run(zfs.pool_features(dataset.pool()), disabled_features)?;
        Ok((disabled, resolve::facts(self.zfs()?, dataset)?.encryption.is_on()))
    }

    fn lacking(&self, dataset: &DatasetName, stream: Features, resumable: bool) -> Lacking {
        let Ok(zfs) = self.zfs() else { return Lacking::default() };
        let asked = run(zfs.pool_properties(dataset.pool()), |output| lacking(output, stream, resumable));
        asked.unwrap_or_default()
    }

    fn encryption_root(&self, dataset: &DatasetName) -> Option<DatasetName> {
        let value = run(self.zfs().ok()?.get("encryptionroot", dataset), |output| {
            let mut value = String::new();
            Read::take(output, 1024).read_to_string(&mut value)?;
            Ok(value)
        });
        value.ok()?.trim_end_matches('\n').parse().ok()
    }

    fn create_placeholder(&self, dataset: &DatasetName, top: bool) -> Result<(), Failure> {
        let (zfs, _passage) = (self.zfs()?, self.claims.enter_above(dataset)?);
        let create = |marked| match run(zfs.create_placeholder(dataset, top, marked), |_| Ok(())) {
            // Also when another channel was faster.
            Err(Failure { refusal: Refusal::Exists, .. }) => Ok(()),
            created => created,
        };
        match create(true) {
            Err(Failure { refusal: Refusal::Permission, .. }) => create(false),
            created => created,
        }
    }

    fn clear(&self, dataset: &DatasetName) -> Result<(), Failure> {
        let _passage = self.claims.enter([dataset])?;
        run(self.zfs()?.clear_partial(dataset), |_| Ok(()))
    }

    fn dates(&self, names: &[&str]) -> Result<Vec<(String, i64)>, Failure> {
        let mut all = Vec::with_capacity(names.len());
        for some in portions(names, |name| name.len()) {
            all.extend(run_listing(self.zfs()?.creation_of(some), read_creations)?);
        }
        Ok(all)
    }

    fn bases(&self, names: &[&str], iv_sets_only: bool) -> Result<HashMap<String, BaseFacts>, Failure> {
        if iv_sets_only { base::iv_sets_of(self.zfs()?, names) } else { base::facts(self.zfs()?, names) }
    }

    fn resolve(&self, resolution: &Resolution, dry_run: bool) -> Result<Option<String>, Failure> {
        let _passage = match resolution {
            _ if dry_run => Passage::default(),
            Resolution::SetAside { dataset, aside, .. } => self.claims.enter([dataset, aside])?,
            Resolution::Rollback { dataset, .. } | Resolution::Replace { dataset, .. } => {
                self.claims.enter([dataset])?
            }
        };
        resolve::carry_out(self.zfs()?, resolution, dry_run)
    }

    fn prune(
        &self,
        dataset: &DatasetName,
        snapshots: &[(SnapshotName, Guid)],
        dry_run: bool,
    ) -> Result<Pruned, Failure> {
        let _passage = if dry_run { Passage::default() } else { self.claims.enter([dataset])? };
        prune::prune_copy(self.zfs()?, &self.records, dataset, snapshots, dry_run)
    }

    fn rename(&self, rename: &Rename) -> Result<(), Failure> {
        let _passage = self.claims.enter([&rename.from, &rename.to])?;
        dataset::rename(self.zfs()?, rename)
    }

    fn notes_below(&self, dataset: &DatasetName) -> Result<Vec<Noted>, Failure> {
        let zfs = self.zfs()?;
        let notes = run_listing(zfs.notes_below(dataset), read_notes)?;
        Ok(genuine(notes, &run_listing(zfs.note_names_below(dataset), read_note_names)?))
    }

    fn notes_on(&self, snapshots: &[&str]) -> Result<Vec<Noted>, Failure> {
        let mut all = Vec::new();
        for some in portions(snapshots, |name| name.len()) {
            let notes = run_listing(self.zfs()?.notes_on(some), read_notes)?;
            if !notes.is_empty() {
                all.extend(genuine(notes, &run_listing(self.zfs()?.note_names_on(some), read_note_names)?));
            }
        }
        Ok(all)
    }

    fn note(&self, note: Note, value: Option<&str>, names: &[&str]) -> Result<(), Failure> {
        let datasets: BTreeSet<DatasetName> =
            names.iter().filter_map(|name| name.split('@').next()?.parse().ok()).collect();
        let _passage = self.claims.enter(&datasets)?;
        for some in portions(names, |name| name.len()) {
            dataset::note(self.zfs()?, note, value, some)?;
        }
        Ok(())
    }

    fn destroy(&self, dataset: &DatasetName, snapshots: &[Guid], dry_run: bool) -> Result<(), Failure> {
        if !dry_run {
            let _passage = self.claims.enter([dataset])?;
            return dataset::destroy(self.zfs()?, dataset, snapshots);
        }
        let mut gone = self.would_go.lock().unwrap_or_else(PoisonError::into_inner);
        dataset::can_destroy(self.zfs()?, dataset, snapshots, &gone)?;
        gone.insert(dataset.clone());
        Ok(())
    }

    fn claimed(&self, dataset: &DatasetName) -> Option<String> {
        self.claims.holder(dataset)
    }

    fn available(&self, dataset: &DatasetName) -> Option<u64> {
        let text = run(self.zfs().ok()?.get("available", dataset), |output| {
            let mut text = String::new();
            Read::take(output, 100).read_to_string(&mut text)?;
            Ok(text)
        });
        text.ok()?.trim().parse().ok()
    }

    fn examine(&self, what: &Examine) -> Result<Examination, Failure> {
        // That there is no zfs is told by the greeting.
        let Some(zfs) = &self.zfs else { return Ok(Examination::default()) };
        let mut found = match &self.told {
            Some((hello, account)) => examine::examine(zfs, what, hello.zfs.clone(), account),
            None => examine::examine(zfs, what, read_line("/sys/module/zfs/version"), &examine::own_account()),
        };
        if let (Examine::Dataset(dataset), Some(place)) = (what, &mut found.place) {
            place.locked = self.claims.holder(dataset);
        }
        Ok(found)
    }

    fn claim(&self, dataset: &DatasetName, run: u64, owner: &str) -> Result<Option<String>, Failure> {
        self.claims.claim(dataset, run, owner)
    }

    fn wrapped_key(&self, dataset: &DatasetName, base: Option<&SnapshotName>) -> Result<Option<WrappedKey>, Failure> {
        if !resolve::facts(self.zfs()?, dataset)?.encryption.is_on() {
            return Ok(None);
        }
        wrapped_key::wrapped_key(self.zfs()?, dataset, base)
    }

    fn has_snapshots(&self, dataset: &DatasetName) -> Result<bool, Failure> {
        list::has_snapshots(self.zfs()?, dataset)
    }

    fn is_empty(&self, dataset: &DatasetName) -> Result<bool, Failure> {
        if self.has_snapshots(dataset)? {
            return Ok(false);
        }
        empty::is_empty(self.zfs()?, dataset, empty::LET_GO_WITHIN)
    }

    fn content(&self, reading: &Reading, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let mut odd = None;
        let read = run(self.zfs()?.send_content(reading), |mut output| {
            read_content(&mut output, reading, tell).map_err(|error| {
                let words = error.to_string();
                // What zfs says to a stream that breaks off says more than that it broke off.
                odd = Some(words.clone()).filter(|_| !matches!(error, ContentError::Io(_)));
                ParseError::Io(io::Error::other(words))
            })
        });
        read.map_err(|why| odd.map_or(why, |words| Failure::new(Refusal::Other, &words)))
    }

    fn receive(&self, receive: &Receive, snapshot: Option<&SnapshotName>) -> Result<Started, Failure> {
        let passage = self.claims.enter([&receive.dataset])?;
        let replaces = receive.into_empty || receive.overwrite;
        let mounted = replaces && resolve::facts(self.zfs()?, &receive.dataset)?.mounted;
        let started = start(self.zfs()?.receive(receive, snapshot), passage)?;
        Ok(if mounted { remount::after_failure(self.zfs()?, &receive.dataset, started) } else { started })
    }

    fn query(&self, query: &Query) -> Result<Answer, Failure> {
        query::answer(self.zfs()?, query, &self.programs)
    }

    fn names(&self, each: &mut NameSink<'_>) -> Result<(), Failure> {
        query::names(self.zfs()?, each)
    }

    fn history(&self, pool: &str, since: Txg, each: &mut RecordSink<'_>) -> Result<(), Failure> {
        query::history(self.zfs()?, pool, since, each)
    }

    fn stream(&self, stream: &StreamSpec) -> Result<Outgoing, Failure> {
        start_outgoing(query::stream(self.zfs()?, stream))
    }

    fn filled(&self, dataset: &DatasetName, mountable: bool) {
        // Only a label: it does no harm when it stays.
        if let Ok(zfs) = self.zfs() {
            let marked = || run(zfs.own_property(PLACEHOLDER, dataset), |mut output| Ok(output.read(&mut [0; 1])? > 0));
            // A `canmount` that somebody has set stays.
            if mountable && marked() == Ok(true) {
                let _ = run(zfs.reset_property("canmount", dataset), |_| Ok(()));
            }
            let _ = run(zfs.unmark_placeholder(dataset), |_| Ok(()));
        }
    }
}

/// Only root may run channel programs (zfs-program(8)).
fn may_run_programs() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(rustix::process::geteuid().is_root()))
}

fn find_all(zfs: &Zfs, portions: &[&[&str]]) -> Result<(Found, Vec<(String, String)>), Failure> {
    let (mut found, mut unread) = (Found::new(), Vec::new());
    for some in portions {
        let asked: HashSet<&str> = some.iter().copied().collect();
        let ((), bad) = run_naming(zfs.list_names(some), |output| {
            read_listed(output, |listed| {
                let name = match &listed.mark {
                    Mark::Snapshot(snapshot) => listed.dataset.at(snapshot.as_str()),
                    _ => listed.dataset.into(),
                };
                if asked.contains(name.as_str()) {
                    found.insert(name, (listed.guid, listed.txg));
                }
                Ok::<_, ParseError>(())
            })
        })?;
        unread.extend(bad);
    }
    Ok((found, unread))
}

fn read_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
