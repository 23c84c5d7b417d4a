//! One `zfs send` into a channel: announces it, moves its bytes in frames, and ends it in such a way that a broken stream
//! never looks like a finished one.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use helper::pace::Pace;
use helper::pump::Paced;
use helper::wire::{self, FrameKind, Request};
use helper::{pump, read_report};
use zfs::host::{Outgoing, Process};
use zfs::name::DatasetName;
use zfs::{Ended, Host as _, LocalHost, Receive, StreamSpec, permission};

use super::channel::{Channel, Fd};
use super::event::{ChannelEvent, SendFailure, Teller};
use super::stream_end::{EndOfStream, LATE, StreamEnd};

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
    /// How fast it may go, together with all that have the same.
    pub pace: Option<Arc<Pace>>,
    /// Set while it waits for nothing but that.
    pub held: Arc<AtomicBool>,
}

impl Channel {
    /// Starts a stream as soon as the stream before is sent.
    pub fn stream(&self, stream: Stream) {
        let request = Request::Receive { id: stream.id, receive: stream.receive.clone() };
        self.send(&request.clone(), move |stdin, tell| run(stdin, stream, &request, tell));
    }
}

/// Sends a stream. An error means that the channel itself is unusable; a stream that fails is told as an event.
fn run(stdin: &OwnedFd, stream: Stream, request: &Request, tell: &Teller) -> Result<(), String> {
    let id = stream.id;
    wire::write_message(&mut Fd(stdin), FrameKind::Request, request).map_err(|error| error.to_string())?;
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
    let Source { output, end } = stream.send.start(stream.id, stream.pace.as_deref(), tell)?;
    let paced = stream.pace.as_deref().map(|pace| Paced { pace, held: &stream.held });
    let moved = pump::send(&output, stdin, &stream.progress, &stream.abort, paced);
    let bytes = stream.progress.load(Ordering::Relaxed);
    let failure = match moved {
        Ok(pump::Sent::Eof) => None,
        Ok(pump::Sent::Aborted) => Some(ours("stopped".to_owned())),
        Err(pump::PumpError::Input(error)) => {
            Some(ours(format!("reading from zfs send: {}", zfs::text::os_words(&error))))
        }
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
    Here { process: Arc<dyn Process>, words: JoinHandle<String>, user: String, dataset: DatasetName },
    There(String, EndOfStream),
}

impl Sending {
    /// `pace`: it need not come faster than it may go on, which would fill all buffers on the way at once.
    fn start(self, step: u64, pace: Option<&Pace>, tell: &Teller) -> Result<Source, Broken> {
        let cant = |error: io::Error| Broken::Send(format!("can't start zfs send: {}", zfs::text::os_words(&error)));
        let tell = tell.clone();
        let estimated = move |total| tell.tell(ChannelEvent::Estimated { id: step, total });
        match self {
            Self::Here(host, stream) => {
                let started = host.stream(&stream).map_err(|why| Broken::Send(why.words))?;
                let Outgoing { output, words, process } = started;
                let words = thread::Builder::new().spawn(move || read_report(words, estimated)).map_err(cant)?;
                let (user, dataset) = (host.hello().user, stream.dataset().clone());
                Ok(Source { output, end: End::Here { process, words, user, dataset } })
            }
            Self::There(channel, stream) => {
                let (output, reports, id) = channel.ask_stream(stream, pace.map(Pace::per_second)).map_err(cant)?;
                let host = channel.host().to_owned();
                let end = EndOfStream::of(channel, id, reports, estimated).map_err(cant)?;
                Ok(Source { output, end: End::There(host, end) })
            }
        }
    }
}

impl End {
    /// Waits for it; if not `all` of the stream has been read, it is stopped.
    fn finish(self, all: bool) -> Option<SendFailure> {
        match self {
            Self::Here { process, words, user, dataset } => {
                if !all {
                    process.end(true);
                }
                let died = process.wait().err();
                let words = words.join().unwrap_or_default();
                died.map(|died| {
                    let killed = died.is_killed(&words);
                    let words = permission::with_grant_to_send(&words, &user, &dataset);
                    failed("zfs send", &words, &died.status, killed)
                })
            }
            Self::There(host, end) => failure_of(&host, end.wait(all)),
        }
    }
}

/// What was wrong with a stream of another host, if anything was.
fn failure_of(host: &str, end: StreamEnd) -> Option<SendFailure> {
    let who = format!("zfs send on {host}");
    match end {
        StreamEnd::Complete(Ended { status: None, .. }) => None,
        StreamEnd::Complete(Ended { words, status, killed })
        | StreamEnd::Incomplete(Ended { words, status, killed }) => {
            let status = status.unwrap_or_else(|| "its stream was incomplete".into());
            Some(failed(&who, &words, &status, killed))
        }
        StreamEnd::Refused(why) => Some(ours(said(&who, &why.words, "a refusal"))),
        // To be tried again.
        StreamEnd::Lost => Some(SendFailure { words: format!("the connection to {host} was lost"), killed: true }),
        StreamEnd::Late => {
            Some(SendFailure { words: format!("the connection to the source was lost: {LATE}"), killed: true })
        }
    }
}

/// What we did to it ourselves.
fn ours(words: String) -> SendFailure {
    SendFailure { words, killed: false }
}

/// Of one that was killed a shell may have said so, too.
fn failed(who: &str, words: &str, status: &str, killed: bool) -> SendFailure {
    let words = match words {
        words if killed && !words.is_empty() => format!("{}: {words}", zfs::text::ended(who, &status)),
        words => said(who, words, status),
    };
    SendFailure { words, killed }
}

fn said(who: &str, words: &str, status: &str) -> String {
    if words.is_empty() { zfs::text::ended(who, &status) } else { format!("{who}: {words}") }
}
