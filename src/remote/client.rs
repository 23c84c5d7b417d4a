//! The sender's end of a channel: a helper (over ssh, or a child on this machine), a thread that writes requests and
//! streams to it, and one that turns what it says into events.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::event::Teller;
pub use super::event::{ChannelEvent, ChannelId, FromChannel, HelperError, SendFailure};
use super::ssh::Master;
pub use super::stream::Stream;
use super::stream::{self, Fd};
use super::wire::{self, FrameKind, GREETING, Header, Hello, MAX_PREAMBLE, PING, PROTOCOL, Reply, Request, WireError};
use crate::cli::Allow;

/// How the helper is called on the target host when the user says nothing else. Constant: no name ever reaches a shell.
pub const REMOTE_HELPER: &str = "zfsync recv --stdio";

/// So much of what the helper and its shell write to stderr is kept.
const MAX_STDERR: u64 = 8 * 1024;

enum Order {
    Request(Request),
    Stream(Box<Stream>),
}

/// The handle of a channel. Dropping it closes the helper's stdin, and so ends it.
#[derive(Debug)]
pub struct Channel {
    orders: mpsc::Sender<Order>,
}

/// Our ends of a helper's stdio, and where its exit status will be told.
struct Ends {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    status: mpsc::Receiver<String>,
}

impl Channel {
    /// Starts a helper over `master`.
    pub async fn over_ssh(
        id: ChannelId,
        master: &Master,
        host: &str,
        command: &str,
        events: UnboundedSender<FromChannel>,
    ) -> Result<Self, HelperError> {
        let ((stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        super::pump::grow_pipe(&ours_in);
        let remote = master.start(command, [stdin.into(), stdout.into(), stderr.into()]).await?;
        let (tell, status) = mpsc::channel();
        tokio::spawn(async move {
            // Nobody listens any more when the run is over.
            let _ = tell.send(remote.wait().await);
        });
        let ends = Ends { stdin: ours_in.into(), stdout: ours_out.into(), stderr: ours_err.into(), status };
        Self::start(id, ends, host, events)
    }

    /// Starts a helper as a child of this process, for a target on this machine.
    pub fn local(id: ChannelId, allow: &[Allow], events: UnboundedSender<FromChannel>) -> Result<Self, HelperError> {
        let ((stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        super::pump::grow_pipe(&ours_in);
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
        let ends = Ends { stdin: ours_in.into(), stdout: ours_out.into(), stderr: ours_err.into(), status };
        Self::start(id, ends, "this machine", events)
    }

    fn start(id: ChannelId, ends: Ends, host: &str, events: UnboundedSender<FromChannel>) -> Result<Self, HelperError> {
        let Ends { stdin, stdout, stderr, status } = ends;
        let (orders, todo) = mpsc::channel();
        let tell = Teller { channel: id, events };
        let (writer, reader, host) = (tell.clone(), tell, host.to_owned());
        thread::Builder::new().name(format!("write-{id}")).spawn(move || write(&stdin, &todo, &writer))?;
        let (words, stderr_words) = mpsc::channel();
        thread::Builder::new().name(format!("stderr-{id}")).spawn(move || {
            let _ = words.send(read_stderr(stderr.into()));
        })?;
        thread::Builder::new().name(format!("read-{id}")).spawn(move || {
            let aftermath = Aftermath { host, status, stderr: stderr_words };
            let error = read(BufReader::with_capacity(64 * 1024, stdout.into()), &reader, aftermath);
            reader.tell(ChannelEvent::Closed(error));
        })?;
        Ok(Self { orders })
    }

    /// Sends a request; the answer comes as an event. A channel that is gone says so by [`ChannelEvent::Closed`].
    pub fn request(&self, request: Request) {
        let _ = self.orders.send(Order::Request(request));
    }

    /// Starts a stream as soon as the stream before is sent.
    pub fn stream(&self, stream: Stream) {
        let _ = self.orders.send(Order::Stream(Box::new(stream)));
    }
}

/// The writer thread. When the helper is gone writes fail; the reader thread tells why, so this one just ends.
fn write(stdin: &OwnedFd, todo: &mpsc::Receiver<Order>, tell: &Teller) {
    loop {
        let through = match todo.recv_timeout(PING) {
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                wire::write_mark(&mut Fd(stdin), FrameKind::Ping).map_err(|error| error.to_string())
            }
            Ok(Order::Request(request)) => {
                wire::write_message(&mut Fd(stdin), FrameKind::Request, &request).map_err(|error| error.to_string())
            }
            Ok(Order::Stream(stream)) => stream::run(stdin, *stream, tell),
        };
        if let Err(error) = through {
            tracing::debug!("channel {}: {error}", tell.channel);
            return;
        }
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
        (self.stderr.recv_timeout(wait).unwrap_or_default(), status)
    }
}

/// The reader thread: greeting, then replies, until the end, whose reason it returns.
fn read(mut output: BufReader<std::fs::File>, tell: &Teller, aftermath: Aftermath) -> HelperError {
    match greeting(&mut output) {
        Ok(Ok(hello)) => tell.tell(ChannelEvent::Ready(hello)),
        Ok(Err((theirs, version))) => return HelperError::Version { host: aftermath.host, theirs, version },
        Err(preamble) => return no_greeting(&preamble, &aftermath),
    }
    let reason = loop {
        match reply(&mut output) {
            Ok(Some(reply)) => tell.tell(ChannelEvent::Reply(reply)),
            Ok(None) => {
                let (words, status) = aftermath.words();
                break if words.is_empty() { status } else { format!("{status}; it says: {words}") };
            }
            Err(error) => break error.to_string(),
        }
    };
    HelperError::Lost { host: aftermath.host, reason }
}

fn reply(output: &mut impl Read) -> Result<Option<Reply>, WireError> {
    match Header::read(output)? {
        None => Ok(None),
        Some(Header { kind: FrameKind::Reply, len }) => wire::read_body(output, len).map(Some),
        Some(_) => Err(WireError::Damaged),
    }
}

fn no_greeting(preamble: &[u8], aftermath: &Aftermath) -> HelperError {
    let (stderr, status) = aftermath.words();
    let printed = String::from_utf8_lossy(preamble);
    let lines = printed.lines().chain(stderr.lines()).filter(|line| !line.trim().is_empty());
    let words = lines.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
    let host = aftermath.host.clone();
    if status.ends_with("127") || stderr.to_ascii_lowercase().contains("command not found") {
        let words = if stderr.trim().is_empty() { status } else { stderr.trim().to_owned() };
        return HelperError::Missing { host, words };
    }
    HelperError::NoGreeting { host, status, words: if words.is_empty() { "  nothing".into() } else { words } }
}

/// Looks for the greeting behind whatever a login shell prints; `Err` has all that came instead, the inner `Err` the
/// other protocol's number and the helper's version.
fn greeting(output: &mut impl BufRead) -> Result<Result<Hello, (String, String)>, Vec<u8>> {
    let mut seen = Vec::new();
    let mut limited = output.take(MAX_PREAMBLE as u64);
    loop {
        let start = seen.len();
        match limited.read_until(b'\n', &mut seen) {
            Ok(0) | Err(_) => return Err(seen),
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&seen[start..]);
        // A start-up file may have printed something without a line feed right before it.
        let Some(at) = line.find(GREETING) else { continue };
        let Some((number, json)) = line[at + GREETING.len()..].strip_prefix('/').and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if number != PROTOCOL.to_string() {
            let version = serde_json::from_str::<serde_json::Value>(json).ok();
            let version = version.as_ref().and_then(|json| json.get("version")?.as_str()).unwrap_or("unknown");
            return Ok(Err((number.to_owned(), version.to_owned())));
        }
        match serde_json::from_str(json) {
            Ok(hello) => return Ok(Ok(hello)),
            Err(_) => return Err(seen),
        }
    }
}

fn read_stderr(stderr: std::fs::File) -> String {
    let mut words = Vec::new();
    let mut input = stderr.take(MAX_STDERR);
    let _ = input.read_to_end(&mut words);
    // Read on, so that a talkative helper never blocks.
    let _ = io::copy(&mut input.into_inner(), &mut io::sink());
    String::from_utf8_lossy(&words).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greet(bytes: &[u8]) -> Result<Result<Hello, (String, String)>, Vec<u8>> {
        greeting(&mut BufReader::new(bytes))
    }

    fn hello() -> Hello {
        let (zfs, zfs_path) = (None, Some("/sbin/zfs".into()));
        Hello { version: "0.1.0".into(), zfs, zfs_path, host: "b".into(), ..Hello::default() }
    }

    #[test]
    fn the_greeting_is_found_behind_rubbish() {
        let line = hello().to_line().unwrap();
        for rubbish in ["", "Welcome!\n", "no line feed", "\u{1b}[2J\nlast login: never\n\n"] {
            assert_eq!(greet(format!("{rubbish}{line}").as_bytes()), Ok(Ok(hello())), "{rubbish:?}");
        }
    }

    #[test]
    fn another_protocol_is_named() {
        assert_eq!(greet(b"ZFSYNC-HELPER/99 {\"version\":\"9.9\"}\n"), Ok(Err(("99".into(), "9.9".into()))));
        assert_eq!(greet(b"ZFSYNC-HELPER/99 {}\n"), Ok(Err(("99".into(), "unknown".into()))));
    }

    #[test]
    fn rubbish_is_kept_for_quoting_and_bounded() {
        assert_eq!(greet(b"sh: 1: nope\n"), Err(b"sh: 1: nope\n".to_vec()));
        let endless = vec![b'x'; 3 * MAX_PREAMBLE];
        assert_eq!(greet(&endless).unwrap_err().len(), MAX_PREAMBLE);
        assert!(greet(b"ZFSYNC-HELPER/1 {broken\n").is_err());
    }
}
