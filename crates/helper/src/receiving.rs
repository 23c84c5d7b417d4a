//! The life of one `zfs recv`: fed by the session, watched by a thread of its own that tells how it ended.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::context::{Context, done};
use super::deeds::Deed;
use super::replies::{LOOK, Replies};
use crate::wire::Reply;
use zfs::host::Process;
use zfs::record::Features;
use zfs::{Failure, MAX_WORDS, Receive, Refusal, permission};

/// A stream may settle while the next one runs, not more.
const AT_ONCE: usize = 2;
/// So long a receive whose stream was cut may take to store what it has, before it is asked to end.
const GRACE: Duration = Duration::from_secs(2);
/// So long a complete one may settle although the sender is gone.
const SETTLE: Duration = Duration::from_secs(30);
/// So long after being asked it is ended by force.
const FORCE: Duration = Duration::from_secs(10);

/// How often is told that a receive is at work.
const BEAT: Duration = Duration::from_secs(5);

/// How the sender ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With `End`.
    Complete,
    /// With `Abort`, or it vanished.
    Broken,
}

/// Whether the sender is told how a receive has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// As soon as that is known.
    Now,
    /// At once if it has failed, else when it turns out to be the last one of its stream.
    Later,
    /// Not at all, or no more: that is done, or its failure is another one's.
    Never,
}

/// How a receive has ended: why it failed, and what was odd.
type Outcome = (Option<Failure>, Option<String>);

struct State {
    ending: Option<Ending>,
    /// The process is gone.
    exited: bool,
    /// Someone already sees to its end.
    ended_by: bool,
    told: Told,
    /// A failure that is known beforehand, whatever `zfs recv` makes of its input.
    failure: Option<Failure>,
    /// What it is if `zfs recv` finds nothing wrong.
    lost: Option<Failure>,
    /// What is still to be told.
    outcome: Option<Outcome>,
    /// All is known, and what has to be said at once is said.
    settled: bool,
}

/// A `zfs recv` that runs, or has not been reported yet.
pub(super) struct Receiving {
    id: u64,
    /// Bytes that it has taken.
    taken: AtomicU64,
    /// What its stream needs, as far as that has been read.
    needs: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    process: Arc<dyn Process>,
    replies: Arc<Replies>,
}

impl Receiving {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has taken so many bytes more.
    pub(super) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Its stream needs these features.
    pub(super) fn needs(&self, features: Features) {
        self.needs.fetch_or(features.bits(), Ordering::Relaxed);
    }

    /// What changes as long as it works.
    fn work(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.process.cpu_time())
    }

    /// The stream is over; its stdin is closed by now, or was given back if it has all of the stream.
    pub(super) fn finish(self: &Arc<Self>, ending: Ending) {
        let first = self.lock().ending.replace(ending).is_none();
        self.changed.notify_all();
        if first && ending == Ending::Broken {
            self.end_after(GRACE);
        }
    }

    /// The sender is gone.
    fn abandon(self: &Arc<Self>) {
        let ending = *self.lock().ending.get_or_insert(Ending::Broken);
        self.changed.notify_all();
        self.end_after(if ending == Ending::Complete { SETTLE } else { GRACE });
    }

    /// Sees to it, on a thread, that the process ends.
    fn end_after(self: &Arc<Self>, grace: Duration) {
        if std::mem::replace(&mut self.lock().ended_by, true) {
            return;
        }
        let own = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("end".into()).spawn(move || {
            for (patience, force) in [(grace, false), (FORCE, true)] {
                if own.wait(patience, |state| state.exited) {
                    return;
                }
                own.process.end(force);
            }
        });
        if spawned.is_err() {
            self.process.end(false);
        }
    }

    /// It is the last one of its stream: the sender is told its end, or the failure that is known already.
    pub(super) fn tell(&self, failure: Option<Failure>) {
        let mut state = self.lock();
        if state.told == Told::Never {
            return;
        }
        state.failure = failure.or(state.failure.take());
        if let Some(outcome) = state.outcome.take() {
            state.told = Told::Never;
            let (known, lost) = (state.failure.take(), state.lost.take());
            drop(state);
            self.reply(known, lost, outcome);
        } else {
            state.told = Told::Now;
        }
    }

    /// The same where it ended before its stream did: that is a failure even if it has none to tell.
    pub(super) fn tell_lost(&self, lost: Failure) {
        self.lock().lost = Some(lost);
        self.tell(None);
    }

    /// Whatever becomes of it, the sender isn't told.
    pub(super) fn withdraw(&self) {
        self.lock().told = Told::Never;
    }

    /// Waits until it is through while `go_on` says so; whether it went well.
    pub(super) fn succeeds(&self, go_on: impl Fn() -> bool) -> bool {
        while !self.wait(LOOK, |state| state.settled) {
            if !go_on() {
                return false;
            }
        }
        matches!(self.lock().outcome, Some((None, _)))
    }

    /// Its process is gone, and this came of it.
    fn settle(&self, outcome: Outcome) {
        let mut state = self.lock();
        let now = match state.told {
            Told::Now => true,
            Told::Later => outcome.0.is_some(),
            Told::Never => false,
        };
        if now {
            state.told = Told::Never;
            let (known, lost) = (state.failure.take(), state.lost.take());
            drop(state);
            self.reply(known, lost, outcome);
            state = self.lock();
        } else {
            state.outcome = Some(outcome);
        }
        state.settled = true;
        drop(state);
        self.changed.notify_all();
    }

    fn reply(&self, known: Option<Failure>, lost: Option<Failure>, (failure, warning): Outcome) {
        let failure = known.or(failure).or(lost);
        let warning = warning.filter(|_| failure.is_none());
        self.replies.done_with(self.id, failure, warning);
    }

    fn is_broken(&self) -> bool {
        self.lock().ending == Some(Ending::Broken)
    }

    fn wait(&self, most: Duration, until: impl Fn(&State) -> bool) -> bool {
        let started = Instant::now();
        let mut state = self.lock();
        while !until(&state) {
            let Some(left) = most.checked_sub(started.elapsed()) else { return false };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for the process, and for the stream's end where that matters; returns what was wrong.
    fn outcome(&self, words: &str) -> Option<Failure> {
        let exit = self.process.wait();
        self.lock().exited = true;
        self.changed.notify_all();
        let Err(how) = exit else {
            // It has seen the end of the last snapshot, which can be before `End` comes; and an aborted stream failed
            // whatever it made of it.
            while !self.wait(Duration::from_secs(3600), |state| state.ending.is_some()) {}
            let broken = self.lock().ending == Some(Ending::Broken);
            return broken.then(|| Failure::new(Refusal::Stream, "the stream was aborted"));
        };
        let refusal = match Refusal::from_words(words) {
            // Ended by us, or it just read the early end of its input.
            Refusal::Other | Refusal::Killed if self.is_broken() => Refusal::Stream,
            // The words may be those of the shell that has started it on another machine.
            Refusal::Other if how.killed => Refusal::Killed,
            refusal => refusal,
        };
        let ended = || zfs::text::ended("zfs receive", &how);
        let words = match words.trim() {
            "" => ended(),
            words if refusal == Refusal::Killed => format!("{}: {words}", ended()),
            words => words.to_owned(),
        };
        Some(Failure::new(refusal, &words))
    }
}

/// Keeps the start of what `zfs recv` says, and reads all of it, so that it never blocks.
fn read_words(input: &mut impl Read) -> String {
    let mut kept = Vec::new();
    // What can't be read is not said.
    let _ = input.by_ref().take(MAX_WORDS as u64).read_to_end(&mut kept);
    let _ = io::copy(input, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// Tells the sender now and then which receives are at work. One that is stuck gets no beat, however well its helper is.
pub(super) struct Beats {
    /// Its end stops the thread.
    _stop: mpsc::Sender<()>,
}

impl Beats {
    /// Starts to tell, until it is dropped.
    pub(super) fn start(receives: &Arc<Receives>, replies: &Arc<Replies>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (receives, replies) = (Arc::clone(receives), Arc::clone(replies));
        let told = move || {
            let mut seen: HashMap<u64, (u64, u64)> = HashMap::new();
            while stopped.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let mut now: HashMap<u64, (u64, u64)> = HashMap::new();
                for one in receives.lock().iter() {
                    // A package's stream may settle while the next one begins.
                    let (sum, work) = (now.entry(one.id).or_default(), one.work());
                    *sum = (sum.0 + work.0, sum.1 + work.1);
                }
                for (id, _) in now.iter().filter(|(id, work)| seen.get(id) != Some(*work)) {
                    // Nobody may be listening any more.
                    let _ = replies.send(&Reply::Beat { id: *id });
                }
                seen = now;
            }
        };
        // Without it a receive that takes long to settle may be taken for stuck.
        let _ = std::thread::Builder::new().name("beats".into()).spawn(told);
        Self { _stop: stop }
    }
}

/// All receives of a helper that are not through.
#[derive(Default)]
pub(super) struct Receives {
    alive: Mutex<Vec<Arc<Receiving>>>,
    gone: Condvar,
}

impl Receives {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Receiving>>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until another receive may begin; `false` if nobody reads answers any more.
    pub(super) fn wait_for_room(&self, replies: &Replies) -> bool {
        let mut alive = self.lock();
        while alive.len() >= AT_ONCE {
            if replies.is_broken() {
                return false;
            }
            alive = self.gone.wait_timeout(alive, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Watches a started receive, whose end is told to the sender, now or later.
    pub(super) fn watch(
        self: &Arc<Self>,
        context: &Context,
        id: u64,
        receive: Receive,
        told: Told,
        process: Arc<dyn Process>,
        mut words: Box<dyn Read + Send>,
    ) -> Result<Arc<Receiving>, Failure> {
        let receiving = Arc::new(Receiving {
            id,
            taken: AtomicU64::new(0),
            needs: AtomicU64::new(0),
            state: Mutex::new(State {
                ending: None,
                exited: false,
                ended_by: false,
                told,
                failure: None,
                lost: None,
                outcome: None,
                settled: false,
            }),
            changed: Condvar::new(),
            process,
            replies: Arc::clone(&context.replies),
        });
        self.lock().push(Arc::clone(&receiving));
        let (all, own, context) = (Arc::clone(self), Arc::clone(&receiving), context.clone());
        let spawned = std::thread::Builder::new().name("receive".into()).spawn(move || {
            let words = read_words(&mut words);
            // What is to be created needs the right above.
            let place = receive.dataset.parent().filter(|_| receive.create).unwrap_or_else(|| receive.dataset.clone());
            let failure = own.outcome(&words).map(|why| {
                let needs = Features::from_bits(own.needs.load(Ordering::Relaxed));
                context.name_features(context.explain(why, permission::RECEIVE, &place), &receive, needs)
            });
            if failure.is_none() && receive.into_empty {
                context.host.filled(&receive.dataset, receive.mountable);
            }
            if let Some(deed) = Deed::of_receive(&receive).filter(|_| failure.is_none()) {
                context.replies.log(&deed.lines(&done(0, None)));
            }
            let words = words.trim();
            // With exit code 0 too: properties that couldn't be set (OpenZFS 2.3.9, tried).
            let warning = (failure.is_none() && !words.is_empty()).then(|| {
                let failure = Failure::new(Refusal::from_words(words), words);
                context.explain(failure, permission::RECEIVE, &place).words
            });
            own.settle((failure, warning));
            all.forget(&own);
        });
        match spawned {
            Ok(_) => Ok(receiving),
            Err(error) => {
                receiving.process.end(true);
                let _ = receiving.process.wait();
                self.forget(&receiving);
                Err(Failure::new(Refusal::Other, &format!("can't start a thread: {error}")))
            }
        }
    }

    fn forget(&self, receiving: &Arc<Receiving>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, receiving));
        self.gone.notify_all();
    }

    /// The sender is gone: ends all that still run, and waits for them. Something that even force doesn't end (a pool
    /// that hangs) is left behind.
    pub(super) fn abandon(&self) {
        let started = Instant::now();
        let mut alive = self.lock();
        alive.iter().for_each(Receiving::abandon);
        while !alive.is_empty() && started.elapsed() < SETTLE + FORCE + GRACE {
            alive = self.gone.wait_timeout(alive, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
