//! SSH masters: started by us, so that all of ssh's options are ours to set, then wrapped by the `openssh` crate, which
//! opens sessions over them. The one file that names that crate, and the one below it that speaks to a master.

mod error;

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use super::process::Process;
use super::prompt::Prompting;
use super::target::Host;
pub use error::ConnectError;
use zfs::text::{on_one_line, quoted};

/// What the user says about the connection, beside what ssh_config says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// `-p`.
    pub port: Option<u16>,
    /// `-i`.
    pub identity: Option<PathBuf>,
    /// `-F`.
    pub config: Option<PathBuf>,
    /// `-o`, in order.
    pub options: Vec<String>,
    /// Whether ssh may ask for passwords and unknown host keys: only with a person at the terminal.
    pub interactive: bool,
    /// Whether programs over there may use the authentication agent of this machine.
    pub forward_agent: bool,
}

impl SshOptions {
    /// Those that decide which host a name leads to, as they would be written.
    #[must_use]
    pub fn ways(&self) -> Vec<String> {
        let leads = |option: &&String| {
            let key = option.split(|ch: char| ch == '=' || ch.is_whitespace()).next().unwrap_or_default();
            ["port", "hostname", "hostkeyalias", "proxyjump", "proxycommand"].contains(&key.to_lowercase().as_str())
        };
        let config = self.config.iter().map(|path| format!("-F {}", path.display()));
        let port = self.port.iter().map(|port| format!("-p {port}"));
        config.chain(port).chain(self.options.iter().filter(leads).map(|option| format!("-o {option}"))).collect()
    }
}

/// Options of every master. A forwarding of the user's config would collide between masters, a RemoteCommand would take
/// the helper's place, and compression would cost a core on streams that are compressed already.
const OURS: [&str; 11] = [
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Compression=no",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ControlMaster=yes",
    // Should we be killed, the master lives on for so long at most.
    "ControlPersist=60",
];

/// `^` puts them in front of ssh's own list and keeps the rest: AES-GCM is about 1.6 times as fast as the default first
/// choice. An unknown name would be a hard error, so only names that every OpenSSH since 6.2 knows.
const CIPHERS: &str = "Ciphers=^aes128-gcm@openssh.com,aes256-gcm@openssh.com";

/// Where neither the command line nor ssh_config says how long to wait for the host.
const CONNECT_TIMEOUT: &str = "ConnectTimeout=30";

/// So long ssh may take until it is logged in where it can't ask anybody anything: sshd's own limit (LoginGraceTime) by default.
const LOGGED_IN_WITHIN: Duration = Duration::from_secs(120);
/// The same where a person may have to find a password first. ssh's prompts must not be cut off; but sshd ends them anyway, far
/// earlier, and a host that is silent in the middle of the key exchange must not be waited for without end.
const ANSWERED_WITHIN: Duration = Duration::from_secs(600);
/// So long `ssh -G` and `ssh -O exit`, which talk to nobody far away, may take.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Asks the target host for one more connection at most so often before a busy host is given up.
const TRIES: u32 = 7;

/// A connection may take so long to close in good order; then its master is ended.
const CLOSE: Duration = Duration::from_secs(5);

/// One SSH connection: a master process with its control socket. However it is given up, the process ends with it.
#[derive(Debug)]
pub struct Master {
    session: Arc<openssh::Session>,
    host: String,
    process: Process,
    forwards_agent: bool,
    /// Has the control socket and ssh's log; removed when dropped.
    dir: tempfile::TempDir,
}

impl Master {
    /// Connects and authenticates; a host that refuses for being busy is asked again a few times, with growing pauses.
    ///
    /// `first`: a later connection never asks questions at the terminal.
    pub async fn connect(host: &Host, options: &SshOptions, first: bool) -> Result<Self, ConnectError> {
        let mut pause = Duration::from_millis(300);
        let patient = !says_connect_timeout(host, options).await;
        for attempt in 1.. {
            match Self::try_connect(host, options, first, patient).await {
                Err(error) if error.retryable() && attempt < TRIES => {
                    tracing::info!("{error}; trying again in {pause:?}");
                    tokio::time::sleep(jittered(pause)).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
        unreachable!("the loop ends by return")
    }

    async fn try_connect(host: &Host, options: &SshOptions, first: bool, patient: bool) -> Result<Self, ConnectError> {
        let dir = control_directory()?;
        let log = dir.path().join("log");
        let mut command = master_command(options, first, dir.path(), &log);
        if patient {
            // Behind all others, so that the user's win.
            command.arg("-o").arg(CONNECT_TIMEOUT);
        }
        command.arg("--").arg(host.destination());
        tracing::debug!("starting {:?}", command.as_std());
        let asks = options.interactive && first;
        let limit = if asks { ANSWERED_WITHIN } else { LOGGED_IN_WITHIN };
        let mut starting =
            Starting { ssh: Prompting::start(command, asks).map_err(ConnectError::NoSsh)?, dir: Some(dir) };
        let ended = tokio::time::timeout(limit, starting.ssh.wait()).await;
        let slow = |_| ConnectError::Slow { host: host.to_string(), seconds: limit.as_secs() };
        let status = ended.map_err(slow)?.map_err(ConnectError::NoSsh)?;
        if !status.success() {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(refused(host, status, &words));
        }
        let process =
            starting.master().await.map_err(|error| ConnectError::Session { host: host.to_string(), error })?;
        let dir = starting.through();
        let session = Arc::new(openssh::Session::resume_mux(socket(dir.path()), None));
        Ok(Self { session, host: host.to_string(), process, forwards_agent: options.forward_agent, dir })
    }

    /// Starts `command` on the host with these ends of our pipes. What comes of it is told by its output; the returned
    /// handle only keeps it alive and gives its exit status as a hint.
    pub async fn start(&self, command: &str, stdio: [OwnedFd; 3]) -> Result<Remote, ConnectError> {
        let refused =
            |error: &dyn std::error::Error| ConnectError::Session { host: self.host.clone(), error: chain(error) };
        if self.forwards_agent {
            return self
                .start_with_agent(command, &stdio)
                .await
                .map(Remote::WithAgent)
                .map_err(|error| refused(&error));
        }
        let [input, output, errors] = stdio;
        let mut session = self.session.clone().arc_raw_command(command);
        session.stdin(input).stdout(output).stderr(errors);
        let child = session.spawn().await.map_err(|error| refused(&error))?;
        // It holds our ends of the pipes: kept, nobody would ever see them closed.
        drop(session);
        Ok(Remote::Plain(child))
    }

    /// The same for a command that may use our agent: a session has to ask for that, and the crate's don't.
    async fn start_with_agent(
        &self,
        command: &str,
        stdio: &[OwnedFd; 3],
    ) -> Result<Agented, openssh_mux_client::Error> {
        let connection = openssh_mux_client::Connection::connect(socket(self.dir.path())).await?;
        let command = openssh_mux_client::NonZeroByteVec::from_bytes_remove_nul(command.as_bytes().to_vec());
        let session = openssh_mux_client::Session::builder().agent(true).cmd(Cow::Owned(command)).build();
        connection.open_new_session(&session, &stdio.each_ref().map(AsRawFd::as_raw_fd)).await
    }

    /// Ends the connection: as soon as its last session is over, or when that takes too long. A session ends late where the
    /// host has gone, or where a command that we have started there doesn't end with its stdin.
    pub async fn close(&self) {
        // Another handle of the same socket, as sessions that are about to end still hold the first.
        let session = openssh::Session::resume_mux(socket(self.dir.path()), None);
        let in_good_order = async {
            if let Err(error) = session.close().await {
                tracing::debug!("closing the connection to {}: {}", self.host, chain(&error));
            }
            self.process.ended().await;
        };
        if tokio::time::timeout(CLOSE, in_good_order).await.is_ok() {
            return;
        }
        tracing::info!("the connection to {} did not close within {CLOSE:?}: ssh is ended", self.host);
        if !self.process.end().await {
            tracing::warn!("ssh to {} (process {}) can't be ended", self.host, self.process.id());
        }
    }
}

impl Drop for Master {
    /// Nobody closed it: the run ends by an error in its own flow. Of one that was closed there is no process any more.
    fn drop(&mut self) {
        self.process.signal(Signal::TERM);
    }
}

/// An ssh that connects. Given up before it is through, it leaves nothing: neither itself nor the master that it may have
/// become a moment ago.
struct Starting {
    ssh: Prompting,
    /// With the control socket; `None` once somebody else is responsible.
    dir: Option<tempfile::TempDir>,
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
    fn through(mut self) -> tempfile::TempDir {
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

/// The control socket's name.
const SOCKET: &str = "master";

fn socket(dir: &Path) -> Box<Path> {
    dir.join(SOCKET).into_boxed_path()
}

fn master_command(options: &SshOptions, first: bool, dir: &Path, log: &Path) -> Command {
    let mut command = Command::new("ssh");
    command.arg("-M").arg("-N").arg("-f").arg("-S").arg(dir.join(SOCKET)).arg("-E").arg(log);
    add_users(&mut command, options);
    if options.forward_agent {
        // Before ours, which says no: the first one counts.
        command.arg("-o").arg("ForwardAgent=yes");
    }
    for option in OURS {
        command.arg("-o").arg(option);
    }
    command.arg("-o").arg(CIPHERS);
    if !(options.interactive && first) {
        command.arg("-o").arg("BatchMode=yes");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// Adds what the user says about the connection. ssh takes the first value it meets, so these win over all that follow.
fn add_users(command: &mut Command, options: &SshOptions) {
    if let Some(config) = &options.config {
        command.arg("-F").arg(config);
    }
    if let Some(port) = options.port {
        command.arg("-p").arg(port.to_string());
    }
    if let Some(identity) = &options.identity {
        command.arg("-i").arg(identity);
    }
    for option in &options.options {
        command.arg("-o").arg(option);
    }
}

/// Whether the user's options or configuration say how long to wait for the host. Options on ssh's command line win over its
/// files, so ours must not be there then.
async fn says_connect_timeout(host: &Host, options: &SshOptions) -> bool {
    let Some(text) = configuration(host, options).await else { return false };
    text.lines().filter_map(|line| line.strip_prefix("connecttimeout ")).any(|value| value.trim() != "none")
}

/// How a host is reached, as `NAME:PORT`: whichever way it is written, and whatever ssh's configuration makes of that.
pub async fn reached(host: &Host, options: &SshOptions) -> String {
    let text = configuration(host, options).await.unwrap_or_default();
    let said = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let port = options.port.map(|port| port.to_string());
    let port = said("port ").map(ToOwned::to_owned).or(port).unwrap_or_else(|| "22".into());
    format!("{}:{port}", said("hostname ").unwrap_or(&host.name).to_lowercase())
}

/// What ssh says that it would do (`ssh -G`).
async fn configuration(host: &Host, options: &SshOptions) -> Option<String> {
    let mut command = Command::new("ssh");
    command.arg("-G");
    add_users(&mut command, options);
    command.arg("--").arg(host.destination());
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(AT_ONCE, command.output()).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn refused(host: &Host, status: ExitStatus, log: &str) -> ConnectError {
    let words = if log.trim().is_empty() { format!("nothing ({status})") } else { quoted(log) };
    let busy = ["kex_exchange_identification", "banner exchange", "Connection reset", "Connection closed by"]
        .iter()
        .any(|sign| words.contains(sign))
        // That takes the whole ConnectTimeout, and again the next time.
        && !words.contains("timed out")
        && !words.contains("Permission denied")
        && !words.contains("Host key verification failed");
    ConnectError::Refused { host: host.to_string(), words, busy }
}

/// A private directory with a path short enough for a socket's name: ssh adds 24 bytes to it, and 104 (FreeBSD) or 108
/// is the limit of the whole.
fn control_directory() -> Result<tempfile::TempDir, ConnectError> {
    const LONGEST: usize = 60;
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = runtime.into_iter().chain([PathBuf::from("/run"), std::env::temp_dir(), PathBuf::from("/tmp")]);
    let mut failed = None;
    for dir in candidates.filter(|dir| dir.is_absolute() && dir.as_os_str().len() + "/zfsync-XXXXXX".len() <= LONGEST) {
        match tempfile::Builder::new().prefix("zfsync-").tempdir_in(&dir) {
            Ok(made) => return Ok(made),
            Err(error) => failed = Some(ConnectError::Directory { dir, error }),
        }
    }
    Err(failed.unwrap_or_else(|| ConnectError::Directory {
        dir: "/tmp".into(),
        error: io::Error::from(io::ErrorKind::InvalidFilename),
    }))
}

/// Spreads waiting processes: up to a half more than `pause`.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // RandomState is seeded by the system: enough randomness for this, without a crate.
    let random = RandomState::new().hash_one(std::process::id());
    pause + pause * u32::try_from(random % 1000).unwrap_or(0) / 2000
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    on_one_line(&causes.join(": ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { user: Some("u".into()), name: "h".into() }
    }

    fn words(log: &str) -> (String, bool) {
        use std::os::unix::process::ExitStatusExt;
        match refused(&host(), ExitStatus::from_raw(255 << 8), log) {
            ConnectError::Refused { words, busy, .. } => (words, busy),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn only_a_busy_host_is_asked_again() {
        assert!(words("kex_exchange_identification: Connection closed by remote host\n").1);
        assert!(!words("Connection timed out during banner exchange\nConnection to h port 22 timed out\n").1);
        assert!(!words("u@h: Permission denied (publickey).\n").1);
        assert!(!words("Host key verification failed.\n").1);
        assert!(!words("ssh: connect to host h port 22: Connection refused").1);
        assert_eq!(words(""), ("nothing (exit status: 255)".into(), false));
    }

    #[test]
    fn the_users_options_come_first() {
        let options = SshOptions { options: vec!["Compression=yes".into()], port: Some(22), ..Default::default() };
        let command = master_command(&options, true, Path::new("/d"), Path::new("/d/log"));
        let args: Vec<String> = command.as_std().get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let at = |what: &str| args.iter().position(|arg| arg == what).unwrap();
        assert!(at("Compression=yes") < at("Compression=no"));
        assert!(args.contains(&"BatchMode=yes".to_owned()));
        assert!(!args.contains(&"ForwardAgent=yes".to_owned()));
        let options = SshOptions { forward_agent: true, ..options };
        let command = master_command(&options, true, Path::new("/d"), Path::new("/d/log"));
        let args: Vec<String> = command.as_std().get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let at = |what: &str| args.iter().position(|arg| arg == what).unwrap();
        assert!(at("ForwardAgent=yes") < at("ForwardAgent=no"));
    }
}
