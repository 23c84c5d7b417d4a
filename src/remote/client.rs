//! The sender's end of a channel: a helper (over ssh, or a child on this machine), a thread that writes requests and
//! streams to it, and one that turns what it says into events.

use std::io::{self, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::event::Teller;
pub use super::event::{ChannelEvent, ChannelId, FromChannel, HelperError, SendFailure};
use super::frames::{Frame, Frames};
pub use super::greeting::GREETED_WITHIN;
use super::greeting::{self, Greeting, Timed};
use super::open::Open;
pub use super::open::{Call, Report};
use super::ssh::Master;
pub(crate) use super::stream::ENDED_WITHIN;
use super::stream::{self, Fd};
pub use super::stream::{Sending, Stream};
use helper::wire::{self, FrameKind, PING, Reply, Request, WireError};
use zfs::text::{on_one_line, quoted};
use zfs::{Allow, Failure, Refusal, StreamSpec};

/// How the helper is called on the target host when the user says nothing else. Constant: no name ever reaches a shell.
pub const REMOTE_HELPER: &str = "zfsync recv --stdio";

/// The same for the helper on a sender's host.
pub const REMOTE_SENDER: &str = "zfsync send --stdio";

/// So much of what the helper and its shell write to stderr is kept.
const MAX_STDERR: u64 = 8 * 1024;

enum Order {
    Request(Box<Request>),
    Stream(Box<Stream>),
    Close,
}

/// The handle of a channel. Dropping the last one closes the helper's stdin, and so ends it.
#[derive(Debug, Clone)]
pub struct Channel {
    orders: mpsc::Sender<Order>,
    open: Arc<Open>,
    greeted: Arc<AtomicBool>,
}

/// Our ends of a helper's pipes, and where its exit status will be told.
struct Pipes {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    status: mpsc::Receiver<String>,
    /// So long it has for its greeting.
    limit: Duration,
}

impl Channel {
    /// Starts a helper over `master`, which has so long for its greeting. That counts from here, where ssh has asked all that it
    /// had to ask.
    pub async fn over_ssh(
        id: ChannelId,
        master: &Master,
        host: &str,
        command: &str,
        limit: Duration,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        let ((stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        zfs::pipe::grow_pipe(&ours_in);
        let remote = master.start(command, [stdin.into(), stdout.into(), stderr.into()]).await?;
        let (tell, status) = mpsc::channel();
        tokio::spawn(async move {
            // Nobody listens any more when the run is over.
            let _ = tell.send(remote.wait().await);
        });
        let pipes = Pipes { stdin: ours_in.into(), stdout: ours_out.into(), stderr: ours_err.into(), status, limit };
        Self::start(id, pipes, host, events)
    }

    /// Starts a helper as a child of this process, for a target on this machine.
    pub fn local(
        id: ChannelId,
        allow: &[Allow],
        limit: Duration,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        let ((stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        zfs::pipe::grow_pipe(&ours_in);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["recv", "--stdio"]);
        for allow in allow {
            command.args(["--allow", allow.word()]);
        }
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let mut child = command.spawn()?;
        // It holds our ends of the pipes.
        drop(command);
        let (tell, status) = mpsc::channel();
        thread::Builder::new().name("reaper".into()).spawn(move || {
            let words = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            let _ = tell.send(words);
        })?;
        let pipes = Pipes { stdin: ours_in.into(), stdout: ours_out.into(), stderr: ours_err.into(), status, limit };
        Self::start(id, pipes, "this machine", events)
    }

    /// Talks to a helper that somebody else has started: our ends of its stdin, stdout and stderr. For tests.
    pub fn over(
        id: ChannelId,
        [stdin, stdout, stderr]: [OwnedFd; 3],
        host: &str,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        // Nobody will tell how it ends.
        let (_, status) = mpsc::channel();
        Self::start(id, Pipes { stdin, stdout, stderr, status, limit: greeting::GREETED_WITHIN }, host, events)
    }

    fn start(
        id: ChannelId,
        pipes: Pipes,
        host: &str,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        let Pipes { stdin, stdout, stderr, status, limit } = pipes;
        let (orders, todo) = mpsc::channel();
        let tell = Teller { channel: id, events };
        let (writer, reader, host) = (tell.clone(), tell, host.to_owned());
        let (open, greeted) = (Open::new(&host), Arc::new(AtomicBool::new(false)));
        let has_greeted = Arc::clone(&greeted);
        let (for_writer, for_reader) = (open.clone(), open.clone());
        thread::Builder::new().name(format!("write-{id}")).spawn(move || write(&stdin, &todo, &writer, &for_writer))?;
        let (words, stderr_words) = mpsc::channel();
        thread::Builder::new().name(format!("stderr-{id}")).spawn(move || {
            let _ = words.send(read_stderr(stderr.into()));
        })?;
        thread::Builder::new().name(format!("read-{id}")).spawn(move || {
            let aftermath = Aftermath { host, status, stderr: stderr_words };
            let mut output = BufReader::with_capacity(64 * 1024, Timed::new(stdout, limit));
            let error = match greet(&mut output, &reader, &aftermath, &has_greeted) {
                Ok(()) => read(Frames::new(output), &reader, &aftermath, &for_reader),
                Err(error) => error,
            };
            for_reader.close(&error);
            reader.tell(ChannelEvent::Closed(error));
        })?;
        Ok(Self { orders, open, greeted })
    }

    /// Whether its helper has greeted.
    #[must_use]
    pub fn has_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Sends a request; the answer comes as an event. A channel that is gone says so by [`ChannelEvent::Closed`].
    pub fn request(&self, request: Request) {
        self.open.note(&request);
        let _ = self.orders.send(Order::Request(Box::new(request)));
    }

    /// Asks something; the call awaits the answers.
    pub fn call(&self, request: impl FnOnce(u64) -> Request) -> Call {
        let id = self.open.number();
        let call = self.open.call(id);
        self.request(request(id));
        call
    }

    /// Asks for a stream: what its bytes are read from, what is told beside it, and its number.
    pub fn ask_stream(&self, stream: StreamSpec) -> io::Result<(OwnedFd, mpsc::Receiver<Report>, u64)> {
        let id = self.open.number();
        let (output, reports) = self.open.stream(id)?;
        self.request(Request::Stream { id, stream });
        Ok((output, reports, id))
    }

    /// Nobody wants a stream any more.
    pub fn cancel_stream(&self, id: u64) {
        let _ = self.orders.send(Order::Request(Box::new(Request::Cancel { id })));
    }

    /// Closes the helper's stdin, and so ends it, whoever else has a handle.
    pub fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }

    /// Takes its helper for dead: whoever waits for it is told, and nothing more is asked of it.
    pub fn give_up(&self, reason: &str) {
        self.open.give_up(reason);
        self.close();
    }

    /// Whose helper it is.
    #[must_use]
    pub fn host(&self) -> &str {
        self.open.host()
    }

    /// Why its helper is gone.
    #[must_use]
    pub fn why_closed(&self) -> String {
        self.open.reason()
    }

    /// Whether its helper is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Starts a stream as soon as the stream before is sent.
    pub fn stream(&self, stream: Stream) {
        self.open.note(&Request::Receive { id: stream.id, receive: stream.receive.clone() });
        let _ = self.orders.send(Order::Stream(Box::new(stream)));
    }
}

/// The writer thread. When the helper is gone writes fail; the reader thread tells why, so this one just ends.
fn write(stdin: &OwnedFd, todo: &mpsc::Receiver<Order>, tell: &Teller, open: &Open) {
    loop {
        let through = match todo.recv_timeout(PING) {
            Err(mpsc::RecvTimeoutError::Disconnected) | Ok(Order::Close) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                wire::write_mark(&mut Fd(stdin), FrameKind::Ping).map_err(|error| error.to_string())
            }
            Ok(Order::Request(request)) => send(stdin, &request, tell, open),
            Ok(Order::Stream(stream)) => stream::run(stdin, *stream, tell),
        };
        if let Err(error) = through {
            tracing::debug!("channel {}: {error}", tell.channel);
            return;
        }
    }
}

/// Sends a request. One that is too large is never sent: it is answered here, and the channel lives on.
fn send(stdin: &OwnedFd, request: &Request, tell: &Teller, open: &Open) -> Result<(), String> {
    let sent = request.check().and_then(|()| wire::write_message(&mut Fd(stdin), FrameKind::Request, request));
    match sent {
        Err(error @ (WireError::TooLong { .. } | WireError::Limit(_))) => {
            let words = format!("{} is too large for one request and was not sent: {error}", request.what());
            let failure = Some(Failure { refusal: Refusal::Other, words });
            let reply = Reply::Done { id: request.id(), failure, warning: None };
            if open.take(&reply) == Ok(true)
                && let Some(reply) = open.pass(reply)
            {
                tell.tell(ChannelEvent::Reply(reply));
            }
            Ok(())
        }
        sent => sent.map_err(|error| error.to_string()),
    }
}

/// What is left to learn once the helper's output has ended.
struct Aftermath {
    host: String,
    status: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

impl Aftermath {
    /// The helper's stderr and how it ended; neither is worth waiting long for.
    fn words(&self) -> (String, String) {
        let wait = Duration::from_secs(2);
        let status = self.status.recv_timeout(wait).unwrap_or_else(|_| "still running".into());
        (quoted(&self.stderr.recv_timeout(wait).unwrap_or_default()), on_one_line(&status).into_owned())
    }
}

/// The reader thread's first part: the greeting.
fn greet(
    output: &mut BufReader<Timed>,
    tell: &Teller,
    aftermath: &Aftermath,
    greeted: &AtomicBool,
) -> Result<(), HelperError> {
    let host = aftermath.host.clone();
    match greeting::find(output) {
        Greeting::Hello(hello) => {
            output.get_mut().no_limit();
            greeted.store(true, Ordering::Relaxed);
            tell.tell(ChannelEvent::Ready(wire::harmless(hello)));
            Ok(())
        }
        Greeting::Version { theirs, version } => {
            let [theirs, version] = [theirs, version].map(|text| wire::short(&text));
            Err(HelperError::Version { host, theirs, version })
        }
        Greeting::Late(preamble) => {
            let seconds = output.get_ref().limit().as_secs();
            Err(HelperError::Silent { host, seconds, words: greeting::said(&preamble, "") })
        }
        Greeting::None(preamble) => Err(no_greeting(&preamble, aftermath)),
    }
}

/// Its second part: replies and streams, until the end, whose reason it returns.
fn read(mut frames: Frames, tell: &Teller, aftermath: &Aftermath, open: &Open) -> HelperError {
    loop {
        let host = aftermath.host.clone();
        match frames.next(open) {
            Ok(Some(Frame::Reply(reply))) => match open.take(&reply) {
                Ok(true) => {
                    frames.begins(&reply);
                    if let Some(reply) = open.pass(reply.harmless()) {
                        tell.tell(ChannelEvent::Reply(reply));
                    }
                }
                Ok(false) => {}
                Err(what) => return HelperError::Protocol { host, what },
            },
            Ok(Some(Frame::Other)) => {}
            Ok(None) => {
                let (words, status) = aftermath.words();
                let reason = if words.is_empty() { status } else { format!("{status}; it says: {words}") };
                return HelperError::Lost { host, reason };
            }
            Err(WireError::Io(error)) => {
                return HelperError::Lost { host, reason: format!("the connection broke: {error}") };
            }
            Err(error) => return HelperError::Protocol { host, what: wire::short(&error.to_string()) },
        }
    }
}

fn no_greeting(preamble: &[u8], aftermath: &Aftermath) -> HelperError {
    let (stderr, status) = aftermath.words();
    let host = aftermath.host.clone();
    if status.ends_with("127") || stderr.to_ascii_lowercase().contains("command not found") {
        let words = if stderr.trim().is_empty() { status } else { stderr.trim().to_owned() };
        return HelperError::Missing { host, words };
    }
    HelperError::NoGreeting { host, status, words: greeting::said(preamble, &stderr) }
}

fn read_stderr(stderr: std::fs::File) -> String {
    let mut words = Vec::new();
    let mut input = stderr.take(MAX_STDERR);
    let _ = input.read_to_end(&mut words);
    // Read on, so that a talkative helper never blocks.
    let _ = io::copy(&mut input.into_inner(), &mut io::sink());
    String::from_utf8_lossy(&words).trim().to_owned()
}
