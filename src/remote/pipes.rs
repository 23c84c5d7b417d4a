//! Our ends of a helper's stdio, over a session on its host.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::Duration;

use zfs::text::{on_one_line, quoted};

use super::event::HelperError;
use super::ssh::Sessions;

/// So much of what the helper and its shell write to stderr is kept.
const MAX_STDERR: u64 = 8 * 1024;

/// Our ends of a helper's stdio, and where its exit status will be told.
pub(super) struct Pipes {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub status: mpsc::Receiver<String>,
    /// So long it has for its greeting.
    pub limit: Duration,
}

/// What is left to learn once a helper's output has ended.
pub(super) struct Aftermath {
    pub host: String,
    /// The command that was to start it, where nothing else is tried.
    pub command: Option<String>,
    pub status: mpsc::Receiver<String>,
    pub stderr: mpsc::Receiver<String>,
}

impl Aftermath {
    /// The helper's stderr and how it ended; neither is worth waiting long for.
    pub fn words(&self) -> (String, String) {
        let wait = Duration::from_secs(2);
        let status = self.status.recv_timeout(wait).unwrap_or_else(|_| "still running".into());
        (quoted(&self.stderr.recv_timeout(wait).unwrap_or_default()), on_one_line(&status).into_owned())
    }

    /// Why it is gone.
    pub fn reason(&self) -> String {
        let (words, status) = self.words();
        if words.is_empty() { status } else { format!("{status}; it says: {words}") }
    }
}

/// Starts a session on the host.
pub(super) async fn session(sessions: &Sessions, line: &str, limit: Duration) -> Result<Pipes, HelperError> {
    let ((stdin, ours_in), (ours_out, stdout), (ours_err, stderr)) = (io::pipe()?, io::pipe()?, io::pipe()?);
    zfs::pipe::grow_pipe(&ours_in);
    zfs::pipe::grow_pipe(&ours_out);
    let remote = sessions.start(line, [stdin.into(), stdout.into(), stderr.into()]).await?;
    let (tell, status) = mpsc::channel();
    tokio::spawn(async move {
        // Nobody listens any more when the run is over.
        let _ = tell.send(remote.wait().await);
    });
    Ok(Pipes { stdin: ours_in.into(), stdout: ours_out.into(), stderr: ours_err.into(), status, limit })
}

pub(super) fn read_stderr(stderr: File) -> String {
    let mut words = Vec::new();
    let mut input = stderr.take(MAX_STDERR);
    let _ = input.read_to_end(&mut words);
    // Read on, so that a talkative helper never blocks.
    let _ = io::copy(&mut input.into_inner(), &mut io::sink());
    String::from_utf8_lossy(&words).trim().to_owned()
}
