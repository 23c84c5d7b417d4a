//! What stays on another host: removes the helpers that runs have left there, and installs one for good.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use helper::wire;
use zfs::text::on_one_line;

use super::bootstrap::{keep_line, said};
use super::channel::Fd;
use super::client::GREETED_WITHIN;
use super::event::HelperError;
use super::greeting::{self, Timed};
use super::helpers::{self, Shipped};
use super::launch::{self, SLOWEST};
use super::pipes::{self, Aftermath, Pipes, read_stderr};
use super::ssh::{ConnectError, Master};
use super::target::Host;

/// So much of what a host says is listened to.
const MOST_SAID: u64 = 256 * 1024;

/// So much of what isn't the line's own is shown where it says nothing, in bytes.
const MOST_SHOWN: usize = 4096;

/// The words after which no other comes.
const LAST: [&str; 6] = ["done", "nowhere", "damaged", "broken", "changed", "unplaced"];

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

/// What lies where a helper is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// A file with this hash.
    File(String),
    /// Something that has none, in words.
    Other(&'static str),
}

impl There {
    /// Of what the host says; what it does not say is no reason to take the place for free.
    fn read(word: &str) -> Self {
        match word {
            "-" => Self::Nothing,
            "directory" => Self::Other("it is a directory"),
            "link" => Self::Other("it is a dangling symbolic link"),
            "special" => Self::Other("it is neither a file nor a directory"),
            hash if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Self::File(hash.to_owned())
            }
            _ => Self::Other("it can't be read, or no sha256sum, sha256 or shasum is there"),
        }
    }
}

/// What is where a helper is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The place.
    pub file: String,
    /// What lies there.
    pub there: There,
    /// What it says to `--version`.
    pub version: String,
    platform: String,
}

/// What came of removing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The files that are gone.
    pub files: Vec<String>,
    /// What `rm` says of those that are still there.
    pub kept: Vec<String>,
    /// Directories that were not looked into: others may write to them, or the user may not read them.
    pub refused: Vec<String>,
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

    /// Removes all helpers that runs have left in the directories for them.
    pub async fn remove(&self) -> Result<Removed, HelperError> {
        let mut removed = Removed::default();
        for (word, rest) in self.talk("remove", None).await? {
            match word.as_str() {
                "removed" => removed.files.push(rest),
                "kept" => removed.kept.push(rest),
                "refused" => removed.refused.push(rest),
                _ => {}
            }
        }
        Ok(removed)
    }

    /// Finds out what is where a helper is to be installed.
    pub async fn look(&self, place: Place) -> Result<Installed, HelperError> {
        let (file, version, platform) = Default::default();
        let mut found = Installed { file, there: There::read(""), version, platform };
        for (word, rest) in self.talk(&format!("look-{}", place.word()), None).await? {
            match word.as_str() {
                "platform" => found.platform = rest,
                "place" => found.file = rest,
                "hash" => found.there = There::read(&rest),
                "version" => found.version = rest,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether it is the helper that would be installed.
    pub async fn is_current(&self, there: &Installed) -> Result<bool, HelperError> {
        Ok(there.there == There::File(self.helper_for(there).await?.sha256.clone()))
    }

    /// Installs a helper, in the place of just what was found there.
    pub async fn install(&self, place: Place, there: &Installed) -> Result<Kept, HelperError> {
        let helper = self.helper_for(there).await?;
        let replaced = match &there.there {
            There::Nothing => "-",
            There::File(hash) => hash,
            There::Other(what) => return Err(self.not_sent((*what).to_owned())),
        };
        let words = format!("install-{} {} {replaced}", place.word(), helper.sha256);
        let (mut file, mut found) = (None, String::new());
        for (word, rest) in self.talk(&words, Some(helper)).await? {
            match word.as_str() {
                "installed" => file = Some(rest),
                "found" => found = rest,
                _ => {}
            }
        }
        let file = file.ok_or_else(|| self.not_sent("the host did not confirm the installation".into()))?;
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
        let pipes = pipes::session(self.master.sessions(), &line, GREETED_WITHIN).await?;
        let host = self.host.clone();
        let heard =
            tokio::task::spawn_blocking(move || hear(pipes, &host, helper)).await.map_err(io::Error::other)??;
        match heard.last().map(|(word, rest)| (word.as_str(), rest)) {
            Some(("done", _)) => Ok(heard),
            Some(("nowhere", place)) => {
                Err(self.not_sent(format!("{} can't be written to; --system needs root there", wire::short(place))))
            }
            Some(("damaged", _)) => {
                Err(self.not_sent("it arrived damaged, or no sha256sum, sha256 or shasum is there".into()))
            }
            Some(("broken", said)) => {
                let (status, words) = said.split_once(' ').unwrap_or((said, ""));
                Err(launch::broken(&self.host, status, words))
            }
            Some(("changed", _)) => Err(self.not_sent("the file there was changed in the meantime".into())),
            Some(("unplaced", words)) => {
                Err(self.not_sent(format!("it arrived, but can't be moved into place: {}", wire::short(words))))
            }
            _ => Err(self.not_sent("the connection was closed before it was done".into())),
        }
    }
}

/// What is said until the end, on a thread. A helper is sent when it is wanted.
fn hear(pipes: Pipes, host: &str, helper: Option<&'static Shipped>) -> Result<Vec<(String, String)>, HelperError> {
    let Pipes { stdin, stdout, stderr, status, limit } = pipes;
    // As long as there is `over`, stdin stays open.
    let (over, heard) = std::sync::mpsc::channel::<()>();
    let (mut stdin, mut heard) = (Some(stdin), Some(heard));
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
        if text.starts_with(wire::GREETING) {
            return Err(HelperError::Forced { host: host.to_owned() });
        }
        let Some((word, rest)) = said(&text) else {
            preamble.extend(line.iter().take(MOST_SHOWN - preamble.len().min(MOST_SHOWN)));
            continue;
        };
        if let ("wants", Some(helper)) = (word, unsent) {
            unsent = None;
            let (file, size) = helper.open()?;
            output.get_mut().get_mut().within(limit + Duration::from_secs(size / SLOWEST));
            // On a thread: the host may take none of it. The write ends with the connection.
            let (Some(stdin), Some(heard)) = (stdin.take(), heard.take()) else { continue };
            std::thread::Builder::new().name("helper".into()).spawn(move || {
                if let Err(error) = send(&stdin, file, size) {
                    tracing::debug!("sending a helper: {error}");
                }
                let _ = heard.recv();
            })?;
        }
        let is_last = LAST.contains(&word);
        all.push((word.to_owned(), on_one_line(rest).into_owned()));
        if is_last {
            break;
        }
    }
    // It waits for that.
    drop((stdin, over));
    if all.is_empty() {
        let (words, status) = Aftermath { host: host.to_owned(), command: None, status, stderr: stderr_words }.words();
        let words = greeting::said(&preamble, &words);
        return Err(HelperError::NoGreeting { host: host.to_owned(), status, words });
    }
    Ok(all)
}

/// Its size in a line, and its bytes.
fn send(stdin: &OwnedFd, helper: File, size: u64) -> io::Result<()> {
    writeln!(Fd(stdin), "{size}")?;
    io::copy(&mut helper.take(size), &mut Fd(stdin)).map(drop)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A forced command waits for a request that never comes.
    #[test]
    fn a_key_that_runs_a_helper_is_told() {
        let ((_theirs_in, stdin), (stdout, mut theirs_out), (stderr, _)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        theirs_out.write_all(b"motd\nZFSYNC-HELPER/2 {}\n").unwrap();
        let (stdin, stdout, stderr) = (stdin.into(), stdout.into(), stderr.into());
        let pipes = Pipes { stdin, stdout, stderr, status: mpsc::channel().1, limit: Duration::from_secs(600) };
        let ended = hear(pipes, "beta", None).unwrap_err();
        let words = "this key's forced command on beta runs zfsync: use a key with a shell";
        assert_eq!(ended.to_string(), words);
    }

    /// It wants a helper, and reads none of it.
    #[test]
    fn a_host_that_takes_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(format!("zfsync-helper-{}-x", wire::PROTOCOL)), [0; 16 * 1024 - 1]).unwrap();
        let helper = Box::leak(helpers::in_directory(dir.path()).into_boxed_slice()).first().unwrap();
        let ((theirs_in, stdin), (stdout, mut theirs_out), (stderr, _)) =
            (io::pipe().unwrap(), io::pipe().unwrap(), io::pipe().unwrap());
        rustix::pipe::fcntl_setpipe_size(&stdin, 4096).unwrap();
        theirs_out.write_all(b"ZFSYNC-BOOTSTRAP wants\n").unwrap();
        let (stdin, stdout, stderr) = (stdin.into(), stdout.into(), stderr.into());
        let pipes = Pipes { stdin, stdout, stderr, status: mpsc::channel().1, limit: Duration::from_millis(50) };
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(hear(pipes, "beta", Some(helper))));
        let ended = told.recv_timeout(Duration::from_secs(20)).expect("it waits without end");
        assert!(matches!(ended, Err(HelperError::Silent { .. })), "{ended:?}");
        drop(theirs_in);
    }
}
