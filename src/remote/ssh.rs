//! SSH masters: started by us, so that all of ssh's options are ours to set, then wrapped by the `openssh` crate, which
//! opens sessions over them. The one file that names that crate, and the one below it that speaks to a master.

mod control_dir;
pub mod identity;
mod known;
mod negotiated;
mod options;
mod refused;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::Signal;
use thiserror::Error;
use tokio::process::Command;

use control_dir::ControlDir;
use known::Known;
pub use negotiated::Negotiated;
use options::{Configuration, File, Files, master_command};
pub use options::{SshOptions, of_one_host};
use refused::Words;

use super::process::Process;
use super::prompt::Prompting;
use super::target::Host;
use crate::backoff;
use zfs::Turns;
use zfs::text::on_one_line;

/// Why a master couldn't be started.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is no `ssh` here.
    #[error("can't run ssh: {}; is the OpenSSH client installed?", zfs::text::os_words(.0))]
    NoSsh(io::Error),
    /// No place for the control socket: where it was tried, and why not there.
    #[error("can't create a directory for ssh's control socket: {0}")]
    Directory(String),
    /// ssh would continue with other keys than the one that it is to use.
    #[error("can't connect to {host}: the key {} can't be used: {reason}", path.display())]
    Key {
        /// The destination.
        host: String,
        /// The key, as it was named.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// ssh ended; its own words.
    #[error("can't connect to {host}: ssh says: {words}{}", next_step(by_hand, *.busy))]
    Refused {
        /// The destination.
        host: String,
        /// ssh's words.
        words: String,
        /// The command that tries the same at a terminal.
        by_hand: String,
        /// Whether the other end was only too busy (MaxStartups), so that trying again makes sense.
        busy: bool,
    },
    /// ssh came to no end.
    #[error(
        "can't connect to {host}: ssh has not logged in within {seconds} s; try ssh -v {host}, and set ConnectTimeout in ssh_config for \
         slow hosts"
    )]
    Slow {
        /// The destination.
        host: String,
        /// So long.
        seconds: u64,
    },
    /// A session over an existing connection was refused.
    #[error("{host} refused another session: {}", zfs::text::os_words(.error))]
    Session {
        /// The destination.
        host: String,
        /// The crate's words.
        error: String,
    },
}

/// What tells more than an error does; nothing where the run itself tries again.
fn next_step(by_hand: &str, busy: bool) -> String {
    if busy { String::new() } else { format!("\n  try on this machine: {by_hand}") }
}

impl ConnectError {
    /// Whether it is of no use to try again, however long the host is waited for: who we are, or who they are, is wrong.
    #[must_use]
    pub fn fatal(&self) -> bool {
        let Self::Refused { words, .. } = self else {
            return matches!(self, Self::NoSsh(_) | Self::Directory { .. } | Self::Key { .. });
        };
        let words = words.to_ascii_lowercase();
        let refusals =
            ["permission denied", "host key verification failed", "authentication failures", "bad configuration"];
        refusals.iter().any(|refusal| words.contains(refusal))
    }

    /// Whether the same may work a little later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Refused { busy: true, .. } | Self::Session { .. })
    }
}

/// So long ssh may take until it is logged in where it can't ask anybody anything: sshd's own limit (LoginGraceTime) by default.
const LOGGED_IN_WITHIN: Duration = Duration::from_secs(120);
/// The same where a person may have to find a password first. ssh's prompts must not be cut off; but sshd ends them anyway, far
/// earlier, and a host that is silent in the middle of the key exchange must not be waited for without end.
const ANSWERED_WITHIN: Duration = Duration::from_secs(600);
/// Asks the target host for one more connection at most so often before a busy host is given up.
const TRIES: u32 = 7;
/// After the first of them it pauses for at most so long, and after each further one for twice as long,
const FIRST_PAUSE: Duration = Duration::from_millis(450);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection may take so long to close in good order; then its master is ended.
const CLOSE: Duration = Duration::from_secs(5);

/// One SSH connection: a master process with its control socket. However it is given up, the process ends with it.
#[derive(Debug)]
pub struct Master {
    sessions: Sessions,
    process: Arc<Process>,
    /// Has the control socket and ssh's log; removed when dropped.
    dir: ControlDir,
}

impl Master {
    /// Connects and authenticates; a host that refuses for being busy is asked again a few times, with growing pauses.
    ///
    /// `first`: a later connection never asks questions at the terminal.
    pub async fn connect(host: &Host, options: &SshOptions, first: bool) -> Result<Self, ConnectError> {
        let options = &options.with_key_found(host)?;
        let configuration = Configuration::of(host, options).await;
        for attempt in 1.. {
            match Self::try_connect(host, options, &configuration, first).await {
                Err(error) if error.retryable() && attempt < TRIES => {
                    let pause = backoff::pause(FIRST_PAUSE, LONGEST_PAUSE, attempt - 1, None);
                    tracing::info!("{error}; trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
        unreachable!("the loop ends by return")
    }

    async fn try_connect(
        host: &Host,
        options: &SshOptions,
        configuration: &Configuration,
        first: bool,
    ) -> Result<Self, ConnectError> {
        let dir = control_dir::make()?;
        let asks = options.interactive && first;
        let written =
            |error| ConnectError::Directory(format!("{}: {}", dir.path().display(), zfs::text::os_words(&error)));
        let Prepared { command, said } = prepare(host, options, configuration, asks, dir.path()).map_err(written)?;
        tracing::debug!("starting {:?}", command.as_std());
        let limit = if asks { ANSWERED_WITHIN } else { LOGGED_IN_WITHIN };
        let mut starting =
            Starting { ssh: Prompting::start(command, asks).map_err(ConnectError::NoSsh)?, dir: Some(dir) };
        let ended = tokio::time::timeout(limit, starting.ssh.wait()).await;
        let slow = |_| ConnectError::Slow { host: host.to_string(), seconds: limit.as_secs() };
        let status = ended.map_err(slow)?.map_err(ConnectError::NoSsh)?;
        if !status.success() {
            return Err(said.refused(host, options, status));
        }
        let process = starting.master().await;
        let process = Arc::new(process.map_err(|error| ConnectError::Session { host: host.to_string(), error })?);
        let dir = starting.through();
        let session = Arc::new(openssh::Session::resume_mux(socket(dir.path()), None));
        let agent = options.forward_agent.then(|| PathBuf::from(socket(dir.path())));
        let sessions = Sessions {
            session,
            host: host.to_string(),
            agent,
            known: Arc::default(),
            process: Arc::clone(&process),
            turns: Arc::default(),
        };
        Ok(Self { sessions, process, dir })
    }

    /// What ssh and the host have agreed on, as far as ssh's log tells: it does with [`SshOptions::verbose`].
    #[must_use]
    pub fn negotiated(&self) -> Negotiated {
        negotiated::read(&std::fs::read(self.dir.path().join(LOG)).unwrap_or_default())
    }

    /// What opens sessions over it.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Ends the connection: as soon as its last session is over, or when that takes too long. A session ends late where the
    /// host has gone, or where a command that we have started there doesn't end with its stdin.
    pub async fn close(&self) {
        self.sessions.turns.end();
        // Another handle of the same socket, as sessions that are about to end still hold the first.
        let session = openssh::Session::resume_mux(socket(self.dir.path()), None);
        let in_good_order = async {
            if let Err(error) = session.close().await {
                tracing::debug!("closing the connection to {}: {}", self.sessions.host, chain(&error));
            }
            self.process.ended().await;
        };
        if tokio::time::timeout(CLOSE, in_good_order).await.is_ok() {
            return;
        }
        tracing::info!("the connection to {} did not close within {CLOSE:?}: ssh is ended", self.sessions.host);
        if !self.process.end().await {
            tracing::warn!("ssh to {} (process {}) can't be ended", self.sessions.host, self.process.id());
        }
    }
}

/// Opens sessions over a connection, as long as that lives.
#[derive(Debug, Clone)]
pub struct Sessions {
    session: Arc<openssh::Session>,
    host: String,
    /// The control socket, where commands on the host may use our agent.
    agent: Option<PathBuf>,
    known: Arc<Known>,
    process: Arc<Process>,
    /// Of sessions that processes of this machine open.
    turns: Arc<Turns>,
}

impl Sessions {
    /// What is run on this machine to open one for this command; it never connects anew.
    #[must_use]
    pub fn program(&self, command: &str) -> (OsString, Vec<OsString>) {
        let mut args: Vec<OsString> =
            vec!["-F".into(), "none".into(), "-S".into(), self.session.control_socket().into()];
        // Where the connection is gone there is no way around it.
        for option in ["BatchMode=yes", "ProxyCommand=false", "ControlMaster=no"] {
            args.extend(["-o".into(), option.into()]);
        }
        // Nobody resolves the name.
        args.extend(["-T".into(), "--".into(), "none".into(), command.into()]);
        ("ssh".into(), args)
    }

    /// Of those the connection carries some at a time.
    #[must_use]
    pub fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    /// The process of the connection.
    #[must_use]
    pub fn connection(&self) -> Arc<Process> {
        Arc::clone(&self.process)
    }

    /// Starts `command` on the host with these ends of our pipes. What comes of it is told by its output; the returned
    /// handle only keeps it alive and gives its exit status as a hint.
    pub async fn start(&self, command: &str, stdio: [OwnedFd; 3]) -> Result<Remote, ConnectError> {
        let refused =
            |error: &dyn std::error::Error| ConnectError::Session { host: self.host.clone(), error: chain(error) };
        if let Some(socket) = &self.agent {
            let started = start_with_agent(socket, command, &stdio).await;
            return started.map(Remote::WithAgent).map_err(|error| refused(&error));
        }
        let [input, output, errors] = stdio;
        let mut session = self.session.clone().arc_raw_command(command);
        session.stdin(input).stdout(output).stderr(errors);
        let child = session.spawn().await.map_err(|error| refused(&error))?;
        // It holds our ends of the pipes: kept, nobody would ever see them closed.
        drop(session);
        Ok(Remote::Plain(child))
    }
}

/// The same for a command that may use our agent: a session has to ask for that, and the crate's don't.
async fn start_with_agent(
    socket: &Path,
    command: &str,
    stdio: &[OwnedFd; 3],
) -> Result<Agented, openssh_mux_client::Error> {
    let connection = openssh_mux_client::Connection::connect(socket).await?;
    let command = openssh_mux_client::NonZeroByteVec::from_bytes_remove_nul(command.as_bytes().to_vec());
    let session = openssh_mux_client::Session::builder().agent(true).cmd(Cow::Owned(command)).build();
    connection.open_new_session(&session, &stdio.each_ref().map(AsRawFd::as_raw_fd)).await
}

impl Drop for Master {
    /// Nobody closed it: the run ends by an error in its own flow. Of one that was closed there is no process any more.
    fn drop(&mut self) {
        self.sessions.turns.end();
        self.process.signal(Signal::TERM);
    }
}

/// An ssh that connects. Given up before it is through, it leaves nothing: neither itself nor the master that it may have
/// become a moment ago.
struct Starting {
    ssh: Prompting,
    /// With the control socket; `None` once somebody else is responsible.
    dir: Option<ControlDir>,
}

impl Starting {
    /// The master, as it says itself: ssh has gone to the background, with an id that nobody has told us.
    async fn master(&self) -> Result<Process, String> {
        let Some(dir) = &self.dir else { return Err("the connection is closed".into()) };
        let ask = async {
            let mut connection = openssh_mux_client::Connection::connect(socket(dir.path())).await?;
            let pid = connection.send_alive_check().await?;
            // As long as it answers its id can't be another's.
            Ok::<_, openssh_mux_client::Error>(Process::open(pid))
        };
        match tokio::time::timeout(CLOSE, ask).await {
            Ok(Ok(Some(process))) => Ok(process),
            Ok(Ok(None)) => Err("ssh's master has no process id".into()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("ssh's master did not answer within {CLOSE:?}")),
        }
    }

    /// It has become a master that is known.
    fn through(mut self) -> ControlDir {
        self.dir.take().expect("taken once, at the end")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        const LIMIT: Duration = Duration::from_secs(1);
        let Some(dir) = self.dir.take() else { return };
        self.ssh.end(LIMIT);
        // What it has left in the background is told to end by itself: it carries no session yet. In a thread, as it might
        // not answer.
        if !dir.path().join(SOCKET).exists() {
            return;
        }
        let (tell, told) = mpsc::channel();
        let ask = move || {
            let _ = openssh_mux_client::shutdown_mux_master(socket(dir.path()));
            let _ = tell.send(());
        };
        if std::thread::Builder::new().name("ssh-end".into()).spawn(ask).is_ok() {
            let _ = told.recv_timeout(LIMIT);
        }
    }
}

type Agented = openssh_mux_client::EstablishedSession;

/// A command that runs on the host.
#[derive(Debug)]
pub enum Remote {
    /// As most do.
    Plain(openssh::Child<Arc<openssh::Session>>),
    /// With our agent.
    WithAgent(Agented),
}

impl Remote {
    /// Its exit status in a few words, once it has ended.
    pub async fn wait(self) -> String {
        let code = |code: Option<u32>| code.map_or_else(|| "terminated".into(), |code| format!("exit status {code}"));
        match self {
            Self::WithAgent(session) => match session.wait().await {
                Ok(openssh_mux_client::SessionStatus::Exited { exit_value }) => code(exit_value),
                Ok(_) => code(None),
                Err((error, _)) => chain(&error),
            },
            Self::Plain(child) => match child.wait().await {
                Ok(status) => match status.code() {
                    Some(code) => format!("exit status {code}"),
                    None => status.to_string(),
                },
                Err(openssh::Error::Remote(error)) if error.kind() == io::ErrorKind::NotFound => {
                    "exit status 127".into()
                }
                Err(error) => chain(&error),
            },
        }
    }
}

/// The log's name.
const LOG: &str = "log";
/// The control socket's name.
const SOCKET: &str = "master";

fn socket(dir: &Path) -> Box<Path> {
    dir.join(SOCKET).into_boxed_path()
}

/// An ssh that is about to be started.
struct Prepared {
    command: Command,
    said: Said,
}

/// Where it says why it ends.
struct Said {
    log: PathBuf,
    stderr: PathBuf,
    /// Its configuration, where that is a file of ours.
    config: Option<PathBuf>,
}

/// Writes what it needs into a directory of its own.
fn prepare(
    host: &Host,
    options: &SshOptions,
    configuration: &Configuration,
    asks: bool,
    dir: &Path,
) -> io::Result<Prepared> {
    let said = |config| Said { log: dir.join(LOG), stderr: dir.join("stderr"), config };
    let said = match File::new(options, configuration) {
        File::Text(text) => {
            let path = dir.join("config");
            std::fs::write(&path, text)?;
            said(Some(path))
        }
        File::Theirs => said(None),
    };
    let socket = socket(dir);
    let files = Files { socket: &socket, config: said.config.as_deref(), log: &said.log };
    let mut command = master_command(host, options, &files, asks, options.verbose || configuration.has_proxy());
    command.stderr(std::fs::File::create(&said.stderr)?);
    Ok(Prepared { command, said })
}

impl Said {
    fn refused(&self, host: &Host, options: &SshOptions, status: ExitStatus) -> ConnectError {
        let [stderr, log] = [&self.stderr, &self.log].map(|path| {
            let words =
                std::fs::read(path).map(|words| String::from_utf8_lossy(&words).into_owned()).unwrap_or_default();
            match (&self.config, &options.config) {
                // Its first lines are the user's file, line by line.
                (Some(ours), Some(theirs)) => words.replace(&*ours.to_string_lossy(), &theirs.to_string_lossy()),
                _ => words,
            }
        });
        let Words { words, busy } = refused::read(status, &stderr, &log);
        ConnectError::Refused { host: host.to_string(), words, by_hand: options.by_hand(host), busy }
    }
}

/// How a host is reached, as `NAME:PORT`: whichever way it is written, and whatever ssh's configuration makes of that.
pub async fn reached(host: &Host, options: &SshOptions) -> String {
    Configuration::of(host, options).await.reached(host, options)
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    on_one_line(&causes.join(": ")).into_owned()
}
