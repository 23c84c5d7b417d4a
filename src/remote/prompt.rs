//! An `ssh` that may ask for a password, or whether a host key is right, at the terminal. While it does the terminal shows nothing of
//! what is typed; whatever ends us then must not leave it so.

use std::fs::File;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use tokio::process::{Child, Command};

/// How often it is looked whether it has ended.
const AGAIN: Duration = Duration::from_millis(1);

/// A running `ssh`.
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

    /// Ends it, if it still runs, within that time. The terminal is as it was before.
    pub fn end(&mut self, limit: Duration) {
        let began = Instant::now();
        let running = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = running.filter(|_| self.terminal.is_some()) {
            // Killed outright it could not clean up. The child isn't reaped, so the number is still its own.
            let _ = kill_process(pid, Signal::TERM);
            self.wait_until(began + limit / 2);
        }
        let _ = self.child.start_kill();
        self.wait_until(began + limit);
        // From the background it would stop us (SIGTTOU), and the terminal is another's. It may have become ours since the start (fg).
        if let Some((terminal, settings)) = self.terminal.take().filter(|(terminal, _)| is_in_foreground(terminal)) {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &settings);
        }
    }

    fn wait_until(&mut self, until: Instant) {
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(AGAIN);
        }
    }
}

/// As ssh finds it; none without one.
fn terminal() -> Option<(File, Termios)> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let settings = tcgetattr(&terminal).ok()?;
    Some((terminal, settings))
}

/// Whether our process group is the one that the terminal belongs to just now.
fn is_in_foreground(terminal: &File) -> bool {
    tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
}
