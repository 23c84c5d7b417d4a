//! What stays on another host: removes the helpers that runs have left there, and installs one for good.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use helper::wire;

use super::bootstrap::{keep_line, said};
use super::client::GREETED_WITHIN;
use super::event::HelperError;
use super::greeting::{self, Timed};
use super::helpers::{self, Shipped};
use super::launch::{self, Aftermath, Pipes, SLOWEST, read_stderr};
use super::ssh::{ConnectError, Master};
use super::stream::Fd;
use super::target::Host;

/// So much of what a host says is listened to.
const MOST_SAID: u64 = 256 * 1024;

/// So much of what isn't the line's own is shown where it says nothing, in bytes.
const MOST_SHOWN: usize = 4096;

/// The words after which no other comes.
const LAST: [&str; 4] = ["done", "nowhere", "broken", "changed"];

/// Where a helper is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `~/.local/bin/zfsync`.
    User,
    /// `/usr/local/bin/zfsync`.
    System,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// What is where a helper is to be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// The place.
    pub file: String,
    /// What lies there; `None`: nothing.
    pub hash: Option<String>,
    /// What it says to `--version`.
    pub version: String,
    platform: String,
}

/// What came of installing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub file: String,
    /// What a command over ssh finds as `zfsync` there; empty: nothing.
    pub found: String,
}

/// A host that is connected.
#[derive(Debug)]
pub struct Keeper {
    master: Arc<Master>,
    host: String,
}

impl Keeper {
    /// Connects.
    pub async fn connect(host: &Host, ssh: &super::ssh::SshOptions) -> Result<Self, ConnectError> {
        let master = Arc::new(Master::connect(host, ssh, true).await?);
        Ok(Self { master, host: host.to_string() })
    }

    /// Ends the connection in good order.
    pub async fn close(&self) {
        self.master.close().await;
    }

    /// Removes all helpers that runs have left in the directories for them; which they were.
    pub async fn remove(&self) -> Result<Vec<String>, HelperError> {
        let all = self.talk("remove", None).await?;
        Ok(all.into_iter().filter(|(word, _)| word == "removed").map(|(_, file)| file).collect())
    }

    /// Finds out what is where a helper is to be installed.
    pub async fn look(&self, place: Place) -> Result<Installed, HelperError> {
        let mut found = Installed::default();
        for (word, rest) in self.talk(&format!("look-{}", place.word()), None).await? {
            match word.as_str() {
                "platform" => found.platform = rest,
                "place" => found.file = rest,
                "hash" => found.hash = Some(rest).filter(|hash| is_hash(hash)),
                "version" => found.version = rest,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether it is the helper that would be installed.
    pub async fn is_current(&self, there: &Installed) -> Result<bool, HelperError> {
        Ok(there.hash.as_ref() == Some(&self.helper_for(there).await?.sha256))
    }

    /// Installs a helper, in the place of just what was found there.
    pub async fn install(&self, place: Place, there: &Installed) -> Result<Kept, HelperError> {
        let helper = self.helper_for(there).await?;
        let replaced = there.hash.as_deref().unwrap_or("-");
        let words = format!("install-{} {} {replaced}", place.word(), helper.sha256);
        let (mut file, mut found) = (None, String::new());
        for (word, rest) in self.talk(&words, Some(helper)).await? {
            match word.as_str() {
                "installed" => file = Some(rest),
                "found" => found = rest,
                _ => {}
            }
        }
        let file = file.ok_or_else(|| self.not_sent("the host did not say that it was installed".into()))?;
        Ok(Kept { file, found })
    }

    async fn helper_for(&self, there: &Installed) -> Result<&'static Shipped, HelperError> {
        let all = tokio::task::spawn_blocking(helpers::all).await.map_err(io::Error::other)?;
        let found = all.iter().find(|helper| helper.platform == there.platform);
        found.ok_or_else(|| self.not_sent(launch::none_for(&there.platform)))
    }

    fn not_sent(&self, words: String) -> HelperError {
        HelperError::NotSent { host: self.host.clone(), words }
    }

    /// Starts the line, and hears all that it says; an error unless it came to its end.
    async fn talk(&self, words: &str, helper: Option<&'static Shipped>) -> Result<Vec<(String, String)>, HelperError> {
        let line = keep_line(words);
        let pipes = launch::session(self.master.sessions(), &line, GREETED_WITHIN).await?;
        let host = self.host.clone();
        let heard =
            tokio::task::spawn_blocking(move || hear(pipes, &host, helper)).await.map_err(io::Error::other)??;
        match heard.last().map(|(word, rest)| (word.as_str(), rest)) {
            Some(("done", _)) => Ok(heard),
            Some(("nowhere", place)) => {
                Err(self.not_sent(format!("{} can't be written to; --system needs root there", wire::short(place))))
            }
            Some(("broken", _)) => Err(self.not_sent("it arrived damaged, or does not start there".into())),
            Some(("changed", _)) => Err(self.not_sent("the file there was changed in the meantime".into())),
            _ => Err(self.not_sent("the connection was closed before it was done".into())),
        }
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is said until the end, on a thread. A helper is sent when it is wanted.
fn hear(pipes: Pipes, host: &str, helper: Option<&'static Shipped>) -> Result<Vec<(String, String)>, HelperError> {
    let Pipes { stdin, stdout, stderr, status, limit } = pipes;
    let (tell, stderr_words) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("stderr".into()).spawn(move || {
        let _ = tell.send(read_stderr(stderr.into()));
    })?;
    let mut output = BufReader::new(Timed::new(stdout, limit)).take(MOST_SAID);
    let (mut all, mut line, mut preamble, mut unsent) = (Vec::new(), Vec::new(), Vec::new(), helper);
    loop {
        line.clear();
        match output.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let seconds = limit.as_secs();
                return Err(HelperError::Silent { host: host.to_owned(), seconds, words: "  nothing".into() });
            }
            Err(error) => return Err(error.into()),
        }
        let text = String::from_utf8_lossy(&line);
        let Some((word, rest)) = said(&text) else {
            preamble.extend(line.iter().take(MOST_SHOWN - preamble.len().min(MOST_SHOWN)));
            continue;
        };
        if let ("wants", Some(helper)) = (word, unsent) {
            unsent = None;
            let size = send(&stdin, helper)?;
            output.get_mut().get_mut().within(limit + Duration::from_secs(size / SLOWEST));
        }
        let is_last = LAST.contains(&word);
        all.push((word.to_owned(), rest.to_owned()));
        if is_last {
            break;
        }
    }
    // It waits for that.
    drop(stdin);
    if all.is_empty() {
        let (words, status) = Aftermath { host: host.to_owned(), command: None, status, stderr: stderr_words }.words();
        let words = greeting::said(&preamble, &words);
        return Err(HelperError::NoGreeting { host: host.to_owned(), status, words });
    }
    Ok(all)
}

/// Its size in a line, and its bytes.
fn send(stdin: &OwnedFd, helper: &Shipped) -> io::Result<u64> {
    let (file, size) = helper.open()?;
    writeln!(Fd(stdin), "{size}")?;
    io::copy(&mut file.take(size), &mut Fd(stdin))?;
    Ok(size)
}
