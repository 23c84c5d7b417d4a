//! One `zfs send` into a channel: announces it, moves its bytes in frames, and ends it in such a way that a broken stream
//! never looks like a finished one.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::event::{ChannelEvent, SendFailure, Teller};
use helper::pump;
use helper::wire::{self, FrameKind, Request};
use zfs::{Estimate, Receive};

/// One `zfs send` for a channel.
#[derive(Debug)]
pub struct Stream {
    /// The step.
    pub id: u64,
    /// What the helper is to do with it.
    pub receive: Receive,
    /// The `zfs send` command, complete.
    pub send: Command,
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

fn send(stdin: &OwnedFd, mut stream: Stream, tell: &Teller) -> Result<Moved, Broken> {
    let cant = |error: io::Error| Broken::Send(format!("can't start zfs send: {error}"));
    if stream.abort.load(Ordering::Relaxed) {
        return Ok((0, Some(ours("stopped".into()))));
    }
    let (output, input) = io::pipe().map_err(cant)?;
    zfs::pipe::grow_pipe(&output);
    stream.send.stdin(Stdio::null()).stdout(input).stderr(Stdio::piped());
    let mut child = stream.send.spawn().map_err(cant)?;
    // The command holds the other end of the pipe: kept, its end would never be seen.
    drop(stream.send);
    let words = child.stderr.take().map(|stderr| {
        let (tell, id) = (tell.clone(), stream.id);
        thread::spawn(move || read_report(BufReader::new(stderr), id, &tell))
    });
    let moved = pump::send(&output, stdin, &stream.progress, &stream.abort);
    let bytes = stream.progress.load(Ordering::Relaxed);
    let failure = match moved {
        Ok(pump::Sent::Eof) => None,
        Ok(pump::Sent::Aborted) => Some(ours("stopped".to_owned())),
        Err(pump::PumpError::Input(error)) => Some(ours(format!("reading from zfs send: {error}"))),
        Err(pump::PumpError::Output(error)) => {
            end(&mut child);
            return Err(Broken::Channel(error.to_string()));
        }
    };
    // With its pipe closed whatever else writes there ends, too.
    drop(output);
    if failure.is_some() {
        end(&mut child);
    }
    let status = child.wait().map_err(|error| Broken::Send(format!("waiting for zfs send: {error}")))?;
    let words = words.and_then(|reader| reader.join().ok()).unwrap_or_default();
    // Whoever is killed leaves no words.
    let killed = status.signal().is_some() && words.is_empty();
    let said = || SendFailure { words: said(&words, &status.to_string()), killed };
    Ok((bytes, failure.or_else(|| (!status.success()).then(said))))
}

/// What we did to it ourselves.
fn ours(words: String) -> SendFailure {
    SendFailure { words, killed: false }
}

/// Its pipe is closed already; a send that is about to notice that is not worth waiting for.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn said(words: &str, status: &str) -> String {
    if words.is_empty() { format!("zfs send ended with {status}") } else { format!("zfs send: {words}") }
}

/// Reads what `zfs send -vP` says: its estimate becomes an event, its complaints are returned.
fn read_report(report: impl BufRead, id: u64, tell: &Teller) -> String {
    let mut estimate = Estimate::default();
    for line in report.split(b'\n').map_while(Result::ok) {
        if let Some(total) = estimate.add(&String::from_utf8_lossy(&line)) {
            tell.tell(ChannelEvent::Estimated { id, total });
        }
    }
    estimate.words().trim().to_owned()
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
