//! How many sessions there are, and who has them.

use std::process::Command;
use std::thread;

use super::*;

fn nobody() -> Lost {
    Lost(Arc::new(|| {}))
}

/// A session that does nothing.
fn session() -> Session {
    let mut command = Command::new("sleep");
    command.arg("1000");
    Session::open(command).unwrap()
}

/// Takes a turn for a session that the host grants.
fn open(turns: &Arc<Turns>, kind: Kind) -> Turn {
    let mut turn = turns.take(kind, &nobody(), &Limits::default()).unwrap();
    turn.session_or(|| Ok(session())).unwrap();
    turn.begin();
    turn
}

/// No turn is free.
#[track_caller]
fn full(turns: &Arc<Turns>, kind: Kind) -> String {
    let limits = Limits { silence: Some(Duration::ZERO), given_up: None };
    turns.take(kind, &nobody(), &limits).unwrap_err().to_string()
}

impl Turns {
    fn begun(&self) -> usize {
        self.lock().begun
    }
}

/// The process of a turn's session.
fn process(turn: &mut Turn) -> u32 {
    turn.session().unwrap().child().id()
}

#[test]
fn a_connection_carries_so_many_sessions() {
    let turns = Arc::new(Turns::default());
    let streams: Vec<Turn> = (0..STREAMS).map(|_| open(&turns, Kind::Stream)).collect();
    // Those of streams never hold up a question.
    drop(open(&turns, Kind::Call));
    let waiting = thread::spawn({
        let turns = Arc::clone(&turns);
        move || drop(open(&turns, Kind::Stream))
    });
    drop(streams);
    waiting.join().unwrap();
    assert_eq!(turns.running(), [0, 0]);
}

#[test]
fn one_call_follows_the_other_in_a_session() {
    let turns = Arc::new(Turns::default());
    let mut first = open(&turns, Kind::Call);
    let id = process(&mut first);
    first.keep();
    assert_eq!((turns.running(), turns.idle()), ([0, 0], 1));
    // Whatever the next one is.
    let mut second = open(&turns, Kind::Stream);
    assert_eq!((process(&mut second), turns.idle()), (id, 0));
    let mut third = open(&turns, Kind::Stream);
    assert_ne!(process(&mut third), id);
    third.keep();
    second.keep();
    // One that has ended meanwhile is none.
    let mut ended = open(&turns, Kind::Call);
    let id = process(&mut ended);
    ended.session().unwrap().child().kill().unwrap();
    ended.session().unwrap().child().wait().unwrap();
    ended.keep();
    let mut other = open(&turns, Kind::Call);
    assert_ne!(process(&mut other), id);
    other.keep();
    assert_eq!((turns.begun(), turns.idle()), (1, 1));
    turns.end();
    open(&turns, Kind::Call).keep();
    assert_eq!((turns.begun(), turns.idle(), turns.running()), (0, 0, [0, 0]));
}

#[test]
fn where_one_session_is_permitted_streams_and_questions_have_it_in_turn() {
    let turns = Arc::new(Turns::default());
    open(&turns, Kind::Call).keep();
    turns.lock().permits(1);
    let stream = open(&turns, Kind::Stream);
    assert!(full(&turns, Kind::Call).contains("as may be (1)"));
    stream.keep();
    let question = open(&turns, Kind::Call);
    assert!(full(&turns, Kind::Stream).contains("as may be (1)"));
    question.keep();
    assert_eq!((turns.idle(), turns.lock().all()), (1, 1));
    // Nobody waits for the end of a stream that waits for an answer.
    assert!(full(&turns, Kind::WatchedStream).contains("needs two"));
}

#[test]
fn a_question_before_the_end_of_a_stream_waits_not_for_it() {
    let turns = Arc::new(Turns::default());
    let stream = open(&turns, Kind::WatchedStream);
    assert!(turns.take(Kind::Call, &nobody(), &Limits::default()).unwrap().refused(1));
    assert!(full(&turns, Kind::Call).contains("MaxSessions"));
    drop(stream);
    drop(open(&turns, Kind::Call));
}

#[test]
fn a_refused_session_tells_how_many_there_may_be() {
    let turns = Arc::new(Turns::default());
    let (first, second) = (open(&turns, Kind::Stream), open(&turns, Kind::Stream));
    let third = turns.take(Kind::Call, &nobody(), &Limits::default()).unwrap();
    assert!(third.is_refused("mux_client_request_session: session request failed: Session open refused by peer"));
    assert!(third.refused(1));
    assert_eq!(
        full(&turns, Kind::Call),
        "as many sessions are open over the connection as may be (2), and none has ended in time"
    );
    // A question has the other one from now on.
    drop((first, second));
    let _stream = open(&turns, Kind::Stream);
    assert!(full(&turns, Kind::Stream).contains("of its kind are open over the connection as may be (1)"));
    drop(open(&turns, Kind::Call));
}

/// sshd may count one that has just ended.
#[test]
fn as_many_as_there_were_may_be_again() {
    let turns = Arc::new(Turns::default());
    drop([open(&turns, Kind::Stream), open(&turns, Kind::Stream), open(&turns, Kind::Call)]);
    let _first = open(&turns, Kind::Stream);
    assert!(turns.take(Kind::Stream, &nobody(), &Limits::default()).unwrap().refused(1));
    drop([open(&turns, Kind::Stream), open(&turns, Kind::Call)]);
}

#[test]
fn a_host_that_goes_on_refusing_is_given_up() {
    let (turns, lost) = (Arc::new(Turns::default()), Arc::new(Mutex::new(0)));
    let count = Arc::clone(&lost);
    let lost_one = Lost(Arc::new(move || *count.lock().unwrap() += 1));
    let take = || turns.take(Kind::Call, &lost_one, &Limits::default()).unwrap();
    // Not as long as there is another one, for whose end can be waited.
    let other = open(&turns, Kind::Stream);
    turns.lock().granted = 5;
    let waits = TRIES + 1;
    assert!(take().refused(waits));
    assert!(full(&turns, Kind::Call).contains("as may be (1)"));
    drop(other);
    let tries = (1..).take_while(|tries| take().refused(*tries));
    assert_eq!(u32::try_from(tries.count()).unwrap(), TRIES - 1);
    assert_eq!((*lost.lock().unwrap(), turns.running()), (1, [0, 0]));
}

/// A host that permits so many sessions.
fn probe(permitted: usize) -> impl FnMut(Turn) -> Probed {
    move |mut turn| {
        if turn.turns.begun() >= permitted {
            return Probed::Refused(turn);
        }
        turn.session_or(|| Ok(session())).unwrap();
        turn.begin();
        Probed::Granted(turn)
    }
}

#[test]
fn lanes_are_as_many_as_there_may_be_streams() {
    for (permitted, lanes) in [(1, 1), (2, 1), (3, 2), (9, 8), (10, 8)] {
        let turns = Arc::new(Turns::default());
        open(&turns, Kind::Call).keep();
        let places: Vec<_> = (0..9).map(|_| turns.lane(&nobody(), probe(permitted))).collect();
        assert_eq!(places.iter().flatten().count(), lanes, "{permitted}");
        // One for each, and one for questions.
        assert_eq!(turns.idle(), if lanes == 1 { permitted } else { lanes + 1 });
        // Of nine lanes the ninth has no place anyhow.
        let sessions = if lanes == 8 { 10 } else { permitted };
        let few = |is_news| Few { sessions, streams: lanes, is_news };
        let refused: Vec<Few> = places.iter().filter_map(|place| place.as_ref().err()).copied().collect();
        assert_eq!((refused[0], *refused.last().unwrap()), (few(true), few(lanes == 8)), "{permitted}");
        drop(places);
        // Not tried again.
        let again: Vec<_> = (0..9).map(|_| turns.lane(&nobody(), |_| unreachable!())).collect();
        assert_eq!(again.iter().flatten().count(), lanes);
        // Until later: a session that was about to end may have counted.
        if lanes < 8 {
            drop(again);
            turns.lock().refused = Instant::now().checked_sub(AGAIN * 2);
            let more: Vec<_> = (0..3).map(|_| turns.lane(&nobody(), probe(10))).collect();
            assert_eq!(more.iter().flatten().count(), 3);
        }
    }
}

#[test]
fn lanes_that_are_opened_side_by_side_know_of_each_other() {
    let turns = Arc::new(Turns::default());
    open(&turns, Kind::Call).keep();
    let left = Mutex::new(3);
    let granted = |turn| {
        let mut left = left.lock().unwrap();
        let one = *left > 0;
        *left -= usize::from(one);
        probe(if one { MOST } else { 0 })(turn)
    };
    let lane = || turns.lane(&nobody(), granted);
    let places: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..8).map(|_| scope.spawn(lane)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(places.iter().flatten().count(), 3);
    // Nobody hears of more than these.
    assert!(places.iter().filter_map(|place| place.as_ref().err()).all(|few| few.sessions == 4), "{places:?}");
    assert_eq!((turns.idle(), turns.running()), (4, [0, 0]));
}

/// A session that somebody else has asked for may be one too many as well: it is not counted as permitted.
#[test]
fn a_lane_waits_for_what_the_host_says_of_other_sessions() {
    for is_granted in [true, false] {
        let turns = Arc::new(Turns::default());
        open(&turns, Kind::Call).keep();
        let first = open(&turns, Kind::Stream);
        let mut asked = turns.take(Kind::Stream, &nobody(), &Limits::default()).unwrap();
        let _lane = turns.lane(&nobody(), |_| unreachable!()).unwrap();
        let lane = thread::spawn({
            let turns = Arc::clone(&turns);
            move || turns.lane(&nobody(), Probed::Refused).err()
        });
        while turns.lock().most > 2 {
            thread::yield_now();
        }
        if is_granted {
            asked.session_or(|| Ok(session())).unwrap();
            asked.begin();
        } else {
            assert!(asked.refused(1));
        }
        let sessions = if is_granted { 2 } else { 1 };
        assert_eq!(lane.join().unwrap(), Some(Few { sessions, streams: 1, is_news: true }));
        drop(first);
    }
}

#[test]
fn a_lane_alone_opens_nothing_and_a_lost_connection_tells_nothing() {
    let turns = Arc::new(Turns::default());
    let _first = turns.lane(&nobody(), |_| unreachable!()).unwrap();
    let second = turns.lane(&nobody(), |_| Probed::Unknown);
    assert!(second.is_ok());
    let open = turns.lock();
    assert_eq!((open.most, open.all()), (MOST, 0));
}
