//! The protocol between sender and helper: one line of greeting, then frames (length, kind, body). Control bodies are
//! JSON, so that either side may add fields; data bodies are raw bytes of the stream, never looked at.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::plan::Kind;
use crate::zfs::Refusal;

/// Raised whenever an older peer could misunderstand; both sides name both numbers when they differ.
pub const PROTOCOL: u32 = 1;
/// How the greeting starts; the protocol's number and a JSON object follow on the same line.
pub const GREETING: &str = "ZFSYNC-HELPER";
/// So much of what a login shell prints before the greeting is read and quoted before we give up.
pub const MAX_PREAMBLE: usize = 64 * 1024;
/// Longest body of a control frame in bytes; a longer one ends the connection before memory is taken for it.
pub const MAX_CONTROL: usize = 1024 * 1024;
/// Longest body of a data frame in bytes: a pipe's largest size without privileges on Linux.
pub const MAX_DATA: usize = 1024 * 1024;
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
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Data => 2,
            Self::End => 3,
            Self::Abort => 4,
            Self::Reply => 5,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Request, Self::Data, Self::End, Self::Abort, Self::Reply].into_iter().find(|kind| kind.code() == code)
    }

    fn limit(self) -> usize {
        match self {
            Self::Request | Self::Reply => MAX_CONTROL,
            Self::Data => MAX_DATA,
            Self::End | Self::Abort => 0,
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
    #[error("the connection broke: {0}")]
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
    /// The reserved bytes are not zero: the peer is out of step.
    #[error("a frame's header is damaged")]
    Damaged,
    /// A control body is not the JSON that its kind promises.
    #[error("a message can't be understood: {0}")]
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
    let mut body = vec![0; len];
    input.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
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

/// Writes a frame without a body ([`FrameKind::End`] or [`FrameKind::Abort`]).
pub fn write_mark(output: &mut impl Write, kind: FrameKind) -> Result<(), WireError> {
    output.write_all(&Header { kind, len: 0 }.encode())?;
    Ok(output.flush()?)
}

/// The helper's greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The helper's own version.
    pub version: String,
    /// Its OpenZFS version as the kernel module gives it, where that is free to ask.
    #[serde(default)]
    pub zfs: Option<String>,
    /// Where it found the `zfs` command; `None` when there is none.
    #[serde(default)]
    pub zfs_path: Option<String>,
    /// Tells whether both ends are the same running system; empty where unknown.
    #[serde(default)]
    pub boot_id: String,
    /// The host's own name, for messages.
    #[serde(default)]
    pub host: String,
    /// What this helper can do beyond the first version; unknown words are ignored.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

impl Hello {
    /// The line as it goes over the wire, with its line feed.
    pub fn to_line(&self) -> Result<String, WireError> {
        Ok(format!("{GREETING}/{PROTOCOL} {}\n", serde_json::to_string(self)?))
    }
}

/// What the sender asks for; the helper answers with the same id, not always in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Which of these datasets (`a/b`) and snapshots (`a/b@s`) exist? Answered by [`Reply::Found`].
    Ask {
        /// Comes back in the answer.
        id: u64,
        /// At most so many that the frame stays within [`MAX_CONTROL`].
        names: Vec<String>,
    },
    /// All snapshots of each of these datasets (not below them). Answered by [`Reply::Listed`] frames, then [`Reply::Done`].
    List {
        /// Comes back in the answers.
        id: u64,
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// What the pool and its nearest dataset allow a stream to carry. Answered by [`Reply::Probed`].
    Probe {
        /// Comes back in the answer.
        id: u64,
        /// The nearest dataset of the target that exists.
        dataset: DatasetName,
    },
    /// Receive the stream that follows in data frames. Answered by [`Reply::Done`].
    Receive {
        /// Comes back in the answer.
        id: u64,
        /// How.
        receive: Receive,
    },
}

/// One receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receive {
    /// The dataset that receives.
    pub dataset: DatasetName,
    /// Filesystems to create first where they don't exist yet, the highest first: unmounted, `canmount=off`.
    #[serde(default)]
    pub ancestors: Vec<DatasetName>,
    /// What the dataset is; decides which properties can be set.
    pub kind: Kind,
    /// Whether it comes into being with this receive, and so gets the properties that keep it unmounted.
    #[serde(default)]
    pub create: bool,
    /// Whether it is the top of a new tree: gets `readonly=on`.
    #[serde(default)]
    pub top: bool,
    /// It exists and is believed to be empty: the helper checks that again and only then replaces it (`recv -F`).
    #[serde(default)]
    pub into_empty: bool,
}

/// The helper's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Ask`]: those that exist, by their place in the question. All others don't.
    Found {
        /// The request's.
        id: u64,
        /// Place, guid, createtxg.
        found: Vec<(u32, Guid, Txg)>,
    },
    /// To [`Request::List`]: a part of one dataset's snapshots. Several may follow each other for one dataset; the facts
    /// are the same in each.
    Listed {
        /// The request's.
        id: u64,
        /// Which dataset.
        dataset: DatasetName,
        /// What it is.
        facts: TargetFacts,
        /// Its snapshots, or some of them.
        snapshots: Vec<(SnapshotName, Guid, Txg)>,
    },
    /// To [`Request::Probe`].
    Probed {
        /// The request's.
        id: u64,
        /// Features of the pool that are `disabled`, of those that a stream can need.
        disabled: Vec<String>,
        /// Whether the dataset is encrypted, and so what is created below it would be.
        encrypted: bool,
    },
    /// The request is through: nothing, or why not.
    Done {
        /// The request's.
        id: u64,
        /// `None` when all went well.
        #[serde(default)]
        failure: Option<Failure>,
    },
}

/// What the helper knows of a listed dataset beside its snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// Filesystem or volume.
    pub kind: Kind,
    /// A receive into it was cut and can be resumed.
    #[serde(default)]
    pub partial: bool,
    /// A filesystem that has no snapshot and never held a file, as far as ZFS can tell.
    #[serde(default)]
    pub empty: bool,
}

/// Why a request failed on the helper's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The case, as far as ZFS's words tell it.
    pub refusal: Refusal,
    /// ZFS's own words, cut to a sane length.
    pub words: String,
}
