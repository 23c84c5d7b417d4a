//! The helper's session: reads frames, hands questions to threads and streams to `zfs recv`, until the sender is gone.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::context::Context;
use super::incoming::{Hands, Incoming};
use super::input::Input;
use super::query::Queries;
use super::receiving::{Beats, Ending, Receives};
use super::replies::Replies;
use super::streams::Streams;
use super::syslog::Syslog;
use super::{Config, HelperError, Side};
use crate::pump::Mover;
use crate::wire::{self, EXAMINES, FrameKind, Header, Request, SENDS, SILENCE};
use zfs::pipe::grow_pipe;
use zfs::{Hello, Host};

/// So long questions may still be answered after the sender has closed its end.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// So long the process of a stream may take to end once nobody wants it any more.
const LAST_STREAMS: Duration = Duration::from_secs(10);

/// So many streams may wait for their turn.
const STREAMS: usize = 64;

/// Serves a sender: greets on `output`, then reads frames from `input` until its end. Returns when all receives that it
/// started are over.
pub fn serve(config: Config, input: OwnedFd, output: OwnedFd, host: Arc<dyn Host>) -> Result<(), HelperError> {
    serve_logging(config, input, output, host, Syslog::default())
}

/// The same with this log.
pub(super) fn serve_logging(
    config: Config,
    input: OwnedFd,
    output: OwnedFd,
    host: Arc<dyn Host>,
    log: Syslog,
) -> Result<(), HelperError> {
    // `sshd` gives 64 KiB. Whoever waits for the greeting has written nothing yet.
    if rustix::io::ioctl_fionread(&input).is_ok_and(|waiting| waiting == 0) {
        grow_pipe(&input);
    }
    if config.side == Side::Sender {
        grow_pipe(&output);
    }
    let replies = Arc::new(Replies::new(output, log, config.unread).map_err(HelperError::Stdio)?);
    let allow = config.allow.iter().map(|allow| allow.word().to_owned()).collect();
    let hello = host.hello();
    let user = hello.user.as_str().into();
    let mut capabilities = hello.capabilities;
    let of_side = if config.side == Side::Sender { SENDS } else { zfs::KEEPS_KEY };
    capabilities.extend([EXAMINES, of_side].map(str::to_owned));
    replies.greet(&Hello { roots: config.roots.clone(), allow, capabilities, ..hello })?;
    let context = Context { config: Arc::new(config), host, replies, user };
    let (queries, receives) = (Arc::new(Queries::default()), Arc::new(Receives::default()));
    let (input, mover, streams) = (Input(input), Mover::new(), Arc::new(Streams::default()));
    let mut session = Session { input, context, queries, receives, streams, mover, stream: None };
    let beats = Beats::start(&session.receives, &session.context.replies);
    let served = session.run();
    drop(beats);
    // Closes the stdin of a stream that was cut.
    session.stream = None;
    session.streams.cancel_all();
    session.receives.abandon();
    session.streams.wait(LAST_STREAMS);
    if served.is_ok() {
        session.queries.wait_below(1, Some(LAST_ANSWERS), &session.context.replies);
    }
    served
}

struct Session {
    input: Input,
    context: Context,
    queries: Arc<Queries>,
    receives: Arc<Receives>,
    /// What leaves.
    streams: Arc<Streams>,
    mover: Mover,
    /// What is coming in, between `Receive` and `End` or `Abort`.
    stream: Option<Incoming>,
}

impl Session {
    fn run(&mut self) -> Result<(), HelperError> {
        while self.wait_for_input() {
            let Some(header) = Header::read(&mut &self.input)? else { return Ok(()) };
            let go_on = match header.kind {
                FrameKind::Request => {
                    let request: Request = wire::read_body(&mut &self.input, header.len)?;
                    request.check()?;
                    self.request(request)?
                }
                FrameKind::Data => self.data(header.len)?,
                FrameKind::End => self.end(Ending::Complete)?,
                FrameKind::Abort => self.end(Ending::Broken)?,
                FrameKind::Ping => true,
                FrameKind::Reply => return Err(HelperError::Order("a reply from the sender")),
            };
            if !go_on {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for the next frame; `false` when nobody reads the answers any more, or the sender has been silent for so long
    /// that it must be dead: a link that is cut for good is told to nobody here.
    fn wait_for_input(&self) -> bool {
        let silence = Timespec::try_from(self.context.config.silence.unwrap_or(SILENCE)).ok();
        loop {
            let mut fds = [PollFd::new(&self.input.0, PollFlags::IN), self.context.replies.watch()];
            match rustix::event::poll(&mut fds, silence.as_ref()) {
                Ok(0) => return false,
                // A reply that nobody took in time ends the session as well, whether or not a question waits for room.
                Ok(_) => return !self.context.replies.is_broken(),
                Err(Errno::INTR) => {}
                // Reading will tell.
                Err(_) => return true,
            }
        }
    }

    fn request(&mut self, request: Request) -> Result<bool, HelperError> {
        let (id, receive) = match request {
            Request::Receive { .. } if self.context.config.side != Side::Receiver => {
                return Err(HelperError::Order("a receive, and this helper only sends"));
            }
            Request::Receive { id, receive } => (id, receive),
            Request::Stream { id, stream, per_second } => {
                if self.streams.len() >= STREAMS {
                    return Err(HelperError::Order("too many streams"));
                }
                if self.streams.has(id) {
                    return Err(HelperError::Order("a stream with the number of another"));
                }
                self.streams.start(&self.context, id, stream, per_second);
                return Ok(true);
            }
            Request::Cancel { id } => {
                self.streams.cancel(id);
                return Ok(true);
            }
            request => return Ok(self.queries.start(&self.context, request)),
        };
        if self.stream.is_some() {
            return Err(HelperError::Order("a stream within a stream"));
        }
        if !self.receives.wait_for_room(&self.context.replies) {
            return Ok(false);
        }
        self.mover.begin();
        let stream = Incoming::new(id, receive, &self.hands());
        self.stream = Some(stream);
        Ok(true)
    }

    fn hands(&mut self) -> Hands<'_> {
        Hands { input: &self.input, context: &self.context, receives: &self.receives, mover: &mut self.mover }
    }

    fn data(&mut self, len: usize) -> Result<bool, HelperError> {
        let Some(mut stream) = self.stream.take() else { return Err(HelperError::Order("data without a stream")) };
        let taken = stream.data(len, &mut self.hands());
        self.stream = Some(stream);
        taken.map(|()| true)
    }

    fn end(&mut self, ending: Ending) -> Result<bool, HelperError> {
        let Some(stream) = self.stream.take() else { return Err(HelperError::Order("the end of no stream")) };
        stream.end(ending, &self.context);
        Ok(true)
    }
}
