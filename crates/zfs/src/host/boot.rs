//! Which start of this machine it is.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use super::run::run;
use crate::{BootId, Call, Limits};

/// Linux.
const FILE: &str = "/proc/sys/kernel/random/boot_id";

/// FreeBSD, since 13: 16 bytes. `kern.boottime` is no such thing, as it changes with the clock.
const SYSCTL: (&str, [&str; 2]) = ("/sbin/sysctl", ["-b", "kern.boot_id"]);

/// sysctl has answered long before.
const AT_ONCE: Duration = Duration::from_secs(5);

impl BootId {
    /// This machine's.
    #[must_use]
    pub fn here() -> Self {
        fs::read_to_string(FILE).ok().or_else(asked).map_or_else(Self::default, |text| Self::new(&text))
    }

    /// What `sysctl -x kern.boot_id` says: `Format: Length:16 Dump:0x...`; of another system's words, all.
    #[must_use]
    pub fn of_dump(text: &str) -> Self {
        Self::new(text.rsplit_once("0x").map_or(text, |(_, digits)| digits))
    }
}

fn asked() -> Option<String> {
    let mut command = Command::new(SYSCTL.0);
    command.args(SYSCTL.1);
    let bytes = run(Call::of(command, Limits { silence: Some(AT_ONCE), ..Limits::default() }), |output| {
        let mut bytes = Vec::new();
        output.take(64).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    bytes.ok().map(|bytes| hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_ask_lead_to_the_same() {
        let bytes = [0x4c, 0x86, 9, 0x69, 0x8a, 0xd1, 0xa1, 0x1c, 0xdc, 0, 0xcf, 0x6e, 0xb7, 0xd9, 0x54, 0xe1];
        let dump = BootId::of_dump("Format: Length:16 Dump:0x4c8609698ad1a11cdc00cf6eb7d954e1\n");
        assert!(dump.is_same(&BootId::new(&hex(&bytes))));
        assert_eq!(BootId::of_dump("5c3f-41d8\n").as_str(), "5c3f-41d8");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_known_here() {
        assert!(BootId::here().is_same(&BootId::here()));
    }
}
