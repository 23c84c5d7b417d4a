//! What ssh says when it can't connect, and whether the same may work a little later.

use std::process::ExitStatus;

use zfs::text::quoted;

/// Words of an ssh that has ended without a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// For the user.
    pub words: String,
    /// Whether the host was only too busy (`MaxStartups`).
    pub busy: bool,
}

/// What an ssh that says much (`-v`) says beside what concerns the user.
const NOISE: [&str; 8] = [
    "debug1:",
    "debug2:",
    "debug3:",
    "OpenSSH_",
    "Authenticated to ",
    "Transferred: ",
    "Bytes per second: ",
    "Pseudo-terminal will not be allocated",
];

/// Puts them together. `stderr`: what ssh, or a program in between, writes there; the cause comes before its effect.
pub(super) fn read(status: ExitStatus, stderr: &str, log: &str) -> Words {
    let [beside, log] = [stderr, log].map(of_concern);
    let busy = beside.is_empty() && too_busy(&log);
    let all = [beside, log].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("\n");
    let words = if all.is_empty() { format!("nothing ({status})") } else { quoted(&all) };
    Words { words, busy }
}

fn of_concern(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.filter(|line| !NOISE.iter().any(|noise| line.starts_with(noise))).collect::<Vec<_>>().join("\n")
}

/// sshd closes a connection beyond `MaxStartups` before it says what it is. ssh of OpenSSH 10 says of that only that the connection was
/// closed; whoever has been refused for another reason is told so beside that.
fn too_busy(log: &str) -> bool {
    let begins = ["kex_exchange_identification:", "banner exchange:"];
    let ends = ["Connection closed by remote host", "Connection reset by peer", "Broken pipe"];
    let early =
        |line: &str| begins.iter().any(|sign| line.contains(sign)) && ends.iter().any(|sign| line.ends_with(sign));
    let closed =
        |line: &str| ["Connection closed by ", "Connection reset by "].iter().any(|sign| line.starts_with(sign));
    log.lines().any(early) || (!log.is_empty() && log.lines().all(closed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn words(stderr: &str, log: &str) -> Words {
        read(ExitStatus::from_raw(255 << 8), stderr, log)
    }

    #[test]
    fn only_a_busy_host_is_asked_again() {
        for (log, busy) in [
            ("kex_exchange_identification: Connection closed by remote host\nConnection closed by h port 22\n", true),
            ("kex_exchange_identification: read: Connection reset by peer\nConnection reset by h port 22\n", true),
            ("banner exchange: Connection to 192.0.2.1 port 22: Broken pipe\n", true),
            ("Connection timed out during banner exchange\nConnection to h port 22 timed out\n", false),
            ("banner exchange: Connection to 192.0.2.1 port 443: invalid format\n", false),
            ("Connection closed by 192.0.2.1 port 22\n", true),
            ("Connection reset by 192.0.2.1 port 22\n", true),
            (
                "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\nConnection closed by 192.0.2.1 port 22\n",
                false,
            ),
            ("u@h: Permission denied (publickey).\n", false),
            ("Host key verification failed.\n", false),
            ("ssh: connect to host h port 22: Connection refused", false),
            ("", false),
        ] {
            assert_eq!(words("", log).busy, busy, "{log}");
        }
        assert_eq!(words("", "").words, "nothing (exit status: 255)");
    }

    #[test]
    fn a_program_in_between_is_quoted_first_and_not_asked_again() {
        let log = "OpenSSH_9.2p1 Debian\ndebug1: Executing proxy command\nkex_exchange_identification: Connection closed by remote host\n";
        let told = words("debug1: x\nsh: 1: nc: not found\n", log);
        assert_eq!(
            told.words,
            "sh: 1: nc: not found\n  | kex_exchange_identification: Connection closed by remote host"
        );
        assert!(!told.busy);
    }
}
