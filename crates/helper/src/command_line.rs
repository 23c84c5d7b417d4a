//! The helper's command line: `recv --stdio [--root DATASET]... [--allow WHAT[,WHAT]...]`, `send --stdio ...`. `zfsync` has the same
//! two commands with help and completion; tests/helper_command_line.rs holds both to one meaning. The words of forced commands
//! are in files that nobody looks at for years, so whatever isn't understood is an error.

use thiserror::Error;
use zfs::Allow;
use zfs::name::NameError;

use crate::{Config, Side};

/// What `--help` says.
pub const HELP: &str = "\
The helper that zfsync starts on another host over ssh; for forced commands, not for use by hand.

Usage: zfsync-helper recv --stdio [--root DATASET]... [--allow WHAT[,WHAT]...]
       zfsync-helper send --stdio [--root DATASET]... [--allow WHAT[,WHAT]...]
       zfsync-helper --version

zfsync-recv(1) and zfsync-send(1) describe the options.
";

/// What a command line asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// A session on stdin and stdout.
    Serve(Config),
    /// Which version this is.
    Version,
    /// How it is called.
    Help,
}

/// What is wrong with a command line.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UsageError {
    /// Nothing at all, or an option in the command's place.
    #[error("a command is missing: recv or send")]
    NoCommand,
    /// Neither `recv` nor `send`.
    #[error("unknown command {0:?}: it must be recv or send")]
    Command(String),
    /// An option that isn't there, or a word that is none.
    #[error("unexpected argument {0:?}")]
    Unexpected(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    NoValue(&'static str),
    /// `--stdio=...`.
    #[error("--stdio takes no value")]
    Value,
    /// `--stdio` twice.
    #[error("--stdio can be given only once")]
    Twice,
    /// Without it nothing is served: somebody has typed `zfsync recv` and waits for something else.
    #[error("--stdio is missing")]
    NoStdio,
    /// `--root` with what is no dataset.
    #[error("--root: {0}")]
    Root(#[from] NameError),
    /// `--allow` with what can't be allowed there.
    #[error("--allow: {word:?} is not one of {known}")]
    Allow {
        /// What was said.
        word: String,
        /// What could be.
        known: String,
    },
}

/// Understands the words behind the program's name.
pub fn parse<I: IntoIterator<Item = String>>(words: I) -> Result<Command, UsageError> {
    let mut words = words.into_iter();
    let side = match words.next().as_deref() {
        Some("recv") => Side::Receiver,
        Some("send") => Side::Sender,
        Some("--version" | "-V") => return Ok(Command::Version),
        Some("--help" | "-h") => return Ok(Command::Help),
        Some(option) if option.starts_with('-') => return Err(UsageError::Unexpected(option.to_owned())),
        Some(other) => return Err(UsageError::Command(other.to_owned())),
        None => return Err(UsageError::NoCommand),
    };
    options(Config { side, ..Config::default() }, words)
}

fn options(mut config: Config, mut words: impl Iterator<Item = String>) -> Result<Command, UsageError> {
    let mut stdio = false;
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        match option {
            "--stdio" if value.is_some() => return Err(UsageError::Value),
            "--stdio" if stdio => return Err(UsageError::Twice),
            "--stdio" => stdio = true,
            "--root" => config.roots.push(value_of("--root", value, &mut words)?.parse()?),
            "--allow" => {
                let value = value_of("--allow", value, &mut words)?;
                let allow = value.split(',').map(|word| allowed(config.side, word)).collect::<Result<Vec<_>, _>>()?;
                config.allow.extend(allow);
            }
            // No more options, and nothing else is taken.
            "--" if value.is_none() => match words.next() {
                Some(word) => return Err(UsageError::Unexpected(word)),
                None => break,
            },
            "--help" | "-h" if value.is_none() => return Ok(Command::Help),
            _ => return Err(UsageError::Unexpected(word)),
        }
    }
    if stdio { Ok(Command::Serve(config)) } else { Err(UsageError::NoStdio) }
}

/// Behind `=`, or the next word; what begins like an option is one, and no value.
fn value_of(
    option: &'static str,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
) -> Result<String, UsageError> {
    match value {
        Some(value) => Ok(value),
        None => words.next().filter(|word| !word.starts_with('-')).ok_or(UsageError::NoValue(option)),
    }
}

fn allowed(side: Side, word: &str) -> Result<Allow, UsageError> {
    let all: &[Allow] = match side {
        Side::Receiver => &Allow::OF_A_TARGET,
        Side::Sender => &Allow::OF_A_SOURCE,
    };
    all.iter().copied().find(|allow| allow.word() == word).ok_or_else(|| UsageError::Allow {
        word: word.to_owned(),
        known: all.iter().map(|allow| allow.word()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use zfs::name::DatasetName;

    use super::*;

    fn of(line: &str) -> Result<Command, UsageError> {
        parse(line.split(' ').map(ToOwned::to_owned))
    }

    fn served(line: &str) -> Config {
        match of(line) {
            Ok(Command::Serve(config)) => config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_a_sender_starts_and_what_a_forced_command_says() {
        let plain = served("recv --stdio");
        assert!(plain.roots.is_empty() && plain.allow.is_empty() && plain.side == Side::Receiver);
        let restricted = served("recv --root pool/a --stdio --allow=rollback,destroy --root=pool/b --allow verify");
        assert_eq!(restricted.roots.iter().map(DatasetName::as_str).collect::<Vec<_>>(), ["pool/a", "pool/b"]);
        assert_eq!(restricted.allow, [Allow::Rollback, Allow::Destroy, Allow::Verify]);
        let sender = served("send --stdio --allow snapshot");
        assert_eq!((sender.side, sender.allow), (Side::Sender, vec![Allow::Snapshot]));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (line, error) in [
            ("", "unknown command \"\": it must be recv or send"),
            ("push", "unknown command \"push\": it must be recv or send"),
            ("--stdio", "unexpected argument \"--stdio\""),
            ("recv", "--stdio is missing"),
            ("recv --stdio --stdio", "--stdio can be given only once"),
            ("recv --stdio=yes", "--stdio takes no value"),
            ("recv --stdio pool/a", "unexpected argument \"pool/a\""),
            ("recv --stdio --roots pool/a", "unexpected argument \"--roots\""),
            ("recv --stdio --root", "--root needs a value"),
            ("recv --stdio --root --allow", "--root needs a value"),
            ("send --stdio --allow rollback", "--allow: \"rollback\" is not one of snapshot, destroy, verify"),
            ("send --stdio --allow snapshot,", "--allow: \"\" is not one of snapshot, destroy, verify"),
        ] {
            assert_eq!(of(line).unwrap_err().to_string(), error, "{line}");
        }
        assert!(matches!(of("recv --stdio --root a@s"), Err(UsageError::Root(NameError::IsSnapshot(_)))));
        assert_eq!(parse([]).unwrap_err(), UsageError::NoCommand);
    }

    #[test]
    fn questions_about_itself() {
        assert!(matches!(of("--version"), Ok(Command::Version)));
        assert!(matches!(of("--help"), Ok(Command::Help)));
        assert!(matches!(of("recv -h"), Ok(Command::Help)));
    }
}
