//! What the helper reads from, frame by frame.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::wire::SILENCE;

/// Unbuffered reads: what follows a frame's header belongs to someone else.
pub(super) struct Input(pub(super) OwnedFd);

impl Read for &Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let silence = Timespec::try_from(SILENCE).ok();
        loop {
            // Within a frame the rest is never far.
            if rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], silence.as_ref()) == Ok(0) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match rustix::io::read(&self.0, &mut *buffer) {
                Ok(read) => return Ok(read),
                Err(Errno::INTR) => {}
                // Whoever gave us the descriptor may have made it non-blocking.
                Err(Errno::AGAIN) => {
                    rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
