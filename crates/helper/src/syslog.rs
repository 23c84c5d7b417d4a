//! What a helper refuses, and what it destroys, goes into the system's log too: whoever watches over the target must not depend on
//! the sender to tell. One datagram to the log's socket, as syslog(3) sends it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use zfs::text::on_one_line;

/// Where the log listens: Linux, FreeBSD.
const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/log"];
/// `LOG_AUTH | LOG_WARNING`.
const PRIORITY: u8 = 4 << 3 | 4;
/// A helper says so much and no more: a sender must not be able to fill the disk.
const MOST: usize = 50;
/// What was destroyed must not be hidden behind refusals: it has a count of its own.
const MOST_DEEDS: usize = 10_000;
/// And no line is longer.
const MAX_LINE: usize = 900;

/// So much of a key is told: an ed25519 one in full, the end of others.
const MAX_KEY: usize = 80;

/// What one helper has written, and for whom.
#[derive(Debug, Default)]
pub(super) struct Syslog {
    refusals: AtomicUsize,
    deeds: AtomicUsize,
    owner: OnceLock<String>,
    /// Where it listens, if not in one of [`SOCKETS`].
    socket: Option<PathBuf>,
}

impl Syslog {
    /// One that listens somewhere else.
    #[cfg(test)]
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket: Some(socket), ..Self::default() }
    }

    /// Writes a line, if there is a log. Never waits.
    pub(super) fn warn(&self, words: &str) {
        let written = self.refusals.fetch_add(1, Ordering::Relaxed);
        let words = match written {
            0..MOST => words,
            MOST => "further refusals are not logged",
            _ => return,
        };
        let from = client().map(|from| format!("sender at {from}: "));
        self.send(&format!("{}{words}", from.unwrap_or_default()));
    }

    /// Writes what was destroyed or moved, and for whom: the address, and where sshd tells it (ExposeAuthInfo) the key.
    pub(super) fn deed(&self, words: &str) {
        let words = match self.deeds.fetch_add(1, Ordering::Relaxed) {
            0..MOST_DEEDS => words,
            MOST_DEEDS => "further destroyed or renamed objects are not logged",
            _ => return,
        };
        let client = client().map_or_else(|| "this machine".to_owned(), |from| format!("sender at {from}"));
        let key = key().map(|key| format!(" with {key}")).unwrap_or_default();
        let owner = self.owner.get().map(|owner| format!(" ({owner})")).unwrap_or_default();
        self.send(&format!("{words}: for {client}{key}{owner}"));
    }

    /// Who the sender says it is.
    pub(super) fn is_for(&self, owner: &str) {
        let _ = self.owner.set(owner.chars().take(200).collect());
    }

    fn send(&self, words: &str) {
        let line = line(words, std::process::id());
        let Ok(socket) = UnixDatagram::unbound() else { return };
        // A log that is not there, or full, is no reason to stop.
        let _ = socket.set_nonblocking(true);
        let to = |path: &Path| socket.send_to(line.as_bytes(), path).is_ok();
        match &self.socket {
            Some(path) => _ = to(path),
            None => _ = SOCKETS.iter().any(|path| to(Path::new(path))),
        }
    }
}

/// Where the sender is, as sshd says.
fn client() -> Option<String> {
    let from = std::env::var("SSH_CONNECTION").ok()?;
    from.split(' ').next().filter(|from| !from.is_empty()).map(ToOwned::to_owned)
}

/// The first key by which the sender has logged in, as in `authorized_keys`.
fn key() -> Option<String> {
    let told = std::fs::read_to_string(std::env::var_os("SSH_USER_AUTH")?).ok()?;
    told.lines().find_map(shown_key)
}

fn shown_key(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("publickey ")?.split(' ');
    let (kind, key) = (words.next()?, words.next()?);
    let rest = key.char_indices().nth_back(MAX_KEY - 1).map_or(0, |(at, _)| at);
    let cut = if rest > 0 { "..." } else { "" };
    Some(format!("{kind} {cut}{}", &key[rest..]))
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
        assert_eq!(log.refusals.load(Ordering::Relaxed), 2 * MOST);
    }

    #[test]
    fn a_key_is_told_as_authorized_keys_has_it() {
        let short = format!("ssh-ed25519 {}", "A".repeat(68));
        assert_eq!(shown_key(&format!("publickey {short}")), Some(short));
        let long = shown_key(&format!("publickey ssh-rsa {}end", "A".repeat(500))).unwrap();
        assert!(long.starts_with("ssh-rsa ...A") && long.ends_with("end") && long.len() == 91, "{long}");
        assert_eq!((shown_key("password"), shown_key("publickey x")), (None, None));
    }
}
