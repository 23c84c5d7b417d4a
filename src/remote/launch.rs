//! From a session to a greeting: starts the helper, has one sent along where none of use is installed, and learns what has become of
//! one that doesn't greet.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use helper::wire;
use tokio::runtime::Handle;
use zfs::Hello;

use super::bootstrap::{self, HelperCommand, Word};
use super::event::HelperError;
use super::greeting::{self, Greeting, Timed};
use super::helpers;
use super::pipes::{Aftermath, Pipes, read_stderr, session};
use super::plain::{self, Plain};
use super::ssh::Sessions;

/// A host may ask so often for a helper: once for each directory that it has tried.
const MOST_SENT: u32 = 4;

/// A link that is slower than this many bytes a second is taken for dead while a helper is sent.
pub(super) const SLOWEST: u64 = 16 * 1024;

/// What the writer of a channel is to do for a helper that has not greeted yet.
pub(super) enum Feed {
    /// Another session has taken the place of the first: this is its stdin.
    Stdin(OwnedFd),
    /// A helper is wanted: its size and its bytes.
    Helper(File, u64),
}

/// Has the channel's writer do that; `false` when the channel is closed.
pub(super) type Feeder = Box<dyn Fn(Feed) -> bool + Send>;

/// A helper that is being started.
pub(super) struct Launch {
    output: BufReader<Timed>,
    aftermath: Aftermath,
    sending: Sending,
    /// What is left where no helper can run.
    plain: Option<ZfsAlone>,
    /// The host has said so.
    none_can_run: bool,
}

/// What runs `zfs` alone on a host.
struct ZfsAlone {
    sessions: Sessions,
    runtime: Handle,
    plain: Plain,
    /// Whether streams go over it.
    streams: bool,
    limit: Duration,
}

impl ZfsAlone {
    /// Blocking.
    fn start(&self, host: &str) -> Result<Pipes, HelperError> {
        plain::start(&self.sessions, &self.runtime, host, &self.plain, self.streams, self.limit)
    }
}

/// Whether a helper can be sent along.
enum Sending {
    /// No, or there is one.
    No,
    /// If there is none of use.
    Later(Fallback),
    /// It is under way.
    Now,
}

/// What starts a session in which a helper is sent along.
struct Fallback {
    sessions: Sessions,
    runtime: Handle,
    words: String,
    limit: Duration,
}

impl Launch {
    /// Starts a helper over a connection; `streams`: some are to go through it. Returns its stdin as well, to which nothing may be written
    /// before it has greeted.
    pub async fn over_ssh(
        sessions: &Sessions,
        host: &str,
        command: &HelperCommand,
        streams: bool,
        limit: Duration,
    ) -> Result<(Self, OwnedFd), HelperError> {
        let plain = command.plain.as_ref().map(|plain| {
            let (sessions, runtime, plain) = (sessions.clone(), Handle::current(), plain.clone());
            ZfsAlone { sessions, runtime, plain, streams, limit }
        });
        let plain = match plain {
            Some(plain) if command.is_plain() || sessions.runs_zfs_alone() => {
                let of = host.to_owned();
                let pipes = tokio::task::spawn_blocking(move || plain.start(&of)).await.map_err(io::Error::other)??;
                return Ok(Self::new(pipes, host, Sending::No)?);
            }
            plain => plain,
        };
        let installed = command.installed.as_deref();
        let known = installed.filter(|_| command.sent.is_none() || !sessions.without_helper());
        let (line, sending) = match (known, &command.sent) {
            (Some(line), None) => (line.to_owned(), Sending::No),
            (Some(line), Some(words)) => {
                let (sessions, runtime, words) = (sessions.clone(), Handle::current(), words.clone());
                (line.to_owned(), Sending::Later(Fallback { sessions, runtime, words, limit }))
            }
            (None, words) => {
                let helpers = tokio::task::spawn_blocking(helpers::all).await.map_err(io::Error::other)?;
                (bootstrap::line(words.as_deref().unwrap_or_default(), helpers), Sending::Now)
            }
        };
        let only = matches!(sending, Sending::No).then(|| line.clone());
        let (mut launch, stdin) = Self::new(session(sessions, &line, limit).await?, host, sending)?;
        launch.aftermath.command = only;
        Ok((Self { plain, ..launch }, stdin))
    }

    /// The same for a helper that somebody else has started.
    pub fn started(pipes: Pipes, host: &str) -> Result<(Self, OwnedFd), HelperError> {
        Ok(Self::new(pipes, host, Sending::No)?)
    }

    fn new(pipes: Pipes, host: &str, sending: Sending) -> io::Result<(Self, OwnedFd)> {
        let Pipes { stdin, stdout, stderr, status, limit } = pipes;
        let (words, stderr_words) = mpsc::channel();
        thread::Builder::new().name("stderr".into()).spawn(move || {
            let _ = words.send(read_stderr(stderr.into()));
        })?;
        let output = BufReader::with_capacity(64 * 1024, Timed::new(stdout, limit));
        let aftermath = Aftermath { host: host.to_owned(), command: None, status, stderr: stderr_words };
        Ok((Self { output, aftermath, sending, plain: None, none_can_run: false }, stdin))
    }

    /// Waits for the greeting.
    pub fn greet(mut self, feed: &Feeder) -> Result<(Hello, BufReader<Timed>, Aftermath), HelperError> {
        let error = match self.listen(feed) {
            Ok(hello) => {
                self.output.get_mut().no_limit();
                return Ok((hello, self.output, self.aftermath));
            }
            Err(error) => error,
        };
        let useless = matches!(error, HelperError::Missing { .. } | HelperError::Version { .. });
        match self.sending {
            Sending::Later(fallback) if useless => {
                let host = self.aftermath.host;
                let words = format!("{}; a cached helper is used, or one is sent", first_line(&error));
                // Whoever has installed one wants to know that it is of no use.
                if let HelperError::Version { .. } = error {
                    tracing::warn!("{words}");
                } else {
                    tracing::info!("{words}");
                }
                fallback.sessions.has_no_helper();
                let (launch, stdin) = fallback.start(&host).map_err(|why| joined(error, &why))?;
                let launch = Self { plain: self.plain, ..launch };
                if feed(Feed::Stdin(stdin)) { launch.greet(feed) } else { Err(closed(&host)) }
            }
            _ if self.none_can_run => {
                let Some(plain) = self.plain else { return Err(error) };
                let host = self.aftermath.host;
                // Its session has said all, and ends: there may be no place for another one beside it.
                feed(Feed::Stdin(File::open("/dev/null")?.into()));
                let sessions = plain.sessions.clone();
                let pipes = match plain.start(&host) {
                    Ok(pipes) => pipes,
                    // There is no place for one more: the others do that.
                    Err(few @ HelperError::Sessions { .. }) => return Err(few),
                    // Where that isn't possible either, it is no better to know why.
                    Err(_) => return Err(error),
                };
                // Each further channel would say the same.
                if sessions.has_zfs_alone() {
                    tracing::warn!("{}: zfs alone is used on it, which takes no lock there", first_line(&error));
                }
                let (launch, stdin) = Self::new(pipes, &host, Sending::No)?;
                if feed(Feed::Stdin(stdin)) { launch.greet(feed) } else { Err(closed(&host)) }
            }
            _ => Err(error),
        }
    }

    fn listen(&mut self, feed: &Feeder) -> Result<Hello, HelperError> {
        let host = self.aftermath.host.clone();
        let (mut sent, mut used) = (0, false);
        loop {
            match greeting::find(&mut self.output) {
                Greeting::Hello(hello) => return Ok(hello),
                Greeting::Bootstrap(word) if matches!(self.sending, Sending::Now) => {
                    match word {
                        Word::Wants(_) => sent += 1,
                        // Each word gives it more time: without end, if it could be said again and again.
                        Word::Uses(_) if used => {
                            let words = "a helper was started several times, but did not greet".into();
                            return Err(HelperError::NotSent { host, words });
                        }
                        Word::Uses(_) => used = true,
                        Word::NoneFor(_) | Word::Nowhere | Word::Broken { .. } => self.none_can_run = true,
                    }
                    let more = answer(word, sent, &host, feed)?;
                    let output = self.output.get_mut();
                    output.within(output.limit() + more);
                }
                // Words of no meaning here.
                Greeting::Bootstrap(_) => {}
                Greeting::Version { theirs, version } => {
                    let [theirs, version] = [theirs, version].map(|text| wire::short(&text));
                    return Err(HelperError::Version { host, theirs, version });
                }
                Greeting::Late(preamble) => {
                    let seconds = self.output.get_ref().limit().as_secs();
                    return Err(HelperError::Silent { host, seconds, words: greeting::said(&preamble, "") });
                }
                Greeting::None(preamble) => return Err(no_greeting(&preamble, &self.aftermath)),
            }
        }
    }
}

impl Fallback {
    /// Starts the session. Called on a thread, where the runtime may be about to end.
    fn start(self, host: &str) -> Result<(Launch, OwnedFd), HelperError> {
        let line = bootstrap::line(&self.words, helpers::all());
        let (tell, told) = mpsc::channel();
        let (sessions, limit) = (self.sessions, self.limit);
        self.runtime.spawn(async move {
            let _ = tell.send(session(&sessions, &line, limit).await);
        });
        let pipes = told.recv_timeout(limit).map_err(|_| closed(host))??;
        Ok(Launch::new(pipes, host, Sending::Now)?)
    }
}

/// Does what the bootstrap line wants; how much longer that may take.
fn answer(word: Word, sent: u32, host: &str, feed: &Feeder) -> Result<Duration, HelperError> {
    let not_sent = |words: String| Err(HelperError::NotSent { host: host.to_owned(), words });
    match word {
        Word::Uses(what) => {
            tracing::info!("{host}: the helper is {}", wire::short(&what));
            Ok(Duration::ZERO)
        }
        Word::Wants(_) if sent > MOST_SENT => not_sent("it was sent several times, but did not start".into()),
        Word::Wants(platform) => {
            let Some(helper) = helpers::all().iter().find(|helper| helper.platform == platform) else {
                return not_sent(none_for(&platform));
            };
            let (file, size) = helper.open()?;
            tracing::info!("{host}: sending a helper for {platform}, {size} bytes");
            if feed(Feed::Helper(file, size)) { Ok(Duration::from_secs(size / SLOWEST)) } else { Err(closed(host)) }
        }
        Word::NoneFor(platform) => not_sent(none_for(&platform)),
        Word::Broken { status, words } => Err(broken(host, &status, &words)),
        Word::Nowhere => not_sent(
            "no directory on it can be used; $XDG_CACHE_HOME/zfsync, ~/.cache/zfsync, and zfsync-helper-UID in /var/tmp and /tmp were tried: one of \
             them must be owned by the user, not writable by others, not mounted noexec, and have enough space; --helper plain runs zfs alone \
             there"
                .into(),
        ),
    }
}

pub(super) fn none_for(platform: &str) -> String {
    let here: Vec<&str> = helpers::all().iter().map(|helper| helper.platform.as_str()).collect();
    let platform = wire::short(platform);
    let only = if here.is_empty() { String::new() } else { format!(", only for {}", here.join(", ")) };
    format!("there is no helper for {platform}{only}; install zfsync on it, or run zfs alone there (--helper plain)")
}

/// What came of the start of a helper that has arrived whole, as the host's shell tells it.
pub(super) fn broken(host: &str, status: &str, words: &str) -> HelperError {
    let status = format!("exit status {}", wire::short(status));
    let words = if words.is_empty() { status } else { format!("{} ({status})", wire::short(words)) };
    HelperError::Broken { host: host.to_owned(), words }
}

fn closed(host: &str) -> HelperError {
    HelperError::Lost { host: host.to_owned(), reason: "the connection was closed before its helper was ready".into() }
}

/// Without what to do about it.
fn first_line(error: &HelperError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// No helper, and none can be sent along.
fn joined(error: HelperError, why: &HelperError) -> HelperError {
    match error {
        HelperError::Missing { host, words } => HelperError::Missing { host, words: format!("{words}; {why}") },
        error => error,
    }
}

fn no_greeting(preamble: &[u8], aftermath: &Aftermath) -> HelperError {
    let (stderr, status) = aftermath.words();
    let host = aftermath.host.clone();
    if status.ends_with("127") || stderr.to_ascii_lowercase().contains("command not found") {
        let words = if stderr.trim().is_empty() { status } else { stderr.trim().to_owned() };
        return match aftermath.command.as_deref().and_then(|command| Some((lacking(command, &words)?, command))) {
            Some((word, command)) => HelperError::NoCommand { host, word, command: command.to_owned(), words },
            None => HelperError::Missing { host, words },
        };
    }
    HelperError::NoGreeting { host, status, words: greeting::said(preamble, &stderr) }
}

/// The word with which a command begins, if it is that one which the shell hasn't found, and not `zfsync` alone: `sudo`, a path.
fn lacking(command: &str, words: &str) -> Option<String> {
    let word = shell_words::split(command).ok()?.into_iter().next()?;
    if words.starts_with(&format!("{word}: ")) {
        return None;
    }
    let is_told = words.split(|ch: char| ch.is_whitespace() || ":'\"`‘’".contains(ch)).any(|part| part == word);
    (word != "zfsync" && is_told).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::lacking;

    #[test]
    fn the_word_that_the_shell_has_not_found() {
        let sudo = Some("sudo".to_owned());
        for words in [
            "sh: 1: sudo: not found",
            "bash: line 1: sudo: command not found",
            "zsh: command not found: sudo",
            "fish: Unknown command: 'sudo'",
        ] {
            assert_eq!(lacking("sudo zfsync recv --stdio", words), sudo, "{words}");
        }
        // That is what sudo itself says.
        assert_eq!(lacking("sudo zfsync recv --stdio", "sudo: zfsync: command not found"), None);
        assert_eq!(lacking("zfsync recv --stdio", "sh: zfsync: not found"), None);
        assert_eq!(lacking("/opt/zfsync recv", "sh: /opt/zfsync: not found"), Some("/opt/zfsync".into()));
    }
}
