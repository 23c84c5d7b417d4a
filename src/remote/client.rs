//! The sender's end of a channel: a helper (over ssh, or a child on this machine), a thread that writes requests and
//! streams to it, and one that turns what it says into events.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::bootstrap::HelperCommand;
use super::event::{CONTROL, Teller};
pub use super::event::{ChannelEvent, ChannelId, FromChannel, HelperError, SendFailure};
use super::frames::{Frame, Frames};
pub use super::greeting::GREETED_WITHIN;
use super::launch::{Aftermath, Feed, Feeder, Launch, Pipes};
use super::link::Access;
use super::open::Open;
pub use super::open::{CALLS, Call, Report};
use super::ssh::Master;
use super::stream::{self, Fd};
pub use super::stream::{Sending, Stream};
pub(crate) use super::stream_end::{EndOfStream, StreamEnd};
use helper::wire::{self, FrameKind, PING, Reply, Request, WireError};
use zfs::{Allow, Failure, Refusal, StreamSpec};

enum Order {
    Request(Box<Request>),
    Stream(Box<Stream>),
    Feed(Feed),
    Close,
}

/// The handle of a channel. Dropping the last one closes the helper's stdin, and so ends it.
#[derive(Debug, Clone)]
pub struct Channel {
    orders: Arc<mpsc::Sender<Order>>,
    open: Arc<Open>,
    greeted: Arc<AtomicBool>,
    access: Access,
}

impl Channel {
    /// Starts a helper over `master`, which has so long for its greeting. That counts from here, where ssh has asked all that it
    /// had to ask.
    pub async fn over_ssh(
        id: ChannelId,
        master: &Master,
        host: &str,
        command: &HelperCommand,
        limit: Duration,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        let (launch, stdin) = Launch::over_ssh(master.sessions(), host, command, id != CONTROL, limit).await?;
        Self::start(id, launch, stdin, host, events)
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
        let (launch, stdin) = Launch::started(pipes, "this machine")?;
        Self::start(id, launch, stdin, "this machine", events)
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
        let pipes = Pipes { stdin, stdout, stderr, status, limit: GREETED_WITHIN };
        let (launch, stdin) = Launch::started(pipes, host)?;
        Self::start(id, launch, stdin, host, events)
    }

    fn start(
        id: ChannelId,
        launch: Launch,
        stdin: OwnedFd,
        host: &str,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        let (orders, todo) = mpsc::channel();
        let orders = Arc::new(orders);
        let (open, greeted) = (Open::new(host), Arc::new(AtomicBool::new(false)));
        let writer =
            Writer { stdin, tell: Teller { channel: id, events }, open: open.clone(), greeted: greeted.clone() };
        let (tell, for_reader, has_greeted) = (writer.tell.clone(), open.clone(), greeted.clone());
        thread::Builder::new().name(format!("write-{id}")).spawn(move || writer.run(&todo))?;
        // It must not keep the channel open.
        let feeding = Arc::downgrade(&orders);
        let feed: Feeder =
            Box::new(move |feed| feeding.upgrade().is_some_and(|orders| orders.send(Order::Feed(feed)).is_ok()));
        thread::Builder::new().name(format!("read-{id}")).spawn(move || {
            let error = match launch.greet(&feed) {
                Ok((hello, output, aftermath)) => {
                    has_greeted.store(true, Ordering::Relaxed);
                    tell.tell(ChannelEvent::Ready(wire::harmless(hello)));
                    read(Frames::new(output), &tell, &aftermath, &for_reader)
                }
                Err(error) => error,
            };
            for_reader.close(&error);
            tell.tell(ChannelEvent::Closed(error));
        })?;
        Ok(Self { orders, open, greeted, access: Access::Full })
    }

    /// The same channel for somebody who may do no more than this over it.
    #[must_use]
    pub fn with(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Whether its helper has greeted.
    #[must_use]
    pub fn has_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    fn request(&self, request: Request) {
        self.open.note(&request);
        match self.access.check(request.changes(), || request.what()) {
            Ok(()) => _ = self.orders.send(Order::Request(Box::new(request))),
            Err(why) => answer_here(&request, why, &self.open),
        }
    }

    /// Asks something; the call awaits the answers. It is on its way when this returns: several may be under way at once.
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

    /// When the last reply came.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.open.heard()
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
        if let Err(why) = self.access.check(true, || format!("a receive into {}", stream.receive.dataset)) {
            return self.give_up(&why.words);
        }
        self.open.note(&Request::Receive { id: stream.id, receive: stream.receive.clone() });
        let _ = self.orders.send(Order::Stream(Box::new(stream)));
    }
}

/// The writer thread. When the helper is gone writes fail; the reader thread tells why, so this one just ends.
struct Writer {
    stdin: OwnedFd,
    tell: Teller,
    open: Arc<Open>,
    greeted: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self, todo: &mpsc::Receiver<Order>) {
        loop {
            let through = match todo.recv_timeout(PING) {
                Err(mpsc::RecvTimeoutError::Disconnected) | Ok(Order::Close) => return,
                // What is sent before the greeting might be taken for a part of a helper.
                Err(mpsc::RecvTimeoutError::Timeout) if !self.greeted.load(Ordering::Relaxed) => Ok(()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    wire::write_mark(&mut Fd(&self.stdin), FrameKind::Ping).map_err(|error| error.to_string())
                }
                Ok(Order::Request(request)) => send(&self.stdin, &request, &self.open),
                Ok(Order::Stream(stream)) => stream::run(&self.stdin, *stream, &self.tell),
                Ok(Order::Feed(Feed::Stdin(stdin))) => {
                    self.stdin = stdin;
                    Ok(())
                }
                Ok(Order::Feed(Feed::Helper(helper, size))) => {
                    send_helper(&self.stdin, helper, size).map_err(|error| error.to_string())
                }
            };
            if let Err(error) = through {
                tracing::debug!("channel {}: {error}", self.tell.channel);
                return;
            }
        }
    }
}

/// Its size in a line, and its bytes.
fn send_helper(stdin: &OwnedFd, helper: File, size: u64) -> io::Result<()> {
    writeln!(Fd(stdin), "{size}")?;
    io::copy(&mut helper.take(size), &mut Fd(stdin)).map(drop)
}

/// Sends a request. One that is too large is never sent: it is answered here, and the channel lives on.
fn send(stdin: &OwnedFd, request: &Request, open: &Open) -> Result<(), String> {
    let sent = request.check().and_then(|()| wire::write_message(&mut Fd(stdin), FrameKind::Request, request));
    match sent {
        Err(error @ (WireError::TooLong { .. } | WireError::Limit(_))) => {
            let words = format!("{} is too large for one request and was not sent: {error}", request.what());
            answer_here(request, Failure { refusal: Refusal::Other, words }, open);
            Ok(())
        }
        sent => sent.map_err(|error| error.to_string()),
    }
}

/// Answers what is never sent.
fn answer_here(request: &Request, why: Failure, open: &Open) {
    let reply = Reply::Done { id: request.id(), failure: Some(why), warning: None };
    if open.take(&reply) == Ok(true) {
        open.pass(reply);
    }
}

/// The reader thread, once there is a greeting: replies and streams, until the end, whose reason it returns.
fn read(mut frames: Frames, tell: &Teller, aftermath: &Aftermath, open: &Open) -> HelperError {
    loop {
        let host = aftermath.host.clone();
        match frames.next(open) {
            Ok(Some(Frame::Reply(reply))) => match open.take(&reply) {
                Ok(true) => {
                    frames.begins(&reply);
                    if let Some(reply) = open.pass(reply.harmless()) {
                        tell.step(reply);
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
                return HelperError::Lost { host, reason: format!("the connection was lost: {error}") };
            }
            Err(error) => return HelperError::Protocol { host, what: wire::short(&error.to_string()) },
        }
    }
}
