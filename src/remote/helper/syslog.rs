//! What a helper refuses goes into the system's log too: whoever watches over the target must not depend on the sender to
//! tell. One datagram to the log's socket, as syslog(3) sends it.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::text::on_one_line;

/// Where the log listens: Linux, FreeBSD.
const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/log"];
/// `LOG_AUTH | LOG_WARNING`.
const PRIORITY: u8 = 4 << 3 | 4;
/// A helper says so much and no more: a sender must not be able to fill the disk.
const MOST: usize = 50;
/// And no line is longer.
const MAX_LINE: usize = 900;

/// What one helper has written.
#[derive(Debug, Default)]
pub(super) struct Syslog(AtomicUsize);

impl Syslog {
    /// Writes a line, if there is a log. Never waits.
    pub(super) fn warn(&self, words: &str) {
        let written = self.0.fetch_add(1, Ordering::Relaxed);
        let words = match written {
            0..MOST => words,
            MOST => "more refusals follow, which are not logged",
            _ => return,
        };
        // Where the sender is, as sshd says.
        let from = std::env::var("SSH_CONNECTION").unwrap_or_default();
        let from = from.split(' ').next().filter(|from| !from.is_empty()).map(|from| format!("sender at {from}: "));
        let line = line(&format!("{}{words}", from.unwrap_or_default()), std::process::id());
        let Ok(socket) = UnixDatagram::unbound() else { return };
        // A log that is not there, or full, is no reason to stop.
        let _ = socket.set_nonblocking(true);
        let _ = SOCKETS.iter().any(|path| socket.send_to(line.as_bytes(), path).is_ok());
    }
}

fn line(words: &str, pid: u32) -> String {
    let words = on_one_line(words);
    let mut end = words.len().min(MAX_LINE);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    format!("<{PRIORITY}>zfsync[{pid}]: {}", &words[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line("refused\n<0>kernel: gone\u{1b}", 7), "<36>zfsync[7]: refused\\n<0>kernel: gone\\u{1b}");
        assert_eq!(line(&"ä".repeat(1000), 7).len(), "<36>zfsync[7]: ".len() + 900);
    }

    #[test]
    fn without_a_log_and_after_too_much_nothing_happens() {
        let log = Syslog::default();
        for _ in 0..2 * MOST {
            log.warn("a test of zfsync's");
        }
        assert_eq!(log.0.load(Ordering::Relaxed), 2 * MOST);
    }
}
