//! What is under way over a channel: questions, each with whoever waits for its answer, and streams that come in.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use helper::wire::{Reply, Request};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zfs::{Ended, Failure};

use super::asked::Asked;
use super::event::HelperError;

/// Numbers of calls start here: steps have the small ones.
pub const CALLS: u64 = 1 << 60;

/// The questions and streams of a channel, for all of its threads.
#[derive(Debug)]
pub(super) struct Open {
    asked: Mutex<Asked>,
    waiting: Mutex<Waiting>,
    next: AtomicU64,
    host: String,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: HashMap<u64, UnboundedSender<Reply>>,
    streams: HashMap<u64, Slot>,
    /// Why nothing comes any more.
    closed: Option<Gone>,
    /// When the last reply came.
    heard: Option<Instant>,
}

/// Why nothing comes any more.
#[derive(Debug)]
enum Gone {
    /// [`HelperError::Lost`], and all that can be the matter before the greeting.
    Lost(String),
    /// [`HelperError::Protocol`].
    Protocol(String),
}

/// A stream that comes in.
#[derive(Debug)]
struct Slot {
    pipe: Option<OwnedFd>,
    reports: mpsc::Sender<Report>,
    /// Its end mark has come.
    complete: bool,
}

/// What is told beside a stream that comes in.
#[derive(Debug)]
pub enum Report {
    /// It has been begun: what it waited for has ended.
    Begun,
    /// So many bytes are expected.
    Estimated(u64),
    /// It is over. All of it has come only if the second one says so.
    Ended(Ended, bool),
    /// It was refused.
    Refused(Failure),
}

/// A question whose answers are awaited.
#[derive(Debug)]
pub struct Call {
    replies: UnboundedReceiver<Reply>,
    open: Arc<Open>,
}

impl Call {
    /// The next part of the answer. Cancellation safe.
    pub async fn next(&mut self) -> Result<Reply, HelperError> {
        match self.replies.recv().await {
            Some(reply) => Ok(reply),
            None => Err(self.open.gone()),
        }
    }

    /// When the last reply came over its channel, to this question or to another.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.open.heard()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Open {
    pub fn new(host: &str) -> Arc<Self> {
        let (asked, waiting) = (Mutex::default(), Mutex::default());
        Arc::new(Self { asked, waiting, next: AtomicU64::new(CALLS), host: host.to_owned() })
    }

    /// Whose helper it is.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A number for a request.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes note of a request that is about to be sent.
    pub fn note(&self, request: &Request) {
        lock(&self.asked).note(request);
    }

    /// Whether an answer is to be passed on; an error tells how it breaks the protocol.
    pub fn take(&self, reply: &Reply) -> Result<bool, String> {
        lock(&self.asked).take(reply)
    }

    /// Waits for the answers to this request. Where nothing comes any more, the call says so.
    pub fn call(self: &Arc<Self>, id: u64) -> Call {
        let (tell, replies) = unbounded_channel();
        let mut waiting = lock(&self.waiting);
        if waiting.closed.is_none() {
            waiting.calls.insert(id, tell);
        }
        Call { replies, open: Arc::clone(self) }
    }

    /// Makes room for a stream: what its bytes are read from, and what is told beside it.
    pub fn stream(&self, id: u64) -> io::Result<(OwnedFd, mpsc::Receiver<Report>)> {
        let (output, pipe) = io::pipe()?;
        zfs::pipe::grow_pipe(&pipe);
        zfs::pipe::set_nonblocking(&pipe, true)?;
        let (reports, told) = mpsc::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.closed.is_none() {
            waiting.streams.insert(id, Slot { pipe: Some(pipe.into()), reports, complete: false });
        }
        Ok((output.into(), told))
    }

    /// Passes a reply to whoever waits for it; gives it back if nobody does.
    pub fn pass(&self, reply: Reply) -> Option<Reply> {
        let mut waiting = lock(&self.waiting);
        waiting.heard = Some(Instant::now());
        let id = reply.id();
        if let Some(slot) = waiting.streams.get(&id) {
            let (report, over) = match reply {
                Reply::Begin { .. } => (Report::Begun, false),
                Reply::Estimated { total, .. } => (Report::Estimated(total), false),
                Reply::Ended { ended, .. } => (Report::Ended(ended, slot.complete), true),
                Reply::Done { failure: Some(failure), .. } => (Report::Refused(failure), true),
                _ => return None,
            };
            // Nobody may want it any more.
            let _ = slot.reports.send(report);
            if over {
                waiting.streams.remove(&id);
            }
            return None;
        }
        let Some(call) = waiting.calls.get(&id) else { return Some(reply) };
        let over = !lock(&self.asked).is_open(id);
        let _ = call.send(reply);
        if over {
            waiting.calls.remove(&id);
        }
        None
    }

    /// Where the bytes of a stream go; `None` where nobody wants them.
    pub fn pipe(&self, id: u64) -> Option<OwnedFd> {
        lock(&self.waiting).streams.get_mut(&id)?.pipe.take()
    }

    /// Gives a pipe back that is still wanted.
    pub fn put_back(&self, id: u64, pipe: OwnedFd) {
        if let Some(slot) = lock(&self.waiting).streams.get_mut(&id) {
            slot.pipe = Some(pipe);
        }
    }

    /// The mark at the end of a stream has come.
    pub fn marked(&self, id: u64, complete: bool) {
        if let Some(slot) = lock(&self.waiting).streams.get_mut(&id) {
            (slot.pipe, slot.complete) = (None, complete);
        }
    }

    /// Nothing comes any more: whoever waits is told.
    pub fn close(&self, why: &HelperError) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = Some(match why {
            HelperError::Lost { reason, .. } => Gone::Lost(reason.clone()),
            HelperError::Protocol { what, .. } => Gone::Protocol(what.clone()),
            why => Gone::Lost(why.to_string()),
        });
        waiting.calls.clear();
        waiting.streams.clear();
    }

    /// Waits for nothing any more, though something may still come.
    pub fn give_up(&self, reason: &str) {
        self.close(&HelperError::Lost { host: self.host.clone(), reason: reason.to_owned() });
    }

    /// Whether nothing comes any more.
    pub fn is_closed(&self) -> bool {
        lock(&self.waiting).closed.is_some()
    }

    /// Why nothing comes any more.
    pub fn reason(&self) -> String {
        match self.gone() {
            HelperError::Lost { reason, .. } => reason,
            why => why.to_string(),
        }
    }

    /// When the last reply came.
    pub fn heard(&self) -> Option<Instant> {
        lock(&self.waiting).heard
    }

    fn gone(&self) -> HelperError {
        let host = self.host.clone();
        match &lock(&self.waiting).closed {
            Some(Gone::Protocol(what)) => HelperError::Protocol { host, what: what.clone() },
            Some(Gone::Lost(reason)) => HelperError::Lost { host, reason: reason.clone() },
            None => HelperError::Lost { host, reason: "the channel is closed".into() },
        }
    }
}
