//! The sessions that a connection carries at a time: no more than sshd is known to permit (MaxSessions), which is learned where it
//! refuses one. Those that have ended a call well wait for the next one.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limits::Limits;
use super::session::Session;

/// How ssh ends when the session is lost, or was never had.
const SSH_FAILED: i32 = 255;
/// What ssh says of a session that the host does not grant over a connection which lives (mux.c in OpenSSH).
const REFUSED: &str = "Session open refused by peer";

/// Streams that one connection carries at a time: sshd permits 10 sessions by default (MaxSessions), and someone may have lowered that.
pub const STREAMS: usize = 8;
/// Calls beside them that end by themselves.
const CALLS: usize = 2;
/// So many sessions there are in all.
const MOST: usize = STREAMS + CALLS;

/// So long a session may take until the host has granted it.
const GRANTED_WITHIN: Duration = Duration::from_secs(10);
/// A refused session may have been too many only because another one had just ended: after so long one more is tried.
const AGAIN: Duration = Duration::from_secs(10);

/// A session that is refused is asked for so often where there is no other one: one that has just ended may still count.
const TRIES: u32 = 7;
/// After the first of them for so long, and after each further one for twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Told when a session was lost, or could not be opened.
#[derive(Clone)]
pub(super) struct Lost(pub(super) Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lost")
    }
}

/// What a session is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream.
    Stream,
    /// A stream before whose end something is asked.
    WatchedStream,
    /// A call that ends by itself.
    Call,
    /// To have one more.
    Spare,
}

impl Kind {
    /// Watched streams are streams, too.
    fn place(self) -> usize {
        match self {
            Self::Stream | Self::WatchedStream => 0,
            Self::Call => 1,
            Self::Spare => 2,
        }
    }
}

/// The sessions that a connection carries.
#[derive(Debug, Default)]
pub struct Turns {
    open: Mutex<Open>,
    freed: Condvar,
}

#[derive(Debug)]
struct Open {
    /// Streams, other calls, and what is opened to be there.
    running: [usize; 3],
    /// Streams before whose end something is asked.
    watched: usize,
    /// Those in which nothing runs.
    idle: Vec<Session>,
    /// Of all those the host has granted so many by now,
    begun: usize,
    /// and it has granted so many at the same time.
    granted: usize,
    /// So many there may be.
    most: usize,
    /// When one more was refused.
    refused: Option<Instant>,
    /// Those who have streams to carry, one each at a time.
    lanes: usize,
    /// The user has heard of the limit.
    told: bool,
    /// The connection is about to be closed.
    over: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            running: [0; 3],
            watched: 0,
            idle: Vec::new(),
            begun: 0,
            granted: 0,
            most: MOST,
            refused: None,
            lanes: 0,
            told: false,
            over: false,
        }
    }
}

impl Open {
    fn all(&self) -> usize {
        self.running.iter().sum::<usize>() + self.idle.len()
    }

    /// So many streams there may be. They leave room for a question where there is any.
    fn streams(&self) -> usize {
        self.most.saturating_sub(1).clamp(1, STREAMS)
    }

    /// Whether there is a session for one more of this kind, or room for one.
    fn has_room(&self, kind: Kind) -> bool {
        let most = match kind {
            Kind::Stream | Kind::WatchedStream => self.streams(),
            Kind::Call => CALLS,
            Kind::Spare => MOST,
        };
        self.running[kind.place()] < most && (!self.idle.is_empty() || self.all() < self.most)
    }

    /// Whether it would wait for a stream that waits for it.
    fn is_stuck(&self, kind: Kind) -> bool {
        self.most == 1 && (kind == Kind::WatchedStream || kind == Kind::Call && self.watched > 0)
    }

    /// Why nobody has got a turn.
    fn full(&self, kind: Kind) -> String {
        let all = self.all() - self.idle.len();
        let (which, open) = if all < self.most { (" of its kind", self.running[kind.place()]) } else { ("", all) };
        format!("as many sessions{which} are open over the connection as may be ({open}), and none has ended in time")
    }

    /// One more than these is too many.
    fn permits(&mut self, sessions: usize) {
        self.most = self.most.min(sessions.max(self.granted).max(1));
        self.refused = Some(Instant::now());
    }

    /// Whether one more may be granted than has been refused before.
    fn may_permit_more(&self) -> bool {
        self.most < MOST && self.refused.is_some_and(|at| at.elapsed() > AGAIN)
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams and other calls there are.
    #[cfg(test)]
    pub(crate) fn running(&self) -> [usize; 2] {
        let [streams, calls, _] = self.lock().running;
        [streams, calls]
    }

    /// How many sessions wait for a call.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    /// The connection is about to be closed: no session waits for a call any more.
    pub fn end(&self) {
        let idle = {
            let mut open = self.lock();
            open.over = true;
            open.begun -= open.idle.len();
            std::mem::take(&mut open.idle)
        };
        drop(idle);
    }

    /// Waits within these limits for a session that ended its last call well, or until another one may be opened.
    pub(super) fn take(self: &Arc<Self>, kind: Kind, lost: &Lost, limits: &Limits) -> io::Result<Turn> {
        let began = Instant::now();
        let mut open = self.lock();
        loop {
            if open.is_stuck(kind) {
                let words = "the host permits one session at a time over a connection, and a stream that replaces a dataset needs two: \
                             raise MaxSessions in its sshd_config to 2";
                return Err(io::Error::other(words));
            }
            if open.has_room(kind) {
                let Some(mut session) = open.idle.pop() else { return Ok(self.turn(open, kind, lost, None)) };
                if !session.has_ended() {
                    return Ok(self.turn(open, kind, lost, Some(session)));
                }
                // The other host has ended it meanwhile.
                open.begun -= 1;
                continue;
            }
            let Some(left) = limits.left(began) else {
                return Err(io::Error::new(io::ErrorKind::TimedOut, open.full(kind)));
            };
            open = self.freed.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes it.
    fn turn(
        self: &Arc<Self>,
        mut open: MutexGuard<'_, Open>,
        kind: Kind,
        lost: &Lost,
        session: Option<Session>,
    ) -> Turn {
        open.running[kind.place()] += 1;
        open.watched += usize::from(kind == Kind::WatchedStream);
        let begun = session.is_some();
        Turn { turns: Arc::clone(self), kind, begun, is_refused: false, lost: lost.clone(), session }
    }

    /// A place for somebody who carries one stream at a time; an error tells how many sessions the host permits, and whether that is
    /// news. Where there is one already, there must be a session for each, and one more for questions: `open` opens one, and tells
    /// whether the host has refused it. Blocking.
    pub(super) fn lane(self: &Arc<Self>, lost: &Lost, mut open: impl FnMut(Turn) -> Probed) -> Result<Lane, Few> {
        let mut all = self.lock();
        all.lanes += 1;
        let began = Instant::now();
        while all.lanes > 1 {
            let more = all.may_permit_more();
            let is_too_many = all.lanes > all.streams() && !more;
            if is_too_many && all.all() > all.begun && began.elapsed() < GRANTED_WITHIN {
                // Those that the host has neither granted nor refused yet tell how many there may be.
                all = self.freed.wait_timeout(all, GRANTED_WITHIN).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            if is_too_many {
                all.lanes -= 1;
                let is_news = !std::mem::replace(&mut all.told, true);
                // There may be enough for the others now.
                self.freed.notify_all();
                return Err(Few { sessions: all.most, streams: all.streams(), is_news });
            }
            if all.begun > all.lanes || began.elapsed() > GRANTED_WITHIN {
                break;
            }
            if all.all() <= all.lanes && (all.all() < all.most || more) {
                let turn = self.turn(all, Kind::Spare, lost, None);
                match open(turn) {
                    Probed::Granted(turn) => turn.keep(),
                    Probed::Refused(turn) => turn.one_too_many(),
                    // Of a connection that is gone nothing is learned.
                    Probed::Unknown => return Ok(Lane(Arc::clone(self))),
                }
                all = self.lock();
            } else {
                // Others are being opened.
                all = self.freed.wait_timeout(all, GRANTED_WITHIN).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        drop(all);
        Ok(Lane(Arc::clone(self)))
    }
}

/// What became of a session that was opened to be there.
pub(crate) enum Probed {
    /// It is there.
    Granted(Turn),
    /// The host has refused it.
    Refused(Turn),
    /// The connection may be lost.
    Unknown,
}

/// The host permits so few sessions that there is no place for one more stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Few {
    /// All that it permits.
    pub sessions: usize,
    /// So many streams at a time there are then.
    pub streams: usize,
    /// Nobody has been told before.
    pub is_news: bool,
}

/// The place of somebody who carries streams, until it is dropped.
#[derive(Debug)]
pub struct Lane(Arc<Turns>);

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.lock().lanes -= 1;
    }
}

/// A session that runs something, or is about to.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    kind: Kind,
    begun: bool,
    is_refused: bool,
    lost: Lost,
    session: Option<Session>,
}

impl Turn {
    /// Its session, which `open` opens where there was none.
    pub(super) fn session_or(&mut self, open: impl FnOnce() -> io::Result<Session>) -> io::Result<&mut Session> {
        if self.session.is_none() {
            self.session = Some(open()?);
        }
        self.session.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Its session.
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// The host has granted it.
    pub(crate) fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            let mut open = self.turns.lock();
            open.begun += 1;
            open.granted = open.granted.max(open.begun);
            // Another one has been refused meanwhile.
            open.most = open.most.max(open.granted);
            drop(open);
            self.turns.freed.notify_all();
        }
    }

    /// Whether the host has refused it, by these words of ssh.
    pub(crate) fn is_refused(&self, words: &str) -> bool {
        !self.begun && words.contains(REFUSED)
    }

    /// What ran in it has ended, and the next call may run in it.
    pub(crate) fn keep(mut self) {
        let mut open = self.turns.lock();
        let session = self.session.take().filter(|_| self.begun && !open.over);
        if session.is_some() {
            self.begun = false;
            open.idle.extend(session);
        }
        drop(open);
    }

    /// The session has ended like this. Neither `zfs` nor `zpool` ends with the status that ssh has for itself (ssh(1)).
    pub(crate) fn ended(self, status: ExitStatus) {
        if status.code() == Some(SSH_FAILED) {
            self.lose();
        }
    }

    /// What is asked over the connection would fail, one after the other.
    fn lose(self) {
        (self.lost.0)();
    }

    /// The host has refused it: there are no more than the others, until one more is tried.
    fn one_too_many(mut self) {
        self.is_refused = true;
    }

    /// The host has refused it, for the nth time: whether it is of use to ask again. There are no more than the others then; whoever
    /// asks again waits for a turn. Where there are no others, the host permits none, unless one has just ended.
    pub(crate) fn refused(self, tries: u32) -> bool {
        let (turns, lost) = (Arc::clone(&self.turns), self.lost.clone());
        self.one_too_many();
        let mut open = turns.lock();
        let others = open.all();
        if tries >= TRIES && others == 0 {
            drop(open);
            (lost.0)();
            return false;
        }
        if tries >= TRIES {
            // There were more at a time: it may be that some hang there, although they have ended here.
            open.granted = others;
            open.permits(others);
        }
        drop(open);
        std::thread::sleep(FIRST_PAUSE * 2_u32.pow(tries.min(TRIES).saturating_sub(1)));
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // It may take its time.
        drop(self.session.take());
        let mut open = self.turns.lock();
        open.running[self.kind.place()] -= 1;
        open.watched -= usize::from(self.kind == Kind::WatchedStream);
        open.begun -= usize::from(self.begun);
        if self.is_refused {
            // At once: whoever sees that this one is gone is to know how many there may be.
            let others = open.all();
            open.permits(others);
        }
        drop(open);
        self.turns.freed.notify_all();
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
