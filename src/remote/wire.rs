//! The protocol between sender and helper: one line of greeting, then frames (length, kind, body). Control bodies are
//! JSON, so that either side may add fields; data bodies are raw bytes of the stream, never looked at.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::{DatasetName, Guid, ResumeToken, SnapshotName, Txg};
use crate::plan::{Cure, Kind};
use crate::zfs::{Note, Noted, Refusal};

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
/// Most names in one [`Request::Ask`]: the answer to all of them must fit into one frame too.
pub const MAX_NAMES: usize = 16_384;
/// Most snapshots in one [`Request::Thin`].
pub const MAX_THIN: usize = 2000;
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

/// Writes a frame without a body ([`FrameKind::End`], [`FrameKind::Abort`] or [`FrameKind::Ping`]).
pub fn write_mark(output: &mut impl Write, kind: FrameKind) -> Result<(), WireError> {
    output.write_all(&Header { kind, len: 0 }.encode())?;
    Ok(output.flush()?)
}

/// The helper's greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The user that the helper runs as, for messages.
    #[serde(default)]
    pub user: String,
    /// The datasets that the helper is confined to; none: all.
    #[serde(default)]
    pub roots: Vec<DatasetName>,
    /// What it may do beside receiving, as on its command line.
    #[serde(default)]
    pub allow: Vec<String>,
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
        /// At most [`MAX_NAMES`], and so many that the frame stays within [`MAX_CONTROL`].
        names: Vec<String>,
    },
    /// All snapshots of each of these datasets (not below them). Answered by [`Reply::Listed`] frames, then [`Reply::Done`].
    List {
        /// Comes back in the answers.
        id: u64,
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// The same for a dataset and all below it; nothing if it doesn't exist. Answered as [`Request::List`].
    Tree {
        /// Comes back in the answers.
        id: u64,
        /// The top of the tree.
        dataset: DatasetName,
    },
    /// What the pool and its nearest dataset allow a stream to carry. Answered by [`Reply::Probed`].
    Probe {
        /// Comes back in the answer.
        id: u64,
        /// The nearest dataset of the target that exists.
        dataset: DatasetName,
    },
    /// Drop what a cut receive left in this dataset (`zfs recv -A`), as it can't be resumed. Answered by [`Reply::Done`].
    Clear {
        /// Comes back in the answer.
        id: u64,
        /// The dataset; with a first receive that was cut it goes away.
        dataset: DatasetName,
    },
    /// Claim this tree for a run, until the helper ends. Answered by [`Reply::Done`], with [`Refusal::Locked`] when another run has
    /// it, or a part of it, or what it is a part of.
    Lock {
        /// Comes back in the answer.
        id: u64,
        /// TARGET.
        dataset: DatasetName,
        /// The run, the same for all its helpers.
        run: u64,
        /// Who it is, for the message that others get.
        owner: String,
    },
    /// Get a conflict out of the way. Refused unless the helper's command line allows it. Answered by [`Reply::Done`].
    Cure {
        /// Comes back in the answer.
        id: u64,
        /// How.
        cure: Cure,
    },
    /// When were these snapshots made? Answered by [`Reply::Dated`].
    Dates {
        /// Comes back in the answer.
        id: u64,
        /// Full names (`a/b@s`), as in [`Request::Ask`].
        names: Vec<String>,
    },
    /// Destroy these snapshots as far as they are still the same, and neither held nor cloned. Refused unless the helper's
    /// command line allows it. Answered by [`Reply::Thinned`].
    Thin {
        /// Comes back in the answer.
        id: u64,
        /// The dataset.
        dataset: DatasetName,
        /// Its snapshots that go; at most [`MAX_THIN`].
        snapshots: Vec<(SnapshotName, Guid)>,
        /// Whether only to tell what would be done.
        dry_run: bool,
    },
    /// What datasets are there, from this one down? Answered by [`Reply::Names`] frames, then [`Reply::Done`].
    Names {
        /// Comes back in the answers.
        id: u64,
        /// The top of the tree.
        dataset: DatasetName,
    },
    /// Rename a dataset, and with it all below, as the source has done. Refused unless the helper's command line allows it.
    /// Answered by [`Reply::Done`].
    Rename {
        /// Comes back in the answer.
        id: u64,
        /// How.
        rename: Rename,
    },
    /// What is noted of a tree's datasets, and of these snapshots. Answered by [`Reply::Notes`] frames, then [`Reply::Done`].
    Notes {
        /// Comes back in the answers.
        id: u64,
        /// The top of the tree.
        #[serde(default)]
        dataset: Option<DatasetName>,
        /// Full names of snapshots; at most [`MAX_NAMES`].
        #[serde(default)]
        snapshots: Vec<String>,
    },
    /// Note something on these datasets and snapshots, or (`value` is `None`) drop the note. Refused unless the helper's command
    /// line allows to destroy: that is what notes are for. Answered by [`Reply::Done`].
    Note {
        /// Comes back in the answer.
        id: u64,
        /// Which note.
        note: Note,
        /// What it says.
        value: Option<String>,
        /// Full names; at most [`MAX_NAMES`]. One that is gone already does no harm.
        names: Vec<String>,
    },
    /// Destroy a dataset that has just these snapshots, with neither holds nor clones, nothing written since, nothing below, and that
    /// is not mounted. Refused unless the helper's command line allows it. Answered by [`Reply::Done`].
    Destroy {
        /// Comes back in the answer.
        id: u64,
        /// The dataset.
        dataset: DatasetName,
        /// All its snapshots.
        snapshots: Vec<Guid>,
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
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the message")]
pub struct Receive {
    /// The dataset that receives.
    pub dataset: DatasetName,
    /// Filesystems to create first where they don't exist yet, the highest first: unmounted, `canmount=off`.
    #[serde(default)]
    pub ancestors: Vec<DatasetName>,
    /// That one of them which is the top of a new tree: gets `readonly=on`.
    #[serde(default)]
    pub top_ancestor: Option<DatasetName>,
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
    /// Its content is to be replaced (`recv -F`), as the user has said by `--replace`; it has no snapshots any more.
    #[serde(default)]
    pub overwrite: bool,
    /// Whether a cut receive leaves something to go on with (`recv -s`).
    #[serde(default = "yes")]
    pub resumable: bool,
    /// The snapshot that will be the newest once all of a new dataset has arrived: noted on it, as put there by zfsync.
    #[serde(default)]
    pub upto: Option<Guid>,
}

/// One rename on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// The old name.
    pub from: DatasetName,
    /// The new one; nothing may be there.
    pub to: DatasetName,
    /// It must have this snapshot, to be the right one.
    pub snapshot: SnapshotName,
    /// The snapshot's identity.
    pub guid: Guid,
    /// Filesystems to create first, as in [`Receive::ancestors`].
    pub ancestors: Vec<DatasetName>,
    /// As [`Receive::top_ancestor`].
    #[serde(default)]
    pub top_ancestor: Option<DatasetName>,
}

fn yes() -> bool {
    true
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
    /// To [`Request::List`] and [`Request::Tree`]: a part of one dataset's snapshots. Several may follow each other for one dataset; the facts
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
    /// To [`Request::Thin`].
    Thinned {
        /// The request's.
        id: u64,
        /// What came of it.
        thinned: Thinned,
    },
    /// To [`Request::Dates`].
    Dated {
        /// The request's.
        id: u64,
        /// Place in the question, seconds since 1970 (`creation`); what doesn't exist is left out.
        dates: Vec<(u32, i64)>,
    },
    /// To [`Request::Names`]: some of them.
    Names {
        /// The request's.
        id: u64,
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// To [`Request::Notes`]: some of them.
    Notes {
        /// The request's.
        id: u64,
        /// The notes.
        notes: Vec<Noted>,
    },
    /// A sign of life of a running receive: sent only when it has moved on since the last one, or works.
    Beat {
        /// The id of its [`Request::Receive`].
        id: u64,
    },
    /// The request is through: nothing, or why not.
    Done {
        /// The request's.
        id: u64,
        /// `None` when all went well.
        #[serde(default)]
        failure: Option<Failure>,
        /// What `zfs` complained of although all went well: above all that a delegated user may not set `canmount` or
        /// `readonly`, so that what has arrived could be mounted at the next boot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
}

/// What came of a [`Request::Thin`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinned {
    /// How many were destroyed, or would be.
    pub destroyed: usize,
    /// How many bytes that freed, or would.
    pub freed: u64,
    /// What stays although it was to go, and why.
    #[serde(default)]
    pub pinned: Vec<(SnapshotName, String)>,
}

/// What the helper knows of a listed dataset beside its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// Filesystem or volume.
    pub kind: Kind,
    /// A receive into it was cut and can be resumed.
    #[serde(default)]
    pub partial: bool,
    /// What `zfs send -t` needs for that.
    #[serde(default)]
    pub token: Option<ResumeToken>,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_survive_and_are_checked() {
        for (kind, limit) in [
            (FrameKind::Request, MAX_CONTROL),
            (FrameKind::Data, MAX_DATA),
            (FrameKind::End, 0),
            (FrameKind::Abort, 0),
            (FrameKind::Reply, MAX_CONTROL),
            (FrameKind::Ping, 0),
        ] {
            let header = Header { kind, len: limit };
            assert_eq!(Header::decode(header.encode()).unwrap(), header);
            let too_long = Header { kind, len: limit + 1 }.encode();
            assert!(matches!(Header::decode(too_long), Err(WireError::TooLong { len, .. }) if len == limit + 1));
        }
        assert!(matches!(Header::decode([0, 0, 0, 0, 9, 0, 0, 0]), Err(WireError::Kind(9))));
        assert!(matches!(Header::decode([0, 0, 0, 0, 2, 0, 1, 0]), Err(WireError::Damaged)));
    }

    #[test]
    fn an_end_between_frames_is_no_error_but_one_within_is() {
        assert_eq!(Header::read(&mut &b""[..]).unwrap(), None);
        assert!(matches!(Header::read(&mut &b"\0\0\0"[..]), Err(WireError::Io(_))));
    }

    #[test]
    fn fields_of_a_newer_peer_are_ignored_and_older_ones_left_out() {
        let newer =
            br#"{"verb":"receive","id":7,"receive":{"dataset":"b/x","kind":"volume","colour":"red"},"more":[]}"#;
        let request: Request = read_body(&mut &newer[..], newer.len()).unwrap();
        let Request::Receive { id: 7, receive } = request else { panic!("{request:?}") };
        assert!(!receive.create && !receive.top && !receive.into_empty && receive.ancestors.is_empty());
        let reply: Reply = serde_json::from_str(r#"{"answer":"done","id":1}"#).unwrap();
        assert_eq!(reply, Reply::Done { id: 1, failure: None, warning: None });
    }

    #[test]
    fn a_name_that_zfs_would_refuse_is_refused() {
        for (verb, name) in
            ["-r", "b/../x", "b@s", "", "b/x;reboot"].iter().flat_map(|name| [("probe", name), ("tree", name)])
        {
            let body = format!(r#"{{"verb":"{verb}","id":1,"dataset":{name:?}}}"#);
            assert!(
                matches!(read_body::<Request>(&mut body.as_bytes(), body.len()), Err(WireError::Json(_))),
                "{verb} {name:?}"
            );
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_not_sent() {
        let mut output = Vec::new();
        let request = Request::Ask { id: 1, names: vec!["x".repeat(MAX_CONTROL)] };
        let written = write_message(&mut output, FrameKind::Request, &request);
        assert!(matches!(written, Err(WireError::TooLong { .. })));
        assert!(output.is_empty());
    }

    #[test]
    fn the_longest_answers_fit_into_a_frame() {
        let found = vec![(u32::MAX, Guid(u64::MAX), Txg(u64::MAX)); MAX_NAMES];
        write_message(&mut io::sink(), FrameKind::Reply, &Reply::Found { id: u64::MAX, found }).unwrap();
    }

    proptest! {
        #[test]
        fn any_header_gives_a_result(bytes: [u8; HEADER]) {
            if let Ok(header) = Header::decode(bytes) {
                prop_assert!(header.len <= header.kind.limit());
                prop_assert_eq!(header.encode(), bytes);
            }
        }

        #[test]
        fn any_body_gives_a_result(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_body::<Request>(&mut &body[..], body.len());
            let _ = read_body::<Reply>(&mut &body[..], body.len() + 1);
        }
    }
}
