//! Runs this machine's `zfs` to its end. Nobody waits for it without end, and one that is not waited for any more is ended.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout};

/// What is told when it says nothing any more.
pub const HANGS: &str = "it says nothing any more and was ended: is the pool suspended? Look at zpool status";

/// Runs a command and collects what it says. `stall`: nothing comes for so long, and it is given up; the pool may be suspended, and
/// `zfs` waits then for ever. Whoever drops this ends the command.
pub async fn output(command: Command, stall: Option<Duration>) -> io::Result<Output> {
    let mut child = start(command)?;
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("no pipes to a command"));
    };
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let more = async {
            tokio::select! {
                read = stdout.read_buf(&mut said), if out_open => read.map(|read| out_open = read > 0),
                read = stderr.read_buf(&mut complaints), if err_open => read.map(|read| err_open = read > 0),
            }
        };
        within(stall, more).await??;
    }
    let status = within(stall, child.wait()).await??;
    Ok(Output { status, stdout: said, stderr: complaints })
}

/// Starts a command with pipes from its output; it ends with its handle.
pub fn start(command: Command) -> io::Result<Child> {
    let mut command = tokio::process::Command::from(command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()
}

/// The output as a descriptor that a thread can read.
pub fn for_a_thread(stdout: ChildStdout) -> io::Result<OwnedFd> {
    let stdout = stdout.into_owned_fd()?;
    zfs::pipe::set_nonblocking(&stdout, false)?;
    Ok(stdout)
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> io::Result<T> {
    match limit {
        None => Ok(work.await),
        Some(limit) => {
            tokio::time::timeout(limit, work).await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, HANGS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    #[tokio::test]
    async fn all_that_is_said_is_collected() {
        let all = output(shell("echo out; echo err >&2; exit 3"), None).await.unwrap();
        assert_eq!((all.stdout.as_slice(), all.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(all.status.code(), Some(3));
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ >{}; exec sleep 1000", file.display());
        let error = output(shell(&script), Some(Duration::from_millis(500))).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pid = std::fs::read_to_string(&file).unwrap();
        let command_line = format!("/proc/{}/cmdline", pid.trim());
        // Killed; who reaps it is not our affair.
        while std::fs::read(&command_line).is_ok_and(|words| !words.is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn one_that_goes_on_has_time() {
        let all = output(shell("for n in 1 2 3 4 5 6; do echo $n; sleep .2; done"), Some(Duration::from_millis(900)));
        assert_eq!(all.await.unwrap().stdout, b"1\n2\n3\n4\n5\n6\n");
    }
}
