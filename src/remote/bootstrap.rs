//! How a helper is had on another host: the command of an installed one, or the one line that finds a helper from an earlier run
//! there, or takes one through its stdin.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::helpers::Shipped;
use super::plain::Plain;

/// What the line's own words begin with.
const MARK: &str = "ZFSYNC-BOOTSTRAP ";

/// With their comments and lines.
const COMMON: &str = include_str!("common.sh");
const SCRIPT: &str = include_str!("bootstrap.sh");

/// Where a helper is taken from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperFrom {
    /// The installed one; where there is none that can be used, one is sent along.
    #[default]
    Auto,
    /// The installed one.
    Installed,
    /// One that is sent along, whatever is installed.
    #[serde(rename = "ship")]
    Sent,
    /// None: `zfs` alone is run there.
    Plain,
}

impl HelperFrom {
    /// All, as the user writes them.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Auto, "auto"), (Self::Installed, "installed"), (Self::Sent, "ship"), (Self::Plain, "plain")];
}

/// As a configuration file has it.
impl FromStr for HelperFrom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(_, word)| *word == text);
        found.map(|(from, _)| *from).ok_or("it must be \"auto\", \"installed\", \"ship\" or \"plain\"")
    }
}

/// How a helper is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HelperCommand {
    /// The command line of an installed one.
    pub installed: Option<String>,
    /// The words for one that is sent along.
    pub sent: Option<String>,
    /// What is to be done where only `zfs` can be run: at once, or, behind those, where no helper can run.
    pub plain: Option<Plain>,
}

impl HelperCommand {
    /// Whether `zfs` alone is used, whatever else there is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.installed.is_none() && self.sent.is_none() && self.plain.is_some()
    }

    /// Of a command that the user names: nothing else is tried, as it may be `sudo`, and nothing that was sent along may run as root.
    #[must_use]
    pub fn named(command: String) -> Self {
        Self { installed: Some(command), ..Self::default() }
    }

    /// Without such a command: `words` are the helper's.
    #[must_use]
    pub fn of(from: HelperFrom, words: String, plain: Plain) -> Self {
        let installed = || Some(format!("zfsync {words}"));
        match from {
            HelperFrom::Auto => Self { installed: installed(), sent: Some(words), plain: Some(plain) },
            HelperFrom::Installed => Self { installed: installed(), ..Self::default() },
            HelperFrom::Sent => Self { sent: Some(words), ..Self::default() },
            HelperFrom::Plain => Self { plain: Some(plain), ..Self::default() },
        }
    }
}

impl fmt::Display for HelperCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.installed, &self.sent) {
            (Some(command), _) => f.write_str(command),
            (None, Some(words)) => write!(f, "zfsync-helper {words}"),
            (None, None) => f.write_str(&self.plain.as_ref().map_or_else(|| "zfs".into(), Plain::command)),
        }
    }
}

/// The line for the login shell of the other host, whichever that is.
pub(super) fn line(words: &str, helpers: &[Shipped]) -> String {
    let helpers: Vec<String> = helpers.iter().map(|one| format!("{}:{}", one.platform, one.sha256)).collect();
    // Where there is none, its word must not be empty.
    format!("{} {}, {words}", on_one_line(&[COMMON, SCRIPT]), helpers.join(","))
}

/// Scripts as one line, which a login shell has `sh` carry out; their arguments follow.
fn on_one_line(scripts: &[&str]) -> String {
    let lines = scripts.iter().flat_map(|script| script.lines()).map(str::trim);
    let script: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    format!("exec sh -c '{}' zfsync", script.join(" "))
}

/// The line that looks after what is left on a host: `words` are those of keep.sh.
pub(super) fn keep_line(words: &str) -> String {
    format!("{} {words}", on_one_line(&[COMMON, include_str!("keep.sh")]))
}

/// What one of the lines says, whatever a shell has printed before it: a word, and the rest.
pub(super) fn said(line: &str) -> Option<(&str, &str)> {
    let words = line[line.find(MARK)? + MARK.len()..].trim_end();
    Some(words.split_once(' ').unwrap_or((words, "")))
}

/// What the line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It waits for the size and the bytes of the helper for this platform.
    Wants(String),
    /// It becomes this helper now; where it is, in words.
    Uses(String),
    /// There is no helper for this platform.
    NoneFor(String),
    /// No directory there takes a helper.
    Nowhere,
    /// The helper has arrived as it was sent, and does not start: how it ended, and what was said.
    Broken { status: String, words: String },
}

impl Word {
    /// Of a line of output, whatever a shell has printed before it.
    pub fn read(line: &str) -> Option<Self> {
        let (word, rest) = said(line)?;
        match word {
            "wants" => Some(Self::Wants(rest.to_owned())),
            "uses" => Some(Self::Uses(rest.to_owned())),
            "none" => Some(Self::NoneFor(rest.to_owned())),
            "nowhere" => Some(Self::Nowhere),
            "broken" => {
                let (status, words) = rest.split_once(' ').unwrap_or((rest, ""));
                Some(Self::Broken { status: status.to_owned(), words: words.to_owned() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use zfs::testing::write_script;

    use super::*;

    /// Whoever waits for the end of a session may leave before all that was said has come: so the line doesn't end before it was heard.
    #[test]
    fn it_waits_until_its_last_word_was_heard() {
        let dir = tempfile::tempdir().unwrap();
        let heard = dir.path().join("heard");
        let script = |name: &str, lines: &str| {
            write_script(&dir.path().join(name), &format!("#!/bin/sh\n{lines}\n"));
        };
        script("cat", &format!("/bin/cat >/dev/null; echo >{}", heard.display()));
        // As it is; as where there is none; where the listener is frozen, after a minute.
        for (timeout, is_heard) in [
            ("exec /usr/bin/timeout \"$@\"", true),
            ("exit 127", true),
            ("shift; exec /usr/bin/timeout 0.1 \"$@\"", false),
        ] {
            script("timeout", timeout);
            for (line, says) in [(line("recv", &[]), "none "), (keep_line("remove"), "done\n")] {
                let _ = std::fs::remove_file(&heard);
                let path = format!("{}:/usr/bin:/bin", dir.path().display());
                let mut command = Command::new("sh");
                command.arg("-c").arg(line).env("PATH", path).env("HOME", dir.path()).env_remove("XDG_CACHE_HOME");
                let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let stdin = child.stdin.take();
                let mut said = String::new();
                let mut output = child.stdout.take().unwrap();
                if is_heard {
                    while !said.ends_with('\n') || !said.contains(says) {
                        let mut byte = [0];
                        assert_eq!(output.read(&mut byte).unwrap(), 1, "{said}");
                        said.push(byte[0].into());
                    }
                    drop(stdin);
                    child.wait().unwrap();
                    assert!(heard.exists(), "{timeout}: {said}");
                } else {
                    child.wait().unwrap();
                    output.read_to_string(&mut said).unwrap();
                    assert!(said.contains(says) && !heard.exists(), "{said}");
                    drop(stdin);
                }
            }
        }
    }

    #[test]
    fn no_shell_finds_anything_to_do_in_the_line() {
        for (line, words) in [
            (line("recv --stdio --allow rollback,destroy", &[]), " zfsync , recv --stdio --allow rollback,destroy"),
            (keep_line("remove"), " zfsync remove"),
        ] {
            let inner = line.strip_prefix("exec sh -c '").unwrap();
            let (script, rest) = inner.split_once('\'').unwrap();
            assert_eq!(rest, words);
            assert!(script.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"!\\'".contains(&byte)), "{script}");
            assert!(line.len() < 2500, "{}", line.len());
        }
    }

    #[test]
    fn its_words_are_understood() {
        let wants = || Some(Word::Wants("linux-x86_64".into()));
        assert_eq!(Word::read("ZFSYNC-BOOTSTRAP wants linux-x86_64\n"), wants());
        assert_eq!(Word::read("Welcome!ZFSYNC-BOOTSTRAP wants linux-x86_64\r\n"), wants());
        assert_eq!(Word::read("ZFSYNC-BOOTSTRAP uses sent /a b/c\n"), Some(Word::Uses("sent /a b/c".into())));
        assert_eq!(Word::read("ZFSYNC-BOOTSTRAP none linux-riscv64\n"), Some(Word::NoneFor("linux-riscv64".into())));
        assert_eq!(Word::read("ZFSYNC-BOOTSTRAP nowhere"), Some(Word::Nowhere));
        let broken = |status: &str, words: &str| Some(Word::Broken { status: status.into(), words: words.into() });
        assert_eq!(Word::read("ZFSYNC-BOOTSTRAP broken 127 sh: 1: not found\n"), broken("127", "sh: 1: not found"));
        assert_eq!(Word::read("ZFSYNC-BOOTSTRAP broken 132\n"), broken("132", ""));
        assert_eq!((Word::read("ZFSYNC-BOOTSTRAP"), Word::read("ZFSYNC-HELPER/2 {}")), (None, None));
    }

    #[test]
    fn what_the_user_names_is_all_that_is_tried() {
        let of = |from| HelperCommand::of(from, "recv --stdio".to_owned(), Plain::default());
        let command = of(HelperFrom::Auto);
        assert_eq!(
            (command.installed.as_deref(), command.sent.as_deref()),
            (Some("zfsync recv --stdio"), Some("recv --stdio"))
        );
        assert_eq!(of(HelperFrom::Installed).sent, None);
        assert_eq!(of(HelperFrom::Sent).installed, None);
        let command = of(HelperFrom::Plain);
        assert_eq!((command.installed.is_none(), command.sent.is_none(), command.plain.is_some()), (true, true, true));
        assert_eq!(HelperCommand::named("sudo zfsync recv --stdio".into()).sent, None);
    }
}
