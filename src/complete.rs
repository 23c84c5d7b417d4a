//! What a shell asks for while somebody types a command line: options, and the names of datasets, hosts and jobs.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Shells, Zsh};

use crate::cli;
use crate::cli::DEFAULT_CONFIG;
use crate::config;
use zfs::Limits;
use zfs::host::LocalHost;
use zfs::name::{DatasetName, MAX_NAME};

/// The variable in which a shell's function says that it asks, and which shell it is.
const ASKED: &str = "ZFSYNC_COMPLETE";
/// Whoever presses the tab key waits for so long at most: a suspended pool never answers.
const PATIENCE: Duration = Duration::from_secs(2);
/// The shells that can ask.
const SHELLS: Shells<'_> = Shells(&[&Bash, &Zsh, &Fish]);
/// What bash runs; written by hand.
const BASH: &str = include_str!("../completions/zfsync.bash");
/// zsh loads the file at the first tab, as a function that has to answer as well.
const ZSH_FIRST: &str = "\n[[ $funcstack[1] != _zfsync ]] || _clap_dynamic_completer_zfsync \"$@\"\n";

/// Whether a shell asks.
#[must_use]
pub fn asked() -> bool {
    std::env::var_os(ASKED).is_some_and(|shell| !shell.is_empty())
}

/// Answers it.
pub fn complete() -> ExitCode {
    let answer = CompleteEnv::with_factory(command).var(ASKED).shells(SHELLS);
    match answer.try_complete(std::env::args_os(), None) {
        Ok(_) => ExitCode::SUCCESS,
        // A shell has no use for words.
        Err(_) => ExitCode::FAILURE,
    }
}

/// The functions of each shell that ask: the name of the file and its content.
pub fn functions() -> std::io::Result<[(&'static str, Vec<u8>); 3]> {
    let function = |shell: &dyn EnvCompleter| {
        let mut script = Vec::new();
        shell.write_registration(ASKED, "zfsync", "zfsync", "zfsync", &mut script)?;
        Ok::<_, std::io::Error>(script)
    };
    let mut zsh = function(&Zsh)?;
    zsh.extend_from_slice(ZSH_FIRST.as_bytes());
    // clap's own for bash doesn't know of names with '@' in them.
    Ok([("zfsync.bash", BASH.into()), ("_zfsync", zsh), ("zfsync.fish", function(&Fish)?)])
}

/// The command line, with what its arguments can be.
fn command() -> Command {
    cli::command().mut_subcommands(filled)
}

/// At every depth: `helper install HOST`.
fn filled(command: Command) -> Command {
    command.mut_args(completed).mut_subcommands(filled)
}

fn completed(arg: Arg) -> Arg {
    let names: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    match names.first().map(String::as_str) {
        Some("SOURCE" | "TARGET" | "HOST" | "[USER@]HOST" | "[USER@]HOST[:DATASET]") => {
            arg.add(ArgValueCompleter::new(locations))
        }
        Some("DATASET") => arg.add(ArgValueCompleter::new(datasets)),
        Some("JOB") => arg.add(ArgValueCompleter::new(jobs)),
        _ => arg,
    }
}

/// Datasets of this machine, and other hosts: their datasets aren't asked for, as that could take a password.
fn locations(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut all = datasets(typed);
    let Some(text) = typed.to_str().filter(|text| !text.contains([':', '/'])) else { return all };
    let (user, host) = text.rsplit_once('@').map_or(("", text), |(user, host)| (&text[..=user.len()], host));
    let hosts = hosts().into_iter().filter(|known| known.starts_with(host));
    all.extend(hosts.map(|host| CompletionCandidate::new(format!("{user}{host}:"))));
    all
}

/// Datasets whose names begin as what was typed, one level at a time.
fn datasets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(text) = typed.to_str().filter(|text| text.len() <= MAX_NAME) else { return Vec::new() };
    let parent = match text.rsplit_once('/') {
        Some((parent, _)) => match parent.parse::<DatasetName>() {
            Ok(parent) => Some(parent),
            Err(_) => return Vec::new(),
        },
        None => None,
    };
    let host = LocalHost::limited(Limits { silence: Some(PATIENCE), given_up: None });
    let names = host.children(parent.as_ref()).unwrap_or_default();
    let fits = |name: &DatasetName| name.as_str().starts_with(text) && Some(name) != parent.as_ref();
    names.iter().filter(|name| fits(name)).map(|name| CompletionCandidate::new(name.as_str())).collect()
}

/// The jobs of the configuration file that the command line names.
fn jobs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let jobs = config::read_jobs(&config_file(&words)).unwrap_or_default();
    let typed = typed.to_string_lossy();
    let fits = jobs.iter().map(config::CronJob::label).filter(|name| name.starts_with(&*typed));
    fits.map(CompletionCandidate::new).collect()
}

/// The value of `-c` or `--config`, if there is one.
fn config_file(words: &[OsString]) -> PathBuf {
    let after = |at: usize| words.get(at + 1).map(PathBuf::from);
    let found = words.iter().enumerate().find_map(|(at, word)| match word.to_str()? {
        "-c" | "--config" => after(at),
        word => word.strip_prefix("--config=").map(PathBuf::from),
    });
    found.unwrap_or_else(|| DEFAULT_CONFIG.into())
}

/// The hosts that ssh knows by name.
fn hosts() -> BTreeSet<String> {
    let Some(home) = std::env::home_dir() else { return BTreeSet::new() };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let mut hosts = configured(&read(&home.join(".ssh/config")));
    hosts.extend(configured(&read(Path::new("/etc/ssh/ssh_config"))));
    hosts.extend(known(&read(&home.join(".ssh/known_hosts"))));
    hosts
}

/// The names after `Host` in ssh_config, but for patterns.
fn configured(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("host")).then_some(words)
    });
    names.flatten().filter(|name| !name.contains(['*', '?', '!', '"'])).map(ToOwned::to_owned).collect()
}

/// The names in known_hosts, but for hashed ones, patterns and those with a port.
fn known(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with(['#', '@', '|']));
    let names = lines.filter_map(|line| line.split_whitespace().next()).flat_map(|names| names.split(','));
    names.filter(|name| !name.contains(['*', '?', '!', '[', ':'])).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(Into::into).collect()
    }

    #[test]
    fn the_hosts_that_ssh_knows() {
        let config = "Host backup  beta *.lan !no\n  HostName 10.0.0.1\nhost gamma\nMatch host x\n# Host old\n";
        assert_eq!(configured(config).into_iter().collect::<Vec<_>>(), ["backup", "beta", "gamma"]);
        let hashed = "|1|AbC=|dEf= ssh-ed25519 AAAA";
        let lines =
            format!("{hashed}\nbox,10.0.0.2 ssh-ed25519 AAAA\n[box]:2222 ssh-rsa AAAA\n@revoked bad ssh-rsa A\n\n");
        assert_eq!(known(&lines).into_iter().collect::<Vec<_>>(), ["10.0.0.2", "box"]);
    }

    #[test]
    fn the_file_that_was_named() {
        assert_eq!(config_file(&words("zfsync run -c a.toml x")), Path::new("a.toml"));
        assert_eq!(config_file(&words("zfsync run --config=b.toml")), Path::new("b.toml"));
        assert_eq!(config_file(&words("zfsync run -c")), Path::new(DEFAULT_CONFIG));
    }

    #[test]
    fn each_argument_that_names_something_is_completed() {
        let command = command();
        let push = command.find_subcommand("push").unwrap();
        let names = |id: &str| push.get_arguments().find(|arg| arg.get_id() == id).unwrap();
        for id in ["source", "target", "replace"] {
            assert!(names(id).get::<ArgValueCompleter>().is_some(), "{id}");
        }
    }
}
