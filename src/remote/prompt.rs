//! An `ssh` that may ask for a password, or whether a host key is right, at the terminal. While it does the terminal shows nothing of
//! what is typed; whatever ends us then must not leave it so.

use std::fs::File;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::process::{Child, Command};

/// So long ssh has to put the terminal right by itself.
const ITS_TURN: Duration = Duration::from_millis(500);
/// How often it is looked whether it has ended.
const AGAIN: Duration = Duration::from_millis(5);

/// A running `ssh`. Dropped before its end it is ended, and the terminal is as it was.
#[derive(Debug)]
pub(super) struct Prompting {
    child: Child,
    /// The terminal and how it was, where ssh may change that.
    terminal: Option<(File, Termios)>,
}

impl Prompting {
    /// Starts it; `asks`: it may use the terminal.
    pub fn start(mut command: Command, asks: bool) -> io::Result<Self> {
        let terminal = if asks { terminal() } else { None };
        Ok(Self { child: command.spawn()?, terminal })
    }

    /// Waits for its end. Cancellation safe.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = self.child.wait().await;
        self.terminal = None;
        ended
    }
}

/// As ssh finds it; none without one.
fn terminal() -> Option<(File, Termios)> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let settings = tcgetattr(&terminal).ok()?;
    Some((terminal, settings))
}

impl Drop for Prompting {
    fn drop(&mut self) {
        let running = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = running.filter(|_| self.terminal.is_some()) {
            // Killed outright it could not clean up. The child isn't reaped, so the number is still its own.
            let _ = kill_process(pid, Signal::TERM);
            let asked = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < ITS_TURN {
                std::thread::sleep(AGAIN);
            }
        }
        if let Some((terminal, settings)) = &self.terminal {
            let _ = tcsetattr(terminal, OptionalActions::Now, settings);
        }
    }
}
