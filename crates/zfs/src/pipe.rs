//! Pipes as streams need them.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::OFlags;

/// The size that pipes get: the largest for an unprivileged user on Linux.
const PIPE_SIZE: usize = 1024 * 1024;

/// Gives a pipe 1 MiB instead of 64 KiB, where the system allows it. Only for a pipe that is still empty and that nobody
/// uses yet: resizing a filled one can leave its writer stuck (Linux bug 212295).
pub fn grow_pipe(pipe: &impl AsFd) {
    #[cfg(target_os = "linux")]
    {
        // Refused when the user's pipes already take too much memory; the stream is only slower then.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pipe, PIPE_SIZE);
}

/// Makes writes to `fd` return instead of waiting; the pump then waits in a way that it can leave.
pub fn set_nonblocking(fd: &impl AsFd, on: bool) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    let wanted = if on { flags | OFlags::NONBLOCK } else { flags - OFlags::NONBLOCK };
    if wanted != flags {
        rustix::fs::fcntl_setfl(fd, wanted)?;
    }
    Ok(())
}
