//! The end on this machine: the session in which the other host carries an order out.

use std::io::{self, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use helper::wire::{GREETING as HELPER, PING};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc as told};

use super::{Ask, DirectError, GREETING, MAX_ORDER, MAX_TOLD, Order, PROTOCOL, Stop, Version, line, read_line};
use crate::remote::greeting::{self, GREETED_WITHIN, Line, Timed};
use crate::remote::link::Link;
use crate::remote::pipes::{Aftermath, read_stderr};
use crate::remote::ssh::Master;
use crate::remote::target::Host;

/// So many lines wait to be taken.
const ROOM: usize = 256;
/// So many bytes of them: two of the longest.
const ROOM_BYTES: usize = 2 * MAX_TOLD;

/// zfsync on another host, which has greeted.
#[derive(Debug)]
pub struct Session {
    host: String,
    version: String,
    silence: Option<Duration>,
    master: Master,
    lines: told::Receiver<Heard>,
    /// Its stdin, as long as somebody has this.
    say: mpsc::Sender<Vec<u8>>,
}

/// What the thread that reads has heard.
#[derive(Debug)]
enum Heard {
    Greeting(String),
    /// It takes its room until somebody has taken it.
    Line(Vec<u8>, OwnedSemaphorePermit),
    End(DirectError),
}

impl Session {
    /// Connects, and starts it.
    pub async fn open(host: &Host, link: &Link) -> Result<Self, DirectError> {
        let master = Master::connect(host, &link.ssh, true).await?;
        let ((stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        let command = link.helper.to_string();
        let remote = master.sessions().start(&command, [stdin.into(), stdout.into(), stderr.into()]).await?;
        let (tell, status) = mpsc::channel();
        tokio::spawn(async move {
            // Nobody listens any more when the run is over.
            let _ = tell.send(remote.wait().await);
        });
        let limit = link.silence.map_or(GREETED_WITHIN, |silence| silence.min(GREETED_WITHIN));
        let (words, said) = mpsc::channel();
        thread::Builder::new().name("direct-err".into()).spawn(move || {
            let _ = words.send(read_stderr(OwnedFd::from(ours_err).into()));
        })?;
        let after = Aftermath { host: host.to_string(), command: None, status, stderr: said };
        let (heard, lines) = told::channel(ROOM);
        let output = Timed::new(OwnedFd::from(ours_out), limit);
        let room = Room { bytes: Arc::new(Semaphore::new(ROOM_BYTES)), runtime: Handle::current() };
        thread::Builder::new().name("direct-out".into()).spawn(move || read(output, &after, &heard, &room))?;
        let (say, todo) = mpsc::channel();
        thread::Builder::new().name("direct-in".into()).spawn(move || write(ours_in, &todo))?;
        let (host, silence) = (host.to_string(), link.silence);
        let mut session = Self { host, version: String::new(), silence, master, lines, say };
        match session.lines.recv().await {
            Some(Heard::Greeting(version)) => session.version = version,
            Some(Heard::End(error)) => return Err(error),
            _ => return Err(session.lost("it has not greeted")),
        }
        Ok(session)
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gives the order: the first thing that it is told.
    pub fn order(&self, order: &Order) -> Result<(), DirectError> {
        let order = line(order)?;
        if order.len() > MAX_ORDER {
            return Err(DirectError::TooLong { bytes: order.len() });
        }
        // Where it is gone, that is heard.
        let _ = self.say.send(order);
        Ok(())
    }

    /// Tells it to end the push in good order, or when it does so already, at once.
    pub fn stop(&self, stop: Stop) {
        if let Ok(ask) = line(&Ask { stop }) {
            let _ = self.say.send(ask);
        }
    }

    /// What it tells next. Cancellation safe.
    pub async fn next(&mut self) -> Result<Vec<u8>, DirectError> {
        loop {
            let next = self.lines.recv();
            let heard = match self.silence {
                None => next.await,
                Some(silence) => tokio::time::timeout(silence, next)
                    .await
                    .map_err(|_| DirectError::Silent { host: self.host.clone(), seconds: silence.as_secs() })?,
            };
            match heard {
                Some(Heard::Line(line, room)) => {
                    drop(room);
                    if !line.is_empty() {
                        return Ok(line);
                    }
                }
                Some(Heard::End(error)) => return Err(error),
                Some(Heard::Greeting(_)) | None => return Err(self.lost("it has ended")),
            }
        }
    }

    fn lost(&self, reason: &str) -> DirectError {
        DirectError::Lost { host: self.host.clone(), reason: reason.into() }
    }

    /// Closes its stdin, which ends the push there, and the connection.
    pub async fn close(self) {
        let Self { master, say, lines, .. } = self;
        drop((say, lines));
        master.close().await;
    }
}

/// The thread that writes. When nobody reads any more, the one that reads tells why.
fn write(stdin: io::PipeWriter, todo: &mpsc::Receiver<Vec<u8>>) {
    let mut stdin = stdin;
    loop {
        let line = match todo.recv_timeout(PING) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => b"\n".to_vec(),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        };
        if stdin.write_all(&line).is_err() {
            return;
        }
    }
}

/// What bounds the memory that the other host can fill.
struct Room {
    bytes: Arc<Semaphore>,
    runtime: Handle,
}

impl Room {
    /// Waits until there is room for so many bytes. When nobody takes lines any more, those that wait are gone, and there is.
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(ROOM_BYTES)).ok()?;
        self.runtime.block_on(Arc::clone(&self.bytes).acquire_many_owned(bytes)).ok()
    }
}

/// The thread that reads.
fn read(output: Timed, after: &Aftermath, tell: &told::Sender<Heard>, room: &Room) {
    let mut output = BufReader::with_capacity(64 * 1024, output);
    let end = match greet(&mut output, after) {
        Err(error) => error,
        Ok(version) => {
            output.get_mut().no_limit();
            if tell.blocking_send(Heard::Greeting(version)).is_err() {
                return;
            }
            loop {
                let mut line = Vec::new();
                match read_line(&mut output, &mut line, MAX_TOLD) {
                    Ok(true) => {
                        let Some(taken) = room.take(line.len()) else { return };
                        if tell.blocking_send(Heard::Line(line, taken)).is_err() {
                            return;
                        }
                    }
                    Ok(false) => break DirectError::Lost { host: after.host.clone(), reason: after.reason() },
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        break DirectError::Protocol { host: after.host.clone(), what: error.to_string() };
                    }
                    Err(error) => break DirectError::Lost { host: after.host.clone(), reason: error.to_string() },
                }
            }
        }
    };
    let _ = tell.blocking_send(Heard::End(end));
}

/// Its version, from its greeting.
fn greet(output: &mut BufReader<Timed>, after: &Aftermath) -> Result<String, DirectError> {
    let host = after.host.clone();
    match greeting::find_line(output, &[GREETING, HELPER]) {
        Line::Found { name: GREETING, number, json } => {
            let version = serde_json::from_str::<Version>(&json).unwrap_or_default().version;
            let [theirs, version] = [number, version].map(|text| helper::wire::short(&text));
            if theirs == PROTOCOL.to_string() {
                return Ok(version);
            }
            Err(DirectError::Protocols { host, theirs, version })
        }
        Line::Found { .. } => Err(DirectError::Restricted { host }),
        Line::Late(preamble) => {
            let seconds = output.get_ref().limit().as_secs();
            Err(DirectError::Late { host, seconds, words: greeting::said(&preamble, "") })
        }
        Line::None(preamble) => Err(no_greeting(after, &preamble)),
    }
}

fn no_greeting(after: &Aftermath, preamble: &[u8]) -> DirectError {
    let ((stderr, status), host) = (after.words(), after.host.clone());
    let words = if stderr.trim().is_empty() { status.clone() } else { stderr.trim().to_owned() };
    if status.ends_with("127") || stderr.to_ascii_lowercase().contains("command not found") {
        return DirectError::Missing { host, words };
    }
    if stderr.contains("unrecognized subcommand") {
        return DirectError::Unknown { host, words };
    }
    DirectError::NoGreeting { host, status, words: greeting::said(preamble, &stderr) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_to_be_taken_is_bounded_in_bytes() {
        const LINE: usize = 1 << 20;
        const LINES: usize = ROOM_BYTES / LINE + 8;
        let (ours, mut theirs) = io::pipe().unwrap();
        let (written, all_written) = mpsc::channel();
        thread::spawn(move || {
            let mut line = vec![b'x'; LINE + 1];
            line[LINE] = b'\n';
            writeln!(theirs, "{GREETING}/{PROTOCOL} {{}}").unwrap();
            for _ in 0..LINES {
                theirs.write_all(&line).unwrap();
            }
            written.send(()).unwrap();
        });
        let after = Aftermath { host: "h".into(), command: None, status: mpsc::channel().1, stderr: mpsc::channel().1 };
        let (tell, mut lines) = told::channel(ROOM);
        let room = Room { bytes: Arc::new(Semaphore::new(ROOM_BYTES)), runtime: Handle::current() };
        let reading =
            thread::spawn(move || read(Timed::new(ours.into(), Duration::from_secs(2)), &after, &tell, &room));
        assert!(matches!(lines.recv().await, Some(Heard::Greeting(_))));
        // Nobody takes any: so not all of them can be taken off the pipe.
        assert!(all_written.recv_timeout(Duration::from_millis(500)).is_err());
        assert!(lines.len() * LINE <= ROOM_BYTES, "{} lines wait", lines.len());
        let mut seen = 0;
        while let Some(Heard::Line(line, _)) = lines.recv().await {
            assert_eq!(line.len(), LINE);
            seen += 1;
        }
        assert_eq!(seen, LINES);
        reading.join().unwrap();
    }
}
