//! Streams that leave this host: one after the other, in data frames between which answers go. Each can be given up by the other side.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::context::Context;
use super::guard;
use super::replies::Replies;
use crate::pace::Pace;
use crate::pump::{self, Paced, PumpError, Sent};
use crate::wire::{FrameKind, Reply};
use zfs::host::Outgoing;
use zfs::{Ended, Estimate, Failure, Refusal, StreamSpec, permission};

/// The streams of a session.
#[derive(Default)]
pub(super) struct Streams {
    /// Those that were asked for and are not over.
    open: Mutex<HashMap<u64, Arc<AtomicBool>>>,
    /// Told when one is over.
    over: Condvar,
    turn: Mutex<()>,
}

impl Streams {
    /// Gives a stream, on a thread of its own. Its number is that of no other that is open.
    pub(super) fn start(
        self: &Arc<Self>,
        context: &Context,
        id: u64,
        stream: StreamSpec,
        per_second: Option<NonZeroU64>,
    ) {
        let given_up = Arc::new(AtomicBool::new(false));
        lock(&self.open).insert(id, Arc::clone(&given_up));
        let (streams, own) = (Arc::clone(self), context.clone());
        let spawned = thread::Builder::new().name("stream".into()).spawn(move || {
            streams.give(&own, id, &stream, per_second, &given_up);
            streams.forget(id);
        });
        if let Err(error) = spawned {
            self.forget(id);
            context.replies.done(id, Some(Failure::new(Refusal::Other, &format!("can't start a thread: {error}"))));
        }
    }

    /// How many were asked for and are not over.
    pub(super) fn len(&self) -> usize {
        lock(&self.open).len()
    }

    /// Whether this one was asked for and is not over.
    pub(super) fn has(&self, id: u64) -> bool {
        lock(&self.open).contains_key(&id)
    }

    fn forget(&self, id: u64) {
        lock(&self.open).remove(&id);
        self.over.notify_all();
    }

    /// Waits until all are over, and their processes with them, but not longer than this.
    pub(super) fn wait(&self, most: Duration) {
        let started = Instant::now();
        let mut open = lock(&self.open);
        while let Some(left) = most.checked_sub(started.elapsed()).filter(|_| !open.is_empty()) {
            open = self.over.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nobody wants this one any more.
    pub(super) fn cancel(&self, id: u64) {
        if let Some(given_up) = lock(&self.open).get(&id) {
            given_up.store(true, Ordering::Relaxed);
        }
    }

    /// Nobody is there any more.
    pub(super) fn cancel_all(&self) {
        lock(&self.open).values().for_each(|given_up| given_up.store(true, Ordering::Relaxed));
    }

    fn give(
        &self,
        context: &Context,
        id: u64,
        stream: &StreamSpec,
        per_second: Option<NonZeroU64>,
        given_up: &AtomicBool,
    ) {
        let _turn = lock(&self.turn);
        let replies = &context.replies;
        if given_up.load(Ordering::Relaxed) {
            return replies.done(id, Some(Failure::new(Refusal::Other, "stopped")));
        }
        let started = guard::stream(context, stream).and_then(|stream| context.host.stream(&stream));
        let outgoing = match started {
            Ok(outgoing) => outgoing,
            Err(why) => return replies.done(id, Some(context.explain(why, permission::SEND, stream.dataset()))),
        };
        // What stands before it may be the rest of another stream, and that before its end its own: both are read as they are taken.
        replies.carries(true);
        let _ = replies.send(&Reply::Begin { id });
        let mut ended = carry(outgoing, id, replies, per_second.map(Pace::new).as_ref(), given_up);
        if ended.status.is_some() {
            ended.words = permission::with_grant_to_send(&ended.words, &context.user, stream.dataset());
        }
        let _ = replies.send(&Reply::Ended { id, ended });
        replies.carries(false);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves the stream to its end, whichever. The mark tells whether all of what the process gave has been carried; how the process
/// ended is told behind it.
fn carry(outgoing: Outgoing, id: u64, replies: &Arc<Replies>, pace: Option<&Pace>, given_up: &AtomicBool) -> Ended {
    let Outgoing { output, words, process } = outgoing;
    let told = Arc::clone(replies);
    let words = thread::Builder::new().spawn(move || {
        // An estimate that can't be told is no matter.
        read_report(words, |total| _ = told.send(&Reply::Estimated { id, total }))
    });
    // Whoever asked for it sees no more of it than its bytes.
    let held = AtomicBool::new(false);
    let paced = pace.map(|pace| Paced { pace, held: &held });
    let moved = pump::send_in_turns(&output, replies.output(), given_up, paced, || replies.turn());
    // With its pipe closed whatever else writes there ends, too.
    drop(output);
    let failure = match moved {
        Ok(Sent::Eof) => None,
        Ok(Sent::Aborted) => Some("stopped".to_owned()),
        Err(PumpError::Input(error)) => Some(format!("reading the stream: {error}")),
        Err(PumpError::Output(error)) => {
            // Half a frame may be out.
            replies.give_up();
            Some(format!("writing the stream: {error}"))
        }
    };
    if failure.is_some() {
        process.end(true);
    }
    let died = process.wait().err();
    let words = words.ok().and_then(|words| words.join().ok()).unwrap_or_default();
    let mark = if failure.is_none() { FrameKind::End } else { FrameKind::Abort };
    replies.mark(mark);
    match (failure, died) {
        (Some(failure), _) => Ended { words: failure, status: Some("stopped".into()), killed: false },
        (None, Some(died)) => Ended { killed: died.is_killed(&words), words, status: Some(died.status) },
        (None, None) => Ended { words, ..Ended::default() },
    }
}

/// Reads what is said beside a stream (`zfs send -vP`): its estimate goes to `told`, its complaints are returned.
pub fn read_report(words: impl Read, mut told: impl FnMut(u64)) -> String {
    let mut estimate = Estimate::default();
    for line in BufReader::new(words).split(b'\n').map_while(Result::ok) {
        if let Some(total) = estimate.add(&String::from_utf8_lossy(&line)) {
            told(total);
        }
    }
    estimate.words().trim().to_owned()
}
