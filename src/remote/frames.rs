//! What a helper sends after its greeting: replies, and the frames of streams, which go straight into their pipes.

use std::io::{self, BufReader, Read};
use std::sync::{Mutex, PoisonError};

use helper::pump::{Mover, Taken};
use helper::wire::{self, FrameKind, Header, Reply, WireError};

use super::greeting::Timed;
use super::open::Open;

/// Messages are parsed one at a time in all channels: what is made of a long one can need many times its length.
static PARSING: Mutex<()> = Mutex::new(());

/// One frame.
pub(super) enum Frame {
    /// A reply.
    Reply(Reply),
    /// One that is dealt with already.
    Other,
}

/// The frames of a helper.
pub(super) struct Frames {
    /// What came together with the greeting.
    begun: Vec<u8>,
    output: Timed,
    mover: Mover,
    /// The stream whose data comes.
    stream: Option<u64>,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.begun.is_empty() {
            return self.output.read(buffer);
        }
        let len = self.begun.as_slice().read(buffer)?;
        self.begun.drain(..len);
        Ok(len)
    }
}

impl Frames {
    pub fn new(output: BufReader<Timed>) -> Self {
        let begun = output.buffer().to_vec();
        Self { begun, output: output.into_inner(), mover: Mover::new(), stream: None }
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self, open: &Open) -> Result<Option<Frame>, WireError> {
        let Some(Header { kind, len }) = Header::read(self)? else { return Ok(None) };
        match (kind, self.stream) {
            (FrameKind::Reply, _) => {
                let body = wire::read_bytes(self, len)?;
                let _one_at_a_time = PARSING.lock().unwrap_or_else(PoisonError::into_inner);
                return Ok(Some(Frame::Reply(wire::parse_body(&body)?)));
            }
            (FrameKind::Data, Some(id)) => self.data(id, len, open)?,
            (FrameKind::End | FrameKind::Abort, Some(id)) => {
                open.marked(id, kind == FrameKind::End);
                self.stream = None;
            }
            (FrameKind::Ping, _) => {}
            (FrameKind::Data | FrameKind::End | FrameKind::Abort, None) => {
                return Err(WireError::Limit("a stream that nobody has asked for"));
            }
            (FrameKind::Request, _) => return Err(WireError::Damaged),
        }
        Ok(Some(Frame::Other))
    }

    /// Takes note of a stream that begins.
    pub fn begins(&mut self, reply: &Reply) {
        if let Reply::Begin { id } = reply {
            self.stream = Some(*id);
        }
    }

    fn data(&mut self, id: u64, len: usize, open: &Open) -> Result<(), WireError> {
        let pipe = open.pipe(id);
        let first: Vec<u8> = self.begun.drain(..len.min(self.begun.len())).collect();
        let left = len - first.len();
        let mut taken = Taken::All;
        if let Some(pipe) = pipe.as_ref().filter(|_| !first.is_empty()) {
            taken = self.mover.put(&self.output, pipe, &first)?;
        }
        let wants = pipe.as_ref().filter(|_| taken == Taken::All);
        if left > 0 {
            let more = self.mover.take(&self.output, wants, left)?;
            taken = if taken == Taken::All { more } else { taken };
        }
        if let (Some(pipe), Taken::All) = (pipe, taken) {
            open.put_back(id, pipe);
        }
        Ok(())
    }
}
