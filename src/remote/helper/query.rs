//! Answers questions (ask, list, probe), each on a thread of its own so that a stream never waits for a listing.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host::{Host, failure};
use super::replies::{LOOK, Replies};
use super::{Config, Sink};
use crate::name::{DatasetName, MAX_NAME, SnapshotName};
use crate::remote::wire::{Failure, MAX_NAMES, Reply, Request};
use crate::zfs::Refusal;

/// So many snapshots go into one frame: at most about 600 KiB.
pub(super) const SNAPSHOTS_A_FRAME: usize = 2000;
/// So many questions are answered at a time; more wait, and with them whatever the sender sends next.
const AT_ONCE: usize = 4;

/// Counts the questions under way.
#[derive(Default)]
pub(super) struct Queries {
    running: Mutex<usize>,
    ended: Condvar,
}

/// Everything an answering thread needs.
#[derive(Clone)]
pub(super) struct Context {
    pub config: Arc<Config>,
    pub host: Arc<dyn Host>,
    pub replies: Arc<Replies>,
}

impl Queries {
    /// Answers `request` on a thread. Returns when it has begun; `false` when nobody reads answers any more.
    pub(super) fn start(self: &Arc<Self>, context: &Context, request: Request) -> bool {
        if !self.wait_below(AT_ONCE, None, &context.replies) {
            return false;
        }
        *self.lock() += 1;
        let (queries, own, id) = (Arc::clone(self), context.clone(), id_of(&request));
        let spawned = std::thread::Builder::new().name("query".into()).spawn(move || {
            answer(&own, request);
            queries.one_ended();
        });
        if let Err(error) = spawned {
            self.one_ended();
            context.replies.done(id, Some(failure(Refusal::Other, &format!("can't start a thread: {error}"))));
        }
        true
    }

    /// Waits until fewer than `limit` are running; `false` if the time is over or nobody reads answers any more.
    pub(super) fn wait_below(&self, limit: usize, most: Option<Duration>, replies: &Replies) -> bool {
        let started = Instant::now();
        let mut running = self.lock();
        while *running >= limit {
            if replies.is_broken() || most.is_some_and(|most| started.elapsed() > most) {
                return false;
            }
            running = self.ended.wait_timeout(running, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn one_ended(&self) {
        *self.lock() -= 1;
        self.ended.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id_of(request: &Request) -> u64 {
    match request {
        Request::Ask { id, .. }
        | Request::List { id, .. }
        | Request::Probe { id, .. }
        | Request::Clear { id, .. }
        | Request::Receive { id, .. } => *id,
    }
}

fn answer(context: &Context, request: Request) {
    let Context { host, replies, .. } = context;
    let id = id_of(&request);
    let answered = match request {
        Request::Ask { names, .. } => ask(context, id, &names),
        Request::List { datasets, .. } => list(context, id, &datasets),
        Request::Probe { dataset, .. } => refuse_outside(&context.config, &dataset)
            .and_then(|()| host.probe(&dataset))
            .map(|(disabled, encrypted)| Reply::Probed { id, disabled, encrypted }),
        Request::Clear { dataset, .. } => refuse_outside(&context.config, &dataset)
            .and_then(|()| host.clear(&dataset))
            .map(|()| Reply::Done { id, failure: None, warning: None }),
        Request::Receive { .. } => return,
    };
    let reply = answered.unwrap_or_else(|failure| Reply::Done { id, failure: Some(failure), warning: None });
    if let Err(error) = replies.send(&reply) {
        // Too long, perhaps; if the sender is gone this fails as well.
        replies.done(id, Some(failure(Refusal::Other, &error.to_string())));
    }
}

fn ask(context: &Context, id: u64, names: &[String]) -> Result<Reply, Failure> {
    if names.len() > MAX_NAMES {
        let words = format!("{} names in one question; at most {MAX_NAMES} are allowed", names.len());
        return Err(failure(Refusal::Other, &words));
    }
    // What ZFS would not accept as a name can't exist, and what is not allowed is not told.
    let legal: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_askable(&context.config, name)).collect();
    let found = if legal.is_empty() { super::Found::new() } else { context.host.find(&legal)? };
    let places = (0..).zip(names);
    let found = places.filter_map(|(place, name)| found.get(name).map(|&(guid, txg)| (place, guid, txg))).collect();
    Ok(Reply::Found { id, found })
}

fn is_askable(config: &Config, name: &str) -> bool {
    let (dataset, snapshot) = name.split_once('@').map_or((name, None), |(dataset, rest)| (dataset, Some(rest)));
    let legal = snapshot.is_none_or(|snapshot| snapshot.parse::<SnapshotName>().is_ok());
    // Each part can be legal and the whole too long; zfs would refuse to look at anything then.
    legal && name.len() <= MAX_NAME && dataset.parse().is_ok_and(|dataset| config.allows(&dataset))
}

fn list(context: &Context, id: u64, datasets: &[DatasetName]) -> Result<Reply, Failure> {
    let allowed: Vec<DatasetName> = datasets.iter().filter(|dataset| context.config.allows(dataset)).cloned().collect();
    let sink: &mut Sink<'_> = &mut |dataset, facts, snapshots| {
        let reply = Reply::Listed { id, dataset: dataset.clone(), facts, snapshots };
        context.replies.send(&reply).map_err(io::Error::other)
    };
    if !allowed.is_empty() {
        context.host.list(&allowed, sink)?;
    }
    Ok(Reply::Done { id, failure: None, warning: None })
}

/// For what may not be touched.
pub(super) fn refuse_outside(config: &Config, dataset: &DatasetName) -> Result<(), Failure> {
    if config.allows(dataset) {
        return Ok(());
    }
    Err(failure(Refusal::Permission, &format!("this helper may not touch {dataset}")))
}
