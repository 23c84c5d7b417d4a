//! A process that is not our child, as ssh's master isn't once it has gone to the background: seen to end, and ended.

use std::num::NonZeroU32;
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
#[cfg(target_os = "linux")]
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal};

/// After a signal that ends it a process gets so long.
const AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// A process of ours. On Linux it is held by a descriptor, so that another one that gets its id is never taken for it.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// `None` before Linux 5.3.
    #[cfg(target_os = "linux")]
    descriptor: Option<OwnedFd>,
}

impl Process {
    /// A process that is known to live.
    #[must_use]
    pub fn open(pid: NonZeroU32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid.get()).ok()?)?;
        Some(Self {
            pid,
            #[cfg(target_os = "linux")]
            descriptor: rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok(),
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            // It can be read from once the process has ended, whether or not somebody has waited for it.
            let mut fds = [PollFd::new(descriptor, PollFlags::IN)];
            return poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
        }
        rustix::process::test_kill_process(self.pid).is_err()
    }

    /// Sends it a signal, if it still lives.
    pub fn signal(&self, signal: Signal) {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            let _ = rustix::process::pidfd_send_signal(descriptor, signal);
            return;
        }
        let _ = rustix::process::kill_process(self.pid, signal);
    }

    /// Waits for its end, however long that takes.
    pub async fn ended(&self) {
        let mut pause = Duration::from_millis(1);
        while !self.has_ended() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Ends it by SIGTERM, else by SIGKILL; whether it has ended.
    pub async fn end(&self) -> bool {
        for signal in [Signal::TERM, Signal::KILL] {
            self.signal(signal);
            if tokio::time::timeout(AFTER_SIGNAL, self.ended()).await.is_ok() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn start(script: &str) -> (Child, Process) {
        let child = Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let process = Process::open(NonZeroU32::new(child.id()).unwrap()).unwrap();
        (child, process)
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_process_that_ends_by_itself() {
        let (mut child, process) = start("exit 3");
        block_on(process.ended());
        assert!(process.has_ended());
        assert_eq!(child.wait().unwrap().code(), Some(3));
        // Nobody is hit by a signal for what has ended.
        process.signal(Signal::KILL);
        assert!(block_on(process.end()));
    }

    #[test]
    fn one_that_ignores_a_signal_is_killed() {
        use std::io::Read;
        use std::os::unix::process::ExitStatusExt;
        let (mut child, process) = start("trap '' TERM; echo; exec sleep 1000");
        // Now it ignores it.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert!(!process.has_ended());
        assert!(block_on(process.end()));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
