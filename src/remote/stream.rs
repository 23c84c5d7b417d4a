//! One `zfs send` into a channel: announces it, moves its bytes in frames, and ends it in such a way that a broken stream
//! never looks like a finished one.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use helper::wire::{self, FrameKind, Request};
use helper::{pump, read_report};
use zfs::host::{Outgoing, Process};
use zfs::{Ended, Host as _, LocalHost, Receive, StreamSpec};

use super::client::Channel;
use super::event::{ChannelEvent, SendFailure, Teller};
use super::open::Report;

/// So long another host may take to tell how a stream has ended, once all of it has come or it has been told to stop.
pub(crate) const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// One `zfs send` for a channel.
#[derive(Debug)]
pub struct Stream {
    /// The step.
    pub id: u64,
    /// What the helper is to do with it.
    pub receive: Receive,
    /// Where it comes from.
    pub send: Sending,
    /// Counts the bytes moved.
    pub progress: Arc<AtomicU64>,
    /// Set: stop as soon as possible.
    pub abort: Arc<AtomicBool>,
}

/// Sends a stream. An error means that the channel itself is unusable; a stream that fails is told as an event.
pub(super) fn run(stdin: &OwnedFd, stream: Stream, tell: &Teller) -> Result<(), String> {
    let id = stream.id;
    let request = Request::Receive { id, receive: stream.receive.clone() };
    wire::write_message(&mut Fd(stdin), FrameKind::Request, &request).map_err(|error| error.to_string())?;
    let (bytes, failure) = match send(stdin, stream, tell) {
        Ok((bytes, failure)) => (bytes, failure),
        Err(Broken::Send(words)) => (0, Some(SendFailure { words, killed: false })),
        Err(Broken::Channel(words)) => return Err(words),
    };
    let mark = if failure.is_none() { FrameKind::End } else { FrameKind::Abort };
    let ended = wire::write_mark(&mut Fd(stdin), mark).map_err(|error| error.to_string());
    tell.tell(ChannelEvent::Sent { id, bytes, failure });
    ended
}

enum Broken {
    /// `zfs send` couldn't be started.
    Send(String),
    /// The helper is gone.
    Channel(String),
}

/// Bytes moved, and what was wrong with them if anything was.
type Moved = (u64, Option<SendFailure>);

fn send(stdin: &OwnedFd, stream: Stream, tell: &Teller) -> Result<Moved, Broken> {
    if stream.abort.load(Ordering::Relaxed) {
        return Ok((0, Some(ours("stopped".into()))));
    }
    let Source { output, end } = stream.send.start(stream.id, tell)?;
    let moved = pump::send(&output, stdin, &stream.progress, &stream.abort);
    let bytes = stream.progress.load(Ordering::Relaxed);
    let failure = match moved {
        Ok(pump::Sent::Eof) => None,
        Ok(pump::Sent::Aborted) => Some(ours("stopped".to_owned())),
        Err(pump::PumpError::Input(error)) => Some(ours(format!("reading from zfs send: {error}"))),
        Err(pump::PumpError::Output(error)) => {
            drop(output);
            end.finish(false);
            return Err(Broken::Channel(error.to_string()));
        }
    };
    // With its pipe closed whatever else writes there ends, too.
    drop(output);
    let ended = end.finish(failure.is_none());
    Ok((bytes, failure.or(ended)))
}

/// Where a stream comes from.
#[derive(Debug, Clone)]
pub enum Sending {
    /// This machine's ZFS.
    Here(Arc<LocalHost>, StreamSpec),
    /// The helper of a sender's host.
    There(Channel, StreamSpec),
}

/// A stream that has begun.
struct Source {
    output: OwnedFd,
    end: End,
}

/// What tells how a stream has ended, once its output is at its end or nobody reads it any more.
enum End {
    Here(Arc<dyn Process>, JoinHandle<String>),
    There(Channel, u64, mpsc::Receiver<Option<SendFailure>>),
}

impl Sending {
    fn start(self, step: u64, tell: &Teller) -> Result<Source, Broken> {
        let cant = |error: io::Error| Broken::Send(format!("can't start zfs send: {error}"));
        let tell = tell.clone();
        let estimated = move |total| tell.tell(ChannelEvent::Estimated { id: step, total });
        match self {
            Self::Here(host, stream) => {
                let started = host.stream(&stream).map_err(|why| Broken::Send(why.words))?;
                let Outgoing { output, words, process } = started;
                let words = thread::Builder::new().spawn(move || read_report(words, estimated)).map_err(cant)?;
                Ok(Source { output, end: End::Here(process, words) })
            }
            Self::There(channel, stream) => {
                let (output, reports, id) = channel.ask_stream(stream).map_err(cant)?;
                let host = channel.host().to_owned();
                let (tell_end, end) = mpsc::channel();
                let listening = move || _ = tell_end.send(listen(&host, &reports, estimated));
                thread::Builder::new().spawn(listening).map_err(cant)?;
                Ok(Source { output, end: End::There(channel, id, end) })
            }
        }
    }
}

impl End {
    /// Waits for it; if not `all` of the stream has been read, it is stopped.
    fn finish(self, all: bool) -> Option<SendFailure> {
        match self {
            Self::Here(process, words) => {
                if !all {
                    process.end(true);
                }
                let died = process.wait().err();
                let words = words.join().unwrap_or_default();
                // Whoever is killed leaves no words.
                died.map(|died| SendFailure {
                    killed: died.killed && words.is_empty(),
                    words: said("zfs send", &words, &died.status),
                })
            }
            Self::There(channel, id, end) => {
                if !all {
                    channel.cancel_stream(id);
                }
                hear(&channel, &end, ENDED_WITHIN)
            }
        }
    }
}

/// Waits for the end of a stream of another host. A helper that doesn't tell it in time is taken for dead: what it says next would be
/// of no use.
fn hear(channel: &Channel, end: &mpsc::Receiver<Option<SendFailure>>, limit: Duration) -> Option<SendFailure> {
    end.recv_timeout(limit).unwrap_or_else(|_| {
        let reason = "it didn't tell how a stream has ended";
        channel.give_up(reason);
        Some(SendFailure { words: format!("the connection to the source was lost: {reason}"), killed: true })
    })
}

/// Hears what is told of a stream of another host, until it has ended: what was wrong with it.
fn listen(host: &str, reports: &mpsc::Receiver<Report>, mut estimated: impl FnMut(u64)) -> Option<SendFailure> {
    let who = format!("zfs send on {host}");
    loop {
        match reports.recv() {
            Ok(Report::Estimated(total)) => estimated(total),
            Ok(Report::Ended(Ended { status: None, .. }, true)) => return None,
            Ok(Report::Ended(Ended { words, status, killed }, _)) => {
                let status = status.unwrap_or_else(|| "its stream was incomplete".into());
                return Some(SendFailure { words: said(&who, &words, &status), killed });
            }
            Ok(Report::Refused(why)) => return Some(ours(said(&who, &why.words, "a refusal"))),
            // The channel is gone, and tells why itself. To be tried again.
            Err(_) => return Some(SendFailure { words: format!("the connection to {host} was lost"), killed: true }),
        }
    }
}

/// What we did to it ourselves.
fn ours(words: String) -> SendFailure {
    SendFailure { words, killed: false }
}

fn said(who: &str, words: &str, status: &str) -> String {
    if words.is_empty() { format!("{who} ended with {status}") } else { format!("{who}: {words}") }
}

/// Unbuffered writes to a borrowed descriptor.
pub(super) struct Fd<'a>(pub(super) &'a OwnedFd);

impl Write for Fd<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_helper_that_does_not_tell_the_end_of_a_stream_is_taken_for_dead() {
        let ((_stdin, ours_in), (ours_out, mut stdout), (ours_err, _stderr)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        stdout.write_all(wire::greeting(&zfs::Hello::default()).unwrap().as_bytes()).unwrap();
        let (events, _told) = tokio::sync::mpsc::unbounded_channel();
        let channel = Channel::over(1, [ours_in.into(), ours_out.into(), ours_err.into()], "alpha", events).unwrap();
        let list = || StreamSpec::List { dataset: "a/s".parse().unwrap(), depth: None };
        let (_output, reports, _) = channel.ask_stream(list()).unwrap();
        let (tell_end, end) = mpsc::channel();
        let listening = thread::spawn(move || _ = tell_end.send(listen("beta", &reports, |_| ())));
        let began = Instant::now();
        let failure = hear(&channel, &end, Duration::from_millis(200)).unwrap();
        assert!(failure.killed && failure.words.contains("didn't tell how a stream has ended"), "{failure:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
        // Nobody waits for it any more, though it is still there.
        listening.join().unwrap();
        assert!(channel.is_closed());
        let (output, _, _) = channel.ask_stream(list()).unwrap();
        assert_eq!(io::Read::read(&mut std::fs::File::from(output), &mut [0; 1]).unwrap(), 0);
    }
}
