//! A channel from its start: a helper (over ssh, or a child on this machine), a thread that writes requests and streams to it, and one that
//! turns what it says into events.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::bootstrap::HelperCommand;
pub use super::channel::Channel;
use super::channel::{Fd, Order, answer_here};
use super::event::{CONTROL, Teller};
pub use super::event::{ChannelEvent, ChannelId, FromChannel, HelperError, SendFailure};
use super::frames::{Frame, Frames};
pub use super::greeting::GREETED_WITHIN;
use super::launch::{Feed, Feeder, Launch};
use super::link::Access;
use super::open::Open;
pub use super::open::{CALLS, Call, Report};
use super::pipes::{Aftermath, Pipes};
use super::ssh::Master;
pub use super::stream::{Sending, Stream};
pub(crate) use super::stream_end::{EndOfStream, StreamEnd};
use helper::wire::{self, FrameKind, PING, Request, WireError};
use zfs::{Allow, Failure, Hello, Refusal};

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
        let (open, greeted) = (Open::new(host), Arc::new(OnceLock::new()));
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
                    let hello = wire::harmless(hello);
                    // It greets once.
                    let _ = has_greeted.set(hello.clone());
                    tell.tell(ChannelEvent::Ready(hello));
                    read(Frames::new(output), &tell, &aftermath, &for_reader)
                }
                Err(error) => error,
            };
            for_reader.close(&error);
            tell.tell(ChannelEvent::Closed(error));
        })?;
        Ok(Self { orders, open, greeted, access: Access::Full })
    }
}

/// The writer thread. When the helper is gone writes fail; the reader thread tells why, so this one just ends.
struct Writer {
    stdin: OwnedFd,
    tell: Teller,
    open: Arc<Open>,
    greeted: Arc<OnceLock<Hello>>,
}

impl Writer {
    fn run(mut self, todo: &mpsc::Receiver<Order>) {
        loop {
            let through = match todo.recv_timeout(PING) {
                Err(mpsc::RecvTimeoutError::Disconnected) | Ok(Order::Close) => return,
                // What is sent before the greeting might be taken for a part of a helper.
                Err(mpsc::RecvTimeoutError::Timeout) if self.greeted.get().is_none() => Ok(()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    wire::write_mark(&mut Fd(&self.stdin), FrameKind::Ping).map_err(|error| error.to_string())
                }
                Ok(Order::Request(request)) => write(&self.stdin, &request, &self.open),
                Ok(Order::Send(send)) => send(&self.stdin, &self.tell),
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
fn write(stdin: &OwnedFd, request: &Request, open: &Open) -> Result<(), String> {
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
            Ok(None) => return HelperError::Lost { host, reason: aftermath.reason() },
            Err(WireError::Io(error)) => {
                return HelperError::Lost {
                    host,
                    reason: format!("the connection was lost: {}", zfs::text::os_words(&error)),
                };
            }
            Err(error) => return HelperError::Protocol { host, what: wire::short(&error.to_string()) },
        }
    }
}
