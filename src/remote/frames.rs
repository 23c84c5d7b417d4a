//! What a helper sends after its greeting: replies, and the frames of streams, which go straight into their pipes.

use std::io::{self, BufReader, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use helper::pump::{Mover, Taken};
use helper::wire::{self, FrameKind, Header, Reply, SILENCE, WireError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
    /// Whether a frame has begun: its rest is never far.
    within: bool,
    /// So long it may be silent there.
    silence: Duration,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = if self.begun.is_empty() {
            if self.within && !self.hears_more() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.output.read(buffer)?
        } else {
            let len = self.begun.as_slice().read(buffer)?;
            self.begun.drain(..len);
            len
        };
        self.within |= len > 0;
        Ok(len)
    }
}

impl Frames {
    pub fn new(output: BufReader<Timed>) -> Self {
        let begun = output.buffer().to_vec();
        let (output, mover) = (output.into_inner(), Mover::new());
        Self { begun, output, mover, stream: None, within: false, silence: SILENCE }
    }

    /// Whether more comes, or the end, before it has been silent for too long.
    fn hears_more(&self) -> bool {
        let most = Timespec::try_from(self.silence).ok();
        poll(&mut [PollFd::new(&self.output, PollFlags::IN)], most.as_ref()) != Ok(0)
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self, open: &Open) -> Result<Option<Frame>, WireError> {
        self.within = false;
        let Some(Header { kind, len }) = Header::read(self)? else { return Ok(None) };
        match (kind, self.stream) {
            (FrameKind::Reply, _) => {
                let body = wire::read_bytes(self, len)?;
                let _one_at_a_time = PARSING.lock().unwrap_or_else(PoisonError::into_inner);
                let reply = wire::parse_body(&body)?;
                self.check(&reply)?;
                return Ok(Some(Frame::Reply(reply)));
            }
            (FrameKind::Data, Some(id)) => self.data(id, len, open)?,
            (FrameKind::End | FrameKind::Abort, Some(id)) => {
                open.marked(id, kind == FrameKind::End);
                self.stream = None;
            }
            (FrameKind::Ping, _) => {}
            (FrameKind::Data | FrameKind::End | FrameKind::Abort, None) => {
                return Err(WireError::Limit("a stream that was not requested"));
            }
            (FrameKind::Request, _) => return Err(WireError::Damaged),
        }
        Ok(Some(Frame::Other))
    }

    /// While the frames of a stream come no other one begins, and it isn't over.
    fn check(&self, reply: &Reply) -> Result<(), WireError> {
        match (reply, self.stream) {
            (Reply::Begin { .. }, Some(_)) => Err(WireError::Limit("a stream within a stream")),
            (Reply::Ended { id, .. } | Reply::Done { id, .. }, Some(stream)) if *id == stream => {
                Err(WireError::Limit("a stream ended without its end marker"))
            }
            _ => Ok(()),
        }
    }

    /// Takes note of a stream that begins.
    pub fn begins(&mut self, reply: &Reply) {
        if let Reply::Begin { id } = reply {
            self.stream = Some(*id);
            self.mover.begin();
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Frames of what is said, while more could come.
    fn frames(said: &[u8]) -> (Frames, io::PipeWriter) {
        let (ours, mut theirs) = io::pipe().unwrap();
        theirs.write_all(said).unwrap();
        let mut output = Timed::new(ours.into(), Duration::from_secs(60));
        output.no_limit();
        let frames = Frames { silence: Duration::from_millis(200), ..Frames::new(BufReader::new(output)) };
        (frames, theirs)
    }

    #[test]
    fn silence_within_a_frame_ends_the_channel_and_none_between_frames() {
        let open = Open::new("alpha");
        let mut reply = Vec::new();
        wire::write_message(&mut reply, FrameKind::Reply, &Reply::Beat { id: 1 }).unwrap();
        for cut in [1, 7, 8, reply.len() - 1] {
            let (mut frames, _theirs) = frames(&reply[..cut]);
            let cut = frames.next(&open);
            assert!(matches!(cut, Err(WireError::Io(error)) if error.kind() == io::ErrorKind::TimedOut));
        }
        let (mut frames, mut theirs) = frames(&reply);
        assert!(matches!(frames.next(&open), Ok(Some(Frame::Reply(Reply::Beat { id: 1 })))));
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            theirs.write_all(&reply).unwrap();
        });
        assert!(matches!(frames.next(&open), Ok(Some(Frame::Reply(Reply::Beat { id: 1 })))));
        later.join().unwrap();
        assert!(matches!(frames.next(&open), Ok(None)));
    }
}
