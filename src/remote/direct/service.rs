//! The end on the source's host: one order comes in on stdin, what comes of it goes out on stdout. As long as stdin is open, and something
//! comes now and then, somebody wants the push; else it ends as by SIGTERM.

use std::io::{self, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use helper::wire::PING;
use rustix::process::Signal;
use tokio::sync::oneshot;

use super::{Ask, GREETING, MAX_ORDER, MAX_TOLD, Order, PROTOCOL, SILENCE, Stop, Version, line, read_line};
use crate::remote::greeting::Timed;

/// A push that has been told to end, and goes on for so long, is told to end at once.
const IN_GOOD_ORDER: Duration = Duration::from_secs(30);
/// At the end a reader that takes nothing is waited for so long.
const LAST: Duration = Duration::from_secs(30);
/// With so many lines waiting for a slow reader, those that can be left out are.
const BEHIND: usize = 1000;

/// The service at work.
pub struct Service {
    order: oneshot::Receiver<Result<Order, String>>,
    speaker: Speaker,
    written: Receiver<()>,
    /// Nothing comes on stdin any more.
    left: Receiver<()>,
    over: Arc<AtomicBool>,
}

/// A way to the host that has given the order.
#[derive(Clone)]
pub struct Speaker {
    lines: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Service {
    /// Greets, and listens.
    pub fn start(stdin: OwnedFd, stdout: OwnedFd) -> io::Result<Self> {
        let ((lines, todo), (done, written), (give, order)) = (channel(), channel(), oneshot::channel());
        let waiting = Arc::new(AtomicUsize::new(0));
        let speaker = Speaker { lines, waiting: Arc::clone(&waiting) };
        let version = serde_json::to_string(&Version { version: env!("CARGO_PKG_VERSION").into() })?;
        speaker.put(format!("{GREETING}/{PROTOCOL} {version}\n").into_bytes());
        thread::Builder::new().name("direct-out".into()).spawn(move || {
            write(stdout, &todo, &waiting);
            drop(done);
        })?;
        let ((gone, left), over) = (channel(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&over);
        thread::Builder::new().name("direct-in".into()).spawn(move || listen(stdin, give, gone, &is_over))?;
        Ok(Self { order, speaker, written, left, over })
    }

    /// The order; what is wrong with it.
    pub async fn order(&mut self) -> Result<Order, String> {
        (&mut self.order).await.unwrap_or_else(|_| Err("there was no order".into()))
    }

    /// Who tells what comes of it.
    #[must_use]
    pub fn speaker(&self) -> Speaker {
        self.speaker.clone()
    }

    /// Waits until all is written, as long as somebody reads, and then until who has given the order has read it and closes stdin: where
    /// the process ends at once, ssh may drop what it has not passed on yet (`mux_master_control_cleanup_cb` in mux.c: whoever waits for the
    /// exit status leaves when that comes).
    pub fn finish(self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.speaker);
        let _ = self.written.recv_timeout(LAST);
        let _ = self.left.recv_timeout(LAST);
    }
}

impl Speaker {
    /// Tells something; whether it is short enough to be told.
    pub fn tell(&self, message: &impl serde::Serialize) -> bool {
        // Nothing of ours fails to become JSON.
        let Ok(line) = line(message) else { return false };
        line.len() <= MAX_TOLD && {
            self.put(line);
            true
        }
    }

    /// Whether what may be left out should be.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > BEHIND
    }

    fn put(&self, line: Vec<u8>) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Who doesn't read any more has closed our stdin too.
        let _ = self.lines.send(line);
    }
}

/// The thread that writes, until nobody has anything to say or nobody reads.
fn write(stdout: OwnedFd, todo: &Receiver<Vec<u8>>, waiting: &AtomicUsize) {
    let mut stdout = std::fs::File::from(stdout);
    loop {
        let line = match todo.recv_timeout(PING) {
            Ok(line) => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                line
            }
            Err(RecvTimeoutError::Timeout) => b"\n".to_vec(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if stdout.write_all(&line).is_err() {
            return;
        }
    }
}

/// The thread that listens.
fn listen(stdin: OwnedFd, give: oneshot::Sender<Result<Order, String>>, gone: Sender<()>, over: &AtomicBool) {
    let mut input = BufReader::new(Timed::new(stdin, SILENCE));
    let order = read_order(&mut input);
    let taken = order.is_ok();
    if give.send(order).is_err() {
        return;
    }
    while let Some(stop) = next_stop(&mut input) {
        if taken && !over.load(Ordering::Relaxed) {
            raise(stop);
        }
    }
    drop(gone);
    if !taken || over.load(Ordering::Relaxed) {
        return;
    }
    unwanted(over, IN_GOOD_ORDER, raise);
}

/// Nobody wants the push any more, or nobody says so: it is told to end, and told again where it has not.
pub(super) fn unwanted(over: &AtomicBool, in_good_order: Duration, mut raise: impl FnMut(Stop)) {
    raise(Stop::Terminate);
    thread::sleep(in_good_order);
    if !over.load(Ordering::Relaxed) {
        raise(Stop::Terminate);
    }
}

/// The first line.
pub(super) fn read_order(input: &mut BufReader<Timed>) -> Result<Order, String> {
    let mut order = Vec::new();
    match read_line(input, &mut order, MAX_ORDER) {
        Ok(true) => serde_json::from_slice(&order).map_err(|error| {
            format!("this order can't be carried out by zfsync {}: {error}", env!("CARGO_PKG_VERSION"))
        }),
        Ok(false) => Err("the order is cut".into()),
        Err(error) => Err(format!("there is no order: {error}")),
    }
}

/// The next thing that is asked for; `None` when nobody will ask any more.
fn next_stop(input: &mut BufReader<Timed>) -> Option<Stop> {
    let mut words = Vec::new();
    loop {
        input.get_mut().within(SILENCE);
        match read_line(input, &mut words, MAX_ORDER) {
            Ok(true) if words.is_empty() => {}
            Ok(true) => return serde_json::from_slice(&words).ok().map(|ask: Ask| ask.stop),
            Ok(false) | Err(_) => return None,
        }
    }
}

/// The push hears it as it hears the signals of a terminal.
fn raise(stop: Stop) {
    let signal = match stop {
        Stop::Interrupt => Signal::INT,
        Stop::Terminate => Signal::TERM,
    };
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
}
