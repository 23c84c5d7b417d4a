//! How long a call may say nothing, and whether somebody waits for it still.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How often a wait looks whether the call was given up.
const TICK: Duration = Duration::from_millis(100);

/// When a call is ended that doesn't end by itself.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// It says nothing for so long: the pool may be suspended, and `zfs` waits then for ever.
    pub silence: Option<Duration>,
    /// Nobody waits for it any more, once this is set.
    pub given_up: Option<Arc<AtomicBool>>,
}

impl Limits {
    /// Whether somebody has given the call up.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.given_up.as_ref().is_some_and(|given_up| given_up.load(Ordering::Relaxed))
    }

    /// So long a wait that began then may last until it looks again; `None` when its time is over.
    pub(crate) fn left(&self, began: Instant) -> Option<Duration> {
        const LONG: Duration = Duration::from_secs(3600);
        let left = self.silence.map(|silence| silence.saturating_sub(began.elapsed()));
        if self.are_over() || left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        let tick = if self.given_up.is_some() { TICK } else { LONG };
        Some(left.map_or(tick, |left| left.min(tick)))
    }

    /// What is left of them for a call that has waited since then.
    pub(crate) fn since(&self, began: Instant) -> Self {
        let silence = self.silence.map(|silence| silence.saturating_sub(began.elapsed()));
        Self { silence, given_up: self.given_up.clone() }
    }

    /// Waits until something can be done with this, or the time is over.
    pub(crate) fn wait_for(&self, fd: &impl AsFd, what: PollFlags) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let left = self.left(began).ok_or(io::ErrorKind::TimedOut)?;
            match poll(&mut [PollFd::new(fd, what)], Timespec::try_from(left).ok().as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.silence.is_none() && self.given_up.is_none()
    }
}

/// Two are the same if they allow the same time.
impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        self.silence == other.silence
    }
}

impl Eq for Limits {}
