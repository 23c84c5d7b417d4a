//! Answers questions (ask, list, tree, names, probe), each on a thread of its own so that a stream never waits for a listing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::context::{Context, done};
use super::deeds::Deed;
use super::guard::{self, is_askable};
use super::replies::{LOOK, Replies};
use super::{content, examine, notes as missing, outlook};
use crate::wire::{MAX_NAMES, Reply, Request};
use zfs::host::{Found, Sink, Unread};
use zfs::name::{DatasetName, SnapshotName};
use zfs::{Answer, Failure, NewBookmark, Query, Refusal, Resolution, permission};

/// So many names of datasets go into one frame: at most about 520 KiB.
const NAMES_A_FRAME: usize = 2000;
/// So many questions are answered at a time; more wait, and with them whatever the sender sends next.
const AT_ONCE: usize = 4;

/// Counts the questions under way.
#[derive(Default)]
pub(super) struct Queries {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Queries {
    /// Answers `request` on a thread. Returns when it has begun; `false` when nobody reads answers any more.
    pub(super) fn start(self: &Arc<Self>, context: &Context, request: Request) -> bool {
        if !self.wait_below(AT_ONCE, None, &context.replies) {
            return false;
        }
        if let Request::Lock { .. } = request {
            // What follows may need it.
            answer(context, request);
            return true;
        }
        *self.lock() += 1;
        let (queries, own, id) = (Arc::clone(self), context.clone(), request.id());
        let spawned = std::thread::Builder::new().name("query".into()).spawn(move || {
            answer(&own, request);
            queries.one_ended();
        });
        if let Err(error) = spawned {
            self.one_ended();
            context.replies.done(id, Some(Failure::new(Refusal::Other, &format!("can't start a thread: {error}"))));
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

fn answer(context: &Context, request: Request) {
    let Context { config, host, replies, .. } = context;
    let id = request.id();
    let deed = Deed::of(&request);
    if let Err(why) = guard::request(config, &request) {
        let reply = Reply::Done { id, failure: Some(why), warning: None };
        log(context, deed.as_ref(), &reply);
        // Whoever asked may be gone.
        let _ = replies.send(&reply);
        return;
    }
    let answered = match request {
        Request::Ask { names, .. } => ask(context, id, &names),
        Request::List { datasets, .. } => list(context, id, &datasets),
        Request::Tree { dataset, .. } => tree(context, id, &dataset),
        Request::Probe { dataset, .. } => probe(context, id, &dataset),
        Request::Clear { dataset, .. } => clear(context, id, &dataset),
        Request::Lock { dataset, run, owner, .. } => {
            replies.is_for(&owner);
            host.claim(&dataset, run, &owner).map(|odd| done(id, odd))
        }
        Request::Dates { names, .. } => dates(context, id, &names),
        Request::Bases { names, iv_sets_only, .. } => bases(context, id, &names, iv_sets_only),
        Request::TryResolve { resolution, .. } => host.resolve(&resolution, true).map(|warning| done(id, warning)),
        Request::Resolve { resolution, .. } => resolve(context, id, &resolution),
        Request::Prune { dataset, snapshots, dry_run, .. } => {
            let pruned = host.prune(&dataset, &snapshots, dry_run).map(|pruned| Reply::Pruned { id, pruned });
            pruned.map_err(|why| context.explain(why, permission::DESTROY, &dataset))
        }
        Request::Names { dataset, .. } => names(context, id, &dataset),
        Request::Rename { rename, .. } => missing::rename(context, &rename).map(|()| done(id, None)),
        Request::Notes { dataset, snapshots, .. } => missing::notes(context, id, dataset.as_ref(), &snapshots),
        Request::Note { note, value, names, .. } => {
            missing::note(context, note, value.as_deref(), &names).map(|()| done(id, None))
        }
        Request::Destroy { dataset, snapshots, .. } => {
            missing::destroy(context, &dataset, &snapshots, false).map(|()| done(id, None))
        }
        Request::TryDestroy { dataset, snapshots, .. } => {
            missing::destroy(context, &dataset, &snapshots, true).map(|()| done(id, None))
        }
        Request::Outlook { dataset, .. } => Ok(Reply::Outlook { id, outlook: outlook::of(context, &dataset) }),
        Request::Content { reading, .. } => content::read(context, id, &reading).map(|()| done(id, None)),
        Request::Examine { what, .. } => examine::examine(context, &what)
            .map(|examination| Reply::Examined { id, examination: Box::new(examination) }),
        Request::Query { query, .. } => return query_host(context, id, &query, deed.as_ref()),
        Request::Receive { .. } | Request::Stream { .. } | Request::Cancel { .. } => return,
    };
    let reply = answered.unwrap_or_else(|failure| Reply::Done { id, failure: Some(failure), warning: None });
    let reply = guard::reply(config, reply);
    log(context, deed.as_ref(), &reply);
    if let Err(error) = replies.send(&reply) {
        // Too long, perhaps; if the sender is gone this fails as well.
        replies.done(id, Some(Failure::new(Refusal::Other, &error.to_string())));
    }
}

fn clear(context: &Context, id: u64, dataset: &DatasetName) -> Result<Reply, Failure> {
    let cleared = context.host.clear(dataset).map(|()| done(id, None));
    cleared.map_err(|why| context.explain(why, permission::CLEAR, dataset))
}

fn resolve(context: &Context, id: u64, resolution: &Resolution) -> Result<Reply, Failure> {
    let resolved = context.host.resolve(resolution, false).map(|warning| done(id, warning));
    resolved.map_err(|why| context.explain(why, permission::for_resolution(resolution), resolution.dataset()))
}

/// What concerns a source is answered in as many parts as it takes.
fn query_host(context: &Context, id: u64, query: &Query, deed: Option<&Deed>) {
    let answered = match query {
        Query::Names => {
            in_pieces(context, id, Answer::Names, &mut |each| context.host.names(&mut |name| each(name.to_owned())))
        }
        Query::History { pool, since } => {
            let mut chronicle = guard::Chronicle::new(&context.config);
            in_pieces(context, id, Answer::Records, &mut |each| {
                context.host.history(pool, *since, &mut |record| chronicle.told(record).map_or(Ok(()), &mut *each))
            })
        }
        Query::Estimate { stream } => {
            guard::stream(context, stream).and_then(|stream| context.host.query(&Query::Estimate { stream }))
        }
        query => context.host.query(query).map(|answer| guard::answer(&context.config, answer)),
    };
    let answered = answered.map_err(|why| guard::failure(&context.config, explain_query(context, query, why)));
    let answer = match answered {
        Ok(answer) => explain_bookmarks(context, query, answer),
        Err(why) => {
            let reply = Reply::Done { id, failure: Some(why), warning: None };
            log(context, deed, &reply);
            let _ = context.replies.send(&reply);
            return;
        }
    };
    let sent = answer.parts().into_iter().try_for_each(|part| {
        let reply = Reply::Answer { id, part };
        log(context, deed, &reply);
        context.replies.send(&reply)
    });
    let failure = sent.err().map(|error| Failure::new(Refusal::Other, &error.to_string()));
    context.replies.done(id, failure);
}

fn log(context: &Context, deed: Option<&Deed>, reply: &Reply) {
    if let Some(deed) = deed {
        context.replies.log(&deed.lines(reply));
    }
}

/// Takes the items of an answer, one after the other.
type Each<'a, T> = dyn FnMut(T) -> io::Result<()> + 'a;

/// Sends a long answer while it is read, in pieces, without what is nobody's business; gives the last piece.
fn in_pieces<T>(
    context: &Context,
    id: u64,
    answer: impl Fn(Vec<T>) -> Answer,
    read: &mut dyn FnMut(&mut Each<'_, T>) -> Result<(), Failure>,
) -> Result<Answer, Failure> {
    let told = |some: Vec<T>| guard::answer(&context.config, answer(some));
    let mut some = Vec::new();
    read(&mut |one| {
        some.push(one);
        if some.len() < NAMES_A_FRAME {
            return Ok(());
        }
        let parts = told(std::mem::take(&mut some)).parts();
        parts
            .into_iter()
            .try_for_each(|part| context.replies.send(&Reply::Answer { id, part }))
            .map_err(io::Error::other)
    })?;
    Ok(told(some))
}

/// The same of bookmarks, of which each has its own failure.
fn explain_bookmarks(context: &Context, query: &Query, answer: Answer) -> Answer {
    match (query, answer) {
        (Query::Bookmark { new }, Answer::Failures(all)) => {
            let explain = |(new, failure): (&NewBookmark, Option<Failure>)| {
                failure.map(|why| context.explain(why, permission::BOOKMARK, &new.dataset))
            };
            // A failure for each, in their order.
            Answer::Failures(new.iter().zip(all).map(explain).collect())
        }
        (Query::DropBookmarks { bookmarks }, Answer::Failures(all)) => {
            let explain = |((dataset, _), failure): (&(DatasetName, SnapshotName), Option<Failure>)| {
                failure.map(|why| context.explain(why, permission::DESTROY, dataset))
            };
            Answer::Failures(bookmarks.iter().zip(all).map(explain).collect())
        }
        (_, answer) => answer,
    }
}

/// Says what would have to be allowed, where zfs says only that something isn't.
fn explain_query(context: &Context, query: &Query, why: Failure) -> Failure {
    let needs = match query {
        Query::Snapshot { datasets, .. } => datasets.first().map(|dataset| (permission::SNAPSHOT, dataset)),
        Query::Prune { dataset, .. } => Some((permission::DESTROY, dataset)),
        Query::SetProperty { dataset, .. } => Some((permission::NOTE, dataset)),
        _ => None,
    };
    match needs {
        Some((permissions, dataset)) => context.explain(why, permissions, dataset),
        None => why,
    }
}

fn ask(context: &Context, id: u64, names: &[String]) -> Result<Reply, Failure> {
    if names.len() > MAX_NAMES {
        let words = format!("{} names in one question; at most {MAX_NAMES} are allowed", names.len());
        return Err(Failure::new(Refusal::Other, &words));
    }
    // What ZFS would not accept as a name can't exist, and what is not allowed is not told.
    let legal: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_askable(&context.config, name)).collect();
    // zfs complains of a name as often as it was asked for.
    let mut told = HashSet::new();
    let unread: &mut Unread<'_> = &mut |name, words| {
        if told.insert(name.to_owned()) {
            unread(context, id, name, words);
        }
    };
    let found = if legal.is_empty() { Found::new() } else { context.host.find(&legal, unread)? };
    let places = (0..).zip(names);
    let found = places.filter_map(|(place, name)| found.get(name).map(|&(guid, txg)| (place, guid, txg))).collect();
    Ok(Reply::Found { id, found })
}

/// Tells that something exists and can't be read. Should that not reach the sender, nor will the answer.
fn unread(context: &Context, id: u64, name: &str, words: &str) {
    let words = Failure::new(Refusal::Other, words).words;
    let _ = context.replies.send(&Reply::Unread { id, name: name.to_owned(), words });
}

fn list(context: &Context, id: u64, datasets: &[DatasetName]) -> Result<Reply, Failure> {
    let allowed: Vec<DatasetName> = datasets.iter().filter(|dataset| context.config.allows(dataset)).cloned().collect();
    let sink: &mut Sink<'_> = &mut |dataset, facts, snapshots| {
        let reply = Reply::Listed { id, dataset: dataset.clone(), facts, snapshots };
        context.replies.send(&reply).map_err(io::Error::other)
    };
    let unread: &mut Unread<'_> = &mut |name, words| unread(context, id, name, words);
    if !allowed.is_empty() {
        context.host.list(&allowed, sink, unread)?;
    }
    Ok(Reply::Done { id, failure: None, warning: None })
}

fn names(context: &Context, id: u64, dataset: &DatasetName) -> Result<Reply, Failure> {
    for some in context.host.tree(dataset)?.chunks(NAMES_A_FRAME) {
        let reply = Reply::Names { id, datasets: some.to_vec() };
        context.replies.send(&reply).map_err(|error| Failure::new(Refusal::Other, &error.to_string()))?;
    }
    Ok(done(id, None))
}

fn tree(context: &Context, id: u64, dataset: &DatasetName) -> Result<Reply, Failure> {
    list(context, id, &context.host.tree(dataset)?)
}

fn probe(context: &Context, id: u64, dataset: &DatasetName) -> Result<Reply, Failure> {
    let (disabled, encrypted) = context.host.probe(dataset)?;
    Ok(Reply::Probed { id, disabled, encrypted })
}

fn dates(context: &Context, id: u64, names: &[String]) -> Result<Reply, Failure> {
    let askable = |name: &&str| name.contains('@') && is_askable(&context.config, name);
    let legal: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).filter(askable).collect();
    let found: HashMap<String, i64> =
        if legal.is_empty() { HashMap::new() } else { context.host.dates(&legal)?.into_iter().collect() };
    let dates = (0..).zip(names).filter_map(|(place, name)| Some((place, *found.get(name)?))).collect();
    Ok(Reply::Dated { id, dates })
}

fn bases(context: &Context, id: u64, names: &[String], iv_sets_only: bool) -> Result<Reply, Failure> {
    let askable = |name: &&str| is_askable(&context.config, name);
    let legal: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).filter(askable).collect();
    let mut found = if legal.is_empty() { HashMap::new() } else { context.host.bases(&legal, iv_sets_only)? };
    for facts in found.values_mut() {
        // A name outside of the helper's roots is nobody's business.
        facts.encryption_root = facts.encryption_root.take().filter(|root| context.config.tells_of(root));
    }
    let bases = (0..).zip(names).filter_map(|(place, name)| Some((place, found.get(name)?.clone()))).collect();
    Ok(Reply::Bases { id, bases })
}
