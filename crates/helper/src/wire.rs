//! The protocol between sender and helper: one line of greeting, then frames (length, kind, body). Control bodies are
//! JSON, so that either side may add fields; data bodies are raw bytes of the stream, never looked at.

mod limits;
mod message;

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zfs::Hello;

pub use limits::{harmless, short};
pub use message::{Reply, Request};

/// Raised whenever an older peer could misunderstand; both sides name both numbers when they differ.
pub const PROTOCOL: u32 = 2;
/// How the greeting starts; the protocol's number and a JSON object follow on the same line.
pub const GREETING: &str = "ZFSYNC-HELPER";
/// The capability that a helper tells of which sends; one that doesn't receives.
pub const SENDS: &str = "send";
/// The capability of a helper that answers [`Request::Examine`].
pub const EXAMINES: &str = "examine";
/// So much of what a login shell prints before the greeting is read and quoted before we give up.
pub const MAX_PREAMBLE: usize = 64 * 1024;
/// Longest body of a control frame in bytes; a longer one ends the connection before memory is taken for it.
pub const MAX_CONTROL: usize = 1024 * 1024;
/// Longest body of a data frame in bytes: a pipe's largest size without privileges on Linux.
pub const MAX_DATA: usize = 1024 * 1024;
/// Most names in one [`Request::Ask`]: the answer to all of them must fit into one frame too.
pub const MAX_NAMES: usize = 16_384;
/// Most values in a control body: more than [`MAX_NAMES`] names can be answered with.
pub const MAX_VALUES: usize = 100_000;
/// A sender that has nothing to say says so this often.
pub const PING: Duration = Duration::from_secs(15);
/// A helper that has heard nothing for so long takes its sender for dead, and ends.
pub const SILENCE: Duration = Duration::from_secs(60);
/// Bytes in front of each body: length (u32, big endian), kind, three zeros.
pub const HEADER: usize = 8;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A [`Request`], sender to helper.
    Request,
    /// Bytes of the stream that the last [`Request::Receive`] announced.
    Data,
    /// The stream is complete: the sender's `zfs send` ended well.
    End,
    /// The stream ends here and is not complete.
    Abort,
    /// A [`Reply`], helper to sender.
    Reply,
    /// Nothing but a sign of life of the sender, between frames of whatever kind: a connection that is cut for good tells
    /// the other end nothing.
    Ping,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Data => 2,
            Self::End => 3,
            Self::Abort => 4,
            Self::Reply => 5,
            Self::Ping => 6,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Request, Self::Data, Self::End, Self::Abort, Self::Reply, Self::Ping]
            .into_iter()
            .find(|kind| kind.code() == code)
    }

    fn limit(self) -> usize {
        match self {
            Self::Request | Self::Reply => MAX_CONTROL,
            Self::Data => MAX_DATA,
            Self::End | Self::Abort | Self::Ping => 0,
        }
    }
}

/// A frame's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: FrameKind,
    /// How many bytes of it; within the kind's limit.
    pub len: usize,
}

/// What can be wrong with the peer's bytes.
#[derive(Debug, Error)]
pub enum WireError {
    /// The connection broke or ended within a frame.
    #[error("the connection was lost: {}", zfs::text::os_words(.0))]
    Io(#[from] io::Error),
    /// No frame has such a kind.
    #[error("unknown kind of frame: {0}")]
    Kind(u8),
    /// Longer than its kind may be.
    #[error("a frame of {len} bytes; at most {limit} are allowed")]
    TooLong {
        /// The announced length.
        len: usize,
        /// The limit of its kind.
        limit: usize,
    },
    /// More values than any peer of ours would send.
    #[error("a message with {values} values; at most {limit} are allowed")]
    TooMany {
        /// How many it has, at least.
        values: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The reserved bytes are not zero: the peer is out of step.
    #[error("a frame header is damaged")]
    Damaged,
    /// A message asks for more than any peer of ours would.
    #[error("a message exceeds a limit: {0}")]
    Limit(&'static str),
    /// A control body is not the JSON that its kind promises.
    #[error("a message can't be parsed: {0}")]
    Json(#[from] serde_json::Error),
}

impl Header {
    /// The header's bytes.
    ///
    /// # Panics
    /// When `len` exceeds `u32`, which the limits of all kinds rule out.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER] {
        let len = u32::try_from(self.len).expect("frames are bounded by their limit");
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&len.to_be_bytes());
        bytes[4] = self.kind.code();
        bytes
    }

    /// Checks a header's bytes.
    pub fn decode(bytes: [u8; HEADER]) -> Result<Self, WireError> {
        let [a, b, c, d, code, reserved @ ..] = bytes;
        let kind = FrameKind::from_code(code).ok_or(WireError::Kind(code))?;
        if reserved != [0; 3] {
            return Err(WireError::Damaged);
        }
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let limit = kind.limit();
        if len > limit {
            return Err(WireError::TooLong { len, limit });
        }
        Ok(Self { kind, len })
    }

    /// Reads the next header; `None` when the peer closed between frames.
    pub fn read(input: &mut impl Read) -> Result<Option<Self>, WireError> {
        let mut bytes = [0; HEADER];
        let mut have = 0;
        while have < HEADER {
            match input.read(&mut bytes[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::decode(bytes).map(Some)
    }
}

/// Reads a control body of `len` bytes (checked by [`Header::decode`]).
pub fn read_body<T: for<'de> Deserialize<'de>>(input: &mut impl Read, len: usize) -> Result<T, WireError> {
    parse_body(&read_bytes(input, len)?)
}

/// Makes a message of a control body. Before memory is taken for what is in it, it is counted: JSON can name hundreds of
/// thousands of values in a body of legal length, each of which costs many times its bytes.
pub fn parse_body<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, WireError> {
    // Between two values there is always a comma; those within texts count too, and no name has one.
    let values = body.split(|byte| *byte == b',').count();
    if values > MAX_VALUES {
        return Err(WireError::TooMany { values, limit: MAX_VALUES });
    }
    Ok(serde_json::from_slice(body)?)
}

/// The bytes of a control body.
pub fn read_bytes(input: &mut impl Read, len: usize) -> Result<Vec<u8>, WireError> {
    let mut body = vec![0; len];
    input.read_exact(&mut body)?;
    Ok(body)
}

/// Writes one control frame in a single `write`, so that frames of several threads don't mix under one lock.
pub fn write_message<T: Serialize>(output: &mut impl Write, kind: FrameKind, message: &T) -> Result<(), WireError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - HEADER;
    if len > kind.limit() {
        return Err(WireError::TooLong { len, limit: kind.limit() });
    }
    frame[..HEADER].copy_from_slice(&Header { kind, len }.encode());
    output.write_all(&frame)?;
    Ok(output.flush()?)
}

/// Writes a frame without a body ([`FrameKind::End`], [`FrameKind::Abort`] or [`FrameKind::Ping`]).
pub fn write_mark(output: &mut impl Write, kind: FrameKind) -> Result<(), WireError> {
    output.write_all(&Header { kind, len: 0 }.encode())?;
    Ok(output.flush()?)
}

/// The greeting as it goes over the wire, with its line feed.
pub fn greeting(hello: &Hello) -> Result<String, WireError> {
    Ok(format!("{GREETING}/{PROTOCOL} {}\n", serde_json::to_string(hello)?))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
