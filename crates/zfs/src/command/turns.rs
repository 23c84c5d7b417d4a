//! How many sessions a connection carries at a time: no more than sshd is known to permit (MaxSessions), which is learned where it
//! refuses one.

use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::away::Lost;
use super::call::Limits;

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

/// So often it is counted how many there may be, if sessions end meanwhile.
const COUNTS: usize = 4;
/// So long a session may take until the host has granted it.
const GRANTED_WITHIN: Duration = Duration::from_secs(10);

/// A session that is refused is asked for so often: one that has just ended may still count.
const TRIES: u32 = 5;
/// After the first of them for so long, and after each further one for twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The sessions that a connection carries.
#[derive(Debug, Default)]
pub struct Turns {
    open: Mutex<Open>,
    freed: Condvar,
    /// Held by whoever finds out how many there may be; whether somebody has.
    tried: Mutex<bool>,
}

#[derive(Debug)]
struct Open {
    /// Streams, and other calls.
    running: [usize; 2],
    /// Of those the host has granted so many by now,
    begun: usize,
    /// and it has granted so many at the same time.
    granted: usize,
    /// So many there may be.
    most: usize,
    /// Those who have streams to carry, one each at a time.
    lanes: usize,
    /// The user has heard of the limit.
    told: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self { running: [0; 2], begun: 0, granted: 0, most: MOST, lanes: 0, told: false }
    }
}

impl Open {
    fn all(&self) -> usize {
        self.running.iter().sum()
    }

    /// So many streams there may be. They leave room for a question where there is any.
    fn streams(&self) -> usize {
        self.most.saturating_sub(1).clamp(1, STREAMS)
    }

    /// So many of this kind may be open, and in all.
    fn is_full(&self, kind: usize) -> bool {
        let most = if kind == 0 { self.streams() } else { CALLS };
        self.running[kind] >= most || self.all() >= self.most
    }

    /// Why nobody has got a turn.
    fn full(&self, kind: usize) -> String {
        let (which, open) =
            if self.all() < self.most { (" of its kind", self.running[kind]) } else { ("", self.all()) };
        format!("as many sessions{which} are open over the connection as may be ({open}), and none has ended in time")
    }

    /// One more than these is too many.
    fn permits(&mut self, sessions: usize) {
        self.most = self.most.min(sessions.max(self.granted).max(1));
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams and other calls there are.
    #[cfg(test)]
    pub(crate) fn running(&self) -> [usize; 2] {
        self.lock().running
    }

    pub(super) fn take(self: &Arc<Self>, stream: bool, lost: &Lost, limits: &Limits) -> io::Result<Turn> {
        let kind = usize::from(!stream);
        let began = Instant::now();
        let mut open = self.lock();
        while open.is_full(kind) {
            let Some(left) = limits.left(began) else {
                return Err(io::Error::new(io::ErrorKind::TimedOut, open.full(kind)));
            };
            open = self.freed.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        open.running[kind] += 1;
        Ok(Turn { turns: Arc::clone(self), kind, begun: false, lost: lost.clone() })
    }

    /// A place for somebody who carries one stream at a time; an error tells how many sessions the host permits, and whether that is
    /// news. Where there is one already, it is tried first how many there may be: `open` opens so many sessions at once, ends them, and tells
    /// how many of them there were. Nobody else opens any meanwhile. Blocking.
    pub fn lane(self: &Arc<Self>, open: impl FnMut(usize) -> usize) -> Result<Lane, Few> {
        {
            let mut all = self.lock();
            if all.lanes == 0 {
                all.lanes = 1;
                return Ok(Lane(Arc::clone(self)));
            }
        }
        {
            let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::replace(&mut *tried, true) {
                self.try_all(open);
            }
        }
        let mut all = self.lock();
        if all.lanes >= all.streams() {
            let is_news = !std::mem::replace(&mut all.told, true);
            return Err(Few { sessions: all.most, streams: all.streams(), is_news });
        }
        all.lanes += 1;
        Ok(Lane(Arc::clone(self)))
    }

    /// Nobody else gets a turn meanwhile.
    fn try_all(&self, mut open: impl FnMut(usize) -> usize) {
        let mut all = self.lock();
        let free = all.most.saturating_sub(all.all());
        all.running[0] += free;
        for _ in 0..COUNTS {
            // One that the host has not granted yet may be granted before these, or after them.
            let under_way = |all: &mut Open| all.all() - free > all.begun;
            all =
                self.freed.wait_timeout_while(all, GRANTED_WITHIN, under_way).unwrap_or_else(PoisonError::into_inner).0;
            let others = all.begun;
            drop(all);
            let granted = open(free).min(free);
            all = self.lock();
            all.granted = all.granted.max(granted);
            // Of a connection that is gone nothing is learned.
            if granted == free || granted + others == 0 {
                break;
            }
            // Unless one of the others has made room by its end.
            if others == all.begun {
                all.permits(others + granted);
                break;
            }
        }
        all.running[0] -= free;
        drop(all);
        self.freed.notify_all();
    }
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

/// A session that runs, or is about to.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    kind: usize,
    begun: bool,
    lost: Lost,
}

impl Turn {
    /// The host has granted it.
    pub(crate) fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            let mut open = self.turns.lock();
            open.begun += 1;
            open.granted = open.granted.max(open.begun);
            drop(open);
            self.turns.freed.notify_all();
        }
    }

    /// Whether the host has refused it, by these words of ssh.
    pub(crate) fn is_refused(&self, words: &str) -> bool {
        !self.begun && words.contains(REFUSED)
    }

    /// The session has ended like this. Neither `zfs` nor `zpool` ends with the status that ssh has for itself (ssh(1)); it is also
    /// that of a command which was killed.
    pub(crate) fn ended(self, status: ExitStatus) {
        if status.code() == Some(SSH_FAILED) {
            self.lose();
        }
    }

    /// What is asked over the connection would fail, one after the other.
    fn lose(self) {
        (self.lost.0)();
    }

    /// The host has refused it, for the nth time: whether it is of use to ask again. There are no more than the others then, as long as
    /// the connection lives; whoever asks again waits for a turn.
    pub(crate) fn refused(self, tries: u32) -> bool {
        if tries >= TRIES {
            self.lose();
            return false;
        }
        let turns = Arc::clone(&self.turns);
        drop(self);
        let mut open = turns.lock();
        let others = open.all();
        open.permits(others);
        drop(open);
        std::thread::sleep(FIRST_PAUSE * 2_u32.pow(tries.saturating_sub(1)));
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut open = self.turns.lock();
        open.running[self.kind] -= 1;
        open.begun -= usize::from(self.begun);
        drop(open);
        self.turns.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn nobody() -> Lost {
        Lost(Arc::new(|| {}))
    }

    /// Takes a turn for a session that the host grants.
    fn open(turns: &Arc<Turns>, stream: bool) -> Turn {
        let mut turn = turns.take(stream, &nobody(), &Limits::default()).unwrap();
        turn.begin();
        turn
    }

    /// No turn is free.
    #[track_caller]
    fn full(turns: &Arc<Turns>, stream: bool) -> String {
        let limits = Limits { silence: Some(Duration::ZERO), given_up: None };
        turns.take(stream, &nobody(), &limits).unwrap_err().to_string()
    }

    #[test]
    fn a_connection_carries_so_many_sessions() {
        let turns = Arc::new(Turns::default());
        let streams: Vec<Turn> = (0..STREAMS).map(|_| open(&turns, true)).collect();
        // Those of streams never hold up a question.
        drop(open(&turns, false));
        let waiting = thread::spawn({
            let turns = Arc::clone(&turns);
            move || drop(open(&turns, true))
        });
        drop(streams);
        waiting.join().unwrap();
        assert_eq!(turns.running(), [0, 0]);
    }

    #[test]
    fn a_refused_session_tells_how_many_there_may_be() {
        let turns = Arc::new(Turns::default());
        let (first, second) = (open(&turns, true), open(&turns, true));
        let third = turns.take(false, &nobody(), &Limits::default()).unwrap();
        assert!(third.is_refused("mux_client_request_session: session request failed: Session open refused by peer"));
        assert!(third.refused(1));
        assert_eq!(
            full(&turns, false),
            "as many sessions are open over the connection as may be (2), and none has ended in time"
        );
        // A question has the other one from now on.
        drop((first, second));
        let _stream = open(&turns, true);
        assert!(full(&turns, true).contains("of its kind are open over the connection as may be (1)"));
        drop(open(&turns, false));
    }

    /// sshd may count one that has just ended.
    #[test]
    fn as_many_as_there_were_may_be_again() {
        let turns = Arc::new(Turns::default());
        drop([open(&turns, true), open(&turns, true), open(&turns, false)]);
        let _first = open(&turns, true);
        assert!(turns.take(true, &nobody(), &Limits::default()).unwrap().refused(1));
        drop([open(&turns, true), open(&turns, false)]);
    }

    #[test]
    fn a_host_that_goes_on_refusing_is_given_up() {
        let (turns, lost) = (Arc::new(Turns::default()), Arc::new(Mutex::new(0)));
        let count = Arc::clone(&lost);
        let lost_one = Lost(Arc::new(move || *count.lock().unwrap() += 1));
        let tries = (1..).take_while(|tries| turns.take(false, &lost_one, &Limits::default()).unwrap().refused(*tries));
        assert_eq!(u32::try_from(tries.count()).unwrap(), TRIES - 1);
        assert_eq!((*lost.lock().unwrap(), turns.running()), (1, [0, 0]));
    }

    #[test]
    fn lanes_are_as_many_as_there_may_be_streams() {
        for (permitted, lanes) in [(1, 1), (2, 1), (3, 2), (9, 8), (10, 8)] {
            let turns = Arc::new(Turns::default());
            let _question = open(&turns, false);
            let places: Vec<_> = (0..9).map(|_| turns.lane(|wanted| wanted.min(permitted - 1))).collect();
            assert_eq!(places.iter().flatten().count(), lanes, "{permitted}");
            let few = |is_news| Few { sessions: permitted, streams: lanes, is_news };
            let refused: Vec<Few> = places.iter().filter_map(|place| place.as_ref().err()).copied().collect();
            assert_eq!((refused[0], *refused.last().unwrap()), (few(true), few(lanes == 8)), "{permitted}");
            drop(places);
            // Not tried again.
            let again: Vec<_> = (0..9).map(|_| turns.lane(|_| unreachable!())).collect();
            assert_eq!(again.iter().flatten().count(), lanes);
        }
    }

    /// One that has not begun yet, or ends meanwhile, may be among those that the host grants, or not.
    #[test]
    fn others_are_counted_as_they_are() {
        let turns = Arc::new(Turns::default());
        let mut question = turns.take(false, &nobody(), &Limits::default()).unwrap();
        let (stream, _first) = (open(&turns, true), turns.lane(|_| unreachable!()).unwrap());
        let beginning = thread::spawn(move || {
            question.begin();
            question
        });
        let (mut stream, mut tried) = (Some(stream), Vec::new());
        let second = turns.lane(|wanted| {
            let others = turns.lock().begun;
            tried.push((wanted, others));
            // Four are permitted, and it ends behind them.
            drop(stream.take());
            4 - others
        });
        assert!(second.is_ok());
        assert_eq!((tried, turns.lock().most), (vec![(8, 2), (8, 1)], 4));
        drop(beginning.join().unwrap());
        assert_eq!(turns.running(), [0, 0]);
    }

    #[test]
    fn a_lane_alone_tries_nothing_and_a_lost_connection_tells_nothing() {
        let turns = Arc::new(Turns::default());
        let _first = turns.lane(|_| unreachable!()).unwrap();
        let second = turns.lane(|wanted| {
            assert_eq!(wanted, MOST);
            assert!(full(&turns, false).contains("as may be (10)"));
            0
        });
        assert!(second.is_ok());
        assert_eq!(turns.lock().most, MOST);
    }
}
