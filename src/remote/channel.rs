//! The sender's end of a channel to a helper: what is asked of it, and sent over it, by whoever has a handle.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Instant;

use super::event::Teller;
use super::launch::Feed;
use super::link::Access;
use super::open::{Call, Open, Report};
use helper::wire::{EXAMINES, Reply, Request};
use zfs::{Failure, Hello, PLAIN, StreamSpec};

/// Sends a stream. An error means that the channel itself is unusable.
type Sender = Box<dyn FnOnce(&OwnedFd, &Teller) -> Result<(), String> + Send>;

/// What the writer of a channel does, one after the other.
pub(super) enum Order {
    Request(Box<Request>),
    Send(Sender),
    Feed(Feed),
    Close,
}

/// The handle of a channel. Dropping the last one closes the helper's stdin, and so ends it.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(super) orders: Arc<mpsc::Sender<Order>>,
    pub(super) open: Arc<Open>,
    /// What its helper has said of itself, once it has greeted.
    pub(super) greeted: Arc<OnceLock<Hello>>,
    pub(super) access: Access,
}

impl Channel {
    /// The same channel for somebody who may do no more than this over it.
    #[must_use]
    pub fn with(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Whether its helper has greeted.
    #[must_use]
    pub fn has_greeted(&self) -> bool {
        self.greeted.get().is_some()
    }

    /// Whether its helper knows [`Request::Examine`]: one that doesn't would end by it.
    #[must_use]
    pub fn examines(&self) -> bool {
        self.announces(EXAMINES)
    }

    /// Whether its helper runs here, and each of its streams needs a session.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.announces(PLAIN)
    }

    fn announces(&self, capability: &str) -> bool {
        self.greeted.get().is_some_and(|hello| hello.capabilities.iter().any(|word| word == capability))
    }

    /// Who its helper is, for messages.
    #[must_use]
    pub fn user(&self) -> &str {
        self.greeted.get().map_or("", |hello| hello.user.as_str())
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

    /// Asks for a stream: what its bytes are read from, what is told beside it, and its number. `per_second`: so many bytes may come in a
    /// second, where the helper knows that.
    pub fn ask_stream(
        &self,
        stream: StreamSpec,
        per_second: Option<NonZeroU64>,
    ) -> io::Result<(OwnedFd, mpsc::Receiver<Report>, u64)> {
        let id = self.open.number();
        let (output, reports) = self.open.stream(id)?;
        self.request(Request::Stream { id, stream, per_second });
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

    /// Has a stream sent that is the helper's to receive, as soon as the stream before is.
    pub(super) fn send(
        &self,
        receive: &Request,
        send: impl FnOnce(&OwnedFd, &Teller) -> Result<(), String> + Send + 'static,
    ) {
        if let Err(why) = self.access.check(true, || receive.what()) {
            return self.give_up(&why.words);
        }
        self.open.note(receive);
        let _ = self.orders.send(Order::Send(Box::new(send)));
    }
}

/// Answers what is never sent.
pub(super) fn answer_here(request: &Request, why: Failure, open: &Open) {
    let reply = Reply::Done { id: request.id(), failure: Some(why), warning: None };
    if open.take(&reply) == Ok(true) {
        open.pass(reply);
    }
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
