//! A host on which no helper can run: the helper runs on this machine, as a thread, and its `zfs` runs there, in sessions that take one
//! call after the other.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use helper::{Config, Side};
use tokio::runtime::Handle;
use zfs::text::{on_one_line, quoted};
use zfs::{Account, Allow, Away, BootId, Failure, Few, Hello, Lane, Limits, LocalHost, PLAIN, Zfs, session_line};

use super::event::HelperError;
use super::examined::SESSION;
use super::pipes::Pipes;
use super::ssh::Sessions;
use crate::format::{about, count};

/// What the host tells of itself, a word and its value in each line. In one line, as all arguments are.
const TELL: &str = "set -f; echo host $(uname -n); echo user $(id -un); echo uid $(id -u); echo groups $(id -Gn); \
    echo clock $(date +%s); echo zfs $(cat /sys/module/zfs/version 2>/dev/null); \
    echo boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -nx kern.boot_id 2>/dev/null); \
    echo path $(command -v zfs); \
    [ $# = 0 ] || said=$(\"$@\" list -H -o name -d 0 2>&1 >/dev/null) || echo refused $said";

/// Whoever waits for longer for a shell there is told why that may be. It may just be slow, so nothing is given up yet.
const SLOW: Duration = Duration::from_secs(10);
/// What a helper that is asked for something else says first: it has read our words as a frame.
const HELPER_SAYS: &str = "zfsync helper: ";

/// A `zfs` there that has said nothing for so long hangs.
const HANGS: Duration = Duration::from_secs(3600);

/// So much may the host tell of itself.
const MOST_TOLD: u64 = 64 * 1024;

/// What is done there with `zfs` alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plain {
    /// The end of the replication.
    pub side: Side,
    /// What is asked of the helper.
    pub allow: Vec<Allow>,
    /// The words that stand for `zfs` there, as `sudo -n zfs`; none: `zfs`.
    pub zfs: Vec<String>,
}

impl Plain {
    /// What calls `zfs` there, as somebody would type it.
    #[must_use]
    pub fn command(&self) -> String {
        if self.zfs.is_empty() { "zfs".into() } else { shell_words::join(&self.zfs) }
    }
}

/// Whether this can be done without a helper on the host: nothing is destroyed, rolled back, renamed or read where nothing that we can
/// trust is there to look again at the last moment.
#[must_use]
pub fn allows(allow: Allow) -> bool {
    matches!(allow, Allow::Volmode | Allow::Packages | Allow::Unencrypted | Allow::Mountable | Allow::Rekey)
}

/// What needs an `--allow`, as the user asks for it.
#[must_use]
pub fn options(allow: Allow) -> &'static str {
    match allow {
        Allow::Rollback => "--rollback",
        Allow::Rename => "--set-aside and --follow-renames",
        Allow::Destroy => "everything that destroys (--replace, --delete-missing, prune, keep)",
        Allow::Snapshot => "taking snapshots of a source on it (cron, run)",
        Allow::Verify => "verify --content",
        Allow::Volmode => "--volmode inherit",
        Allow::Packages => "--trust-source",
        Allow::Unencrypted => "--allow-unencrypted",
        Allow::Mountable => "restore",
        Allow::Rekey => "--allow-rekey",
    }
}

/// What somebody on the host can do instead, in front of other advice.
#[must_use]
pub fn by_hand(allow: Allow, host: &str) -> String {
    match allow {
        Allow::Rollback | Allow::Rename | Allow::Destroy => format!("resolve it on {host}, or "),
        Allow::Snapshot
        | Allow::Verify
        | Allow::Volmode
        | Allow::Packages
        | Allow::Unencrypted
        | Allow::Mountable
        | Allow::Rekey => String::new(),
    }
}

/// Asks the host what it is, and starts the helper for it on a thread; `streams`: some are to go through it. Blocking.
pub(super) fn start(
    sessions: &Sessions,
    runtime: &Handle,
    host: &str,
    plain: &Plain,
    streams: bool,
    limit: Duration,
) -> Result<Pipes, HelperError> {
    // A session that is lost takes its helper with it, as the loss of a connection does where the helper is on the host: what is asked
    // afterwards would fail dataset by dataset.
    let output = Arc::new(OnceLock::<UnixStream>::new());
    let given_up = Arc::new(AtomicBool::new(false));
    let (of_lost, gone) = (Arc::clone(&output), Arc::clone(&given_up));
    let lost = move || {
        gone.store(true, Ordering::SeqCst);
        if let Some(output) = of_lost.get() {
            let _ = output.shutdown(Shutdown::Both);
        }
    };
    let words = if plain.zfs.is_empty() { vec!["zfs".into()] } else { plain.zfs.clone() };
    let zfs = Zfs::on(Away::new(sessions.program(&session_line()), words, sessions.turns(), lost.clone()));
    let within = |silence| zfs.within(Limits { silence: Some(silence), given_up: Some(Arc::clone(&given_up)) });
    let started = if sessions.told().get().is_none() { Some(Slow::watch(SLOW, host)?) } else { None };
    let lane = if streams { lane(&within(SESSION), host)? } else { None };
    let ask = || within(limit).ask(TELL, &plain.zfs, MOST_TOLD).map_err(|failure| no_shell(host, &failure));
    let said = sessions.told().get().map_or_else(ask, |said| Ok(said.clone()))?;
    drop(started);
    let told = Told::read(&said, plain);
    if let Some(words) = told.refused {
        let advice = passwordless(&plain.zfs, host, &words, &told.hello.user, told.path.as_deref());
        return Err(HelperError::ZfsRefused { host: host.to_owned(), command: plain.command(), words, advice });
    }
    if told.hello.zfs_path.is_none() {
        return Err(HelperError::NoZfs { host: host.to_owned() });
    }
    let _ = sessions.told().set(said);
    tracing::info!("{host}: plain {}, without a helper on that host", plain.command());
    let there = LocalHost::away(within(HANGS), told.hello, told.account);
    let allow = plain.allow.iter().copied().filter(|allow| allows(*allow)).collect();
    let config = Config { allow, side: plain.side, ..Config::default() };
    // Also while nothing is asked.
    let connection = sessions.connection();
    runtime.spawn(async move {
        connection.ended().await;
        lost();
    });
    serve(config, there, &output, given_up, limit, lane)
}

/// A place on the connection for one more stream at a time.
fn lane(zfs: &Zfs, host: &str) -> Result<Option<Lane>, HelperError> {
    zfs.lane().map_err(|Few { sessions, streams, is_news }| {
        let error = HelperError::Sessions { host: host.to_owned(), sessions };
        if is_news {
            tracing::warn!("{error}: no more than {} at a time", count(streams, "stream"));
        }
        error
    })
}

/// `over` is set when the helper has ended: a session that hangs there would keep its place on the connection.
fn serve(
    config: Config,
    there: LocalHost,
    cut: &OnceLock<UnixStream>,
    over: Arc<AtomicBool>,
    limit: Duration,
    lane: Option<Lane>,
) -> Result<Pipes, HelperError> {
    let (stdin, ours_in) = io::pipe()?;
    zfs::pipe::grow_pipe(&ours_in);
    let (ours_out, output) = UnixStream::pair()?;
    let (ours_err, stderr) = io::pipe()?;
    let _ = cut.set(output.try_clone()?);
    // Lost before that could be told.
    if over.load(Ordering::SeqCst) {
        output.shutdown(Shutdown::Both)?;
    }
    let (tell, status) = mpsc::channel();
    thread::Builder::new().name("plain".into()).spawn(move || {
        let served = helper::serve(config, stdin.into(), output.into(), Arc::new(there));
        over.store(true, Ordering::Relaxed);
        drop(lane);
        // Nobody listens any more when the run is over.
        let _ = tell.send(served.map_or_else(|error| error.to_string(), |()| "ended".into()));
        drop(stderr);
    })?;
    Ok(Pipes { stdin: ours_in.into(), stdout: OwnedFd::from(ours_out), stderr: ours_err.into(), status, limit })
}

/// Tells of a host that doesn't answer, unless it is dropped before.
struct Slow(#[expect(dead_code, reason = "dropped, it ends the wait")] mpsc::Sender<()>);

impl Slow {
    fn watch(patience: Duration, host: &str) -> io::Result<Self> {
        let (answered, waits) = mpsc::channel();
        let host = host.to_owned();
        thread::Builder::new().name("slow".into()).spawn(move || {
            if waits.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!(
                    "{host} has not started a shell for {}: it may be slow, or the key has a forced command that is no shell \
                     (authorized_keys on {host}); still waiting",
                    about(patience)
                );
            }
        })?;
        Ok(Self(answered))
    }
}

fn no_shell(host: &str, failure: &Failure) -> HelperError {
    if failure.words.lines().any(|line| line.starts_with(HELPER_SAYS)) {
        return HelperError::Forced { host: host.to_owned() };
    }
    HelperError::NoShell { host: host.to_owned(), words: quoted(&failure.words) }
}

/// What to do where `sudo` or `doas` wants a password, or isn't there.
fn passwordless(command: &[String], host: &str, words: &str, user: &str, zfs: Option<&str>) -> String {
    let asks = ["password", "terminal", "askpass", "authentication", "a tty"];
    let lower = words.to_ascii_lowercase();
    let program = command.first().map(|first| first.rsplit('/').next().unwrap_or(first));
    let zfs = zfs.unwrap_or("/usr/sbin/zfs");
    let (file, line) = match program {
        Some("sudo") => ("sudoers", format!("{user} ALL=(root) NOPASSWD: {zfs}")),
        // It compares the command as it is typed (doas.conf(5)).
        Some("doas") => {
            let typed = command.last().map_or("zfs", String::as_str);
            ("doas.conf", format!("permit nopass {user} as root cmd {typed}"))
        }
        _ => return String::new(),
    };
    if lower.contains("not found") && !lower.starts_with("sudo:") && !lower.starts_with("doas:") {
        let program = program.unwrap_or_default();
        let root = if user == "root" { ": leave out --remote-zfs, as root needs none" } else { "" };
        return format!("\n  {program} is not installed on {host} (or not in PATH){root}");
    }
    let why = if asks.iter().any(|word| lower.contains(word)) {
        "no password can be entered there"
    } else {
        "it is not allowed there"
    };
    format!("\n  {why}: ask root on {host} to add this line to {file}: {line}")
}

/// What the host has told.
struct Told {
    hello: Hello,
    account: Account,
    /// Where its `zfs` is.
    path: Option<String>,
    /// What came of a call of `zfs` by the user's words, if that failed.
    refused: Option<String>,
}

impl Told {
    fn read(told: &str, plain: &Plain) -> Self {
        let line = |word: &str| {
            let mut lines = told.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
            lines.find(|(first, _)| *first == word).map(|(_, value)| on_one_line(value.trim()).into_owned())
        };
        let value = |word: &str| line(word).filter(|value| !value.is_empty());
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            zfs: value("zfs"),
            zfs_path: if plain.zfs.is_empty() { value("path") } else { Some(plain.command()) },
            boot_id: BootId::of_dump(&value("boot").unwrap_or_default()),
            host: value("host").unwrap_or_default(),
            user: value("user").unwrap_or_default(),
            clock: value("clock").and_then(|clock| clock.parse().ok()),
            capabilities: vec![PLAIN.into()],
            ..Hello::default()
        };
        let groups = value("groups").unwrap_or_default().split(' ').map(ToOwned::to_owned).collect();
        // Whoever is called through something else has the rights of somebody else, of root as a rule.
        let is_root = value("uid").as_deref() == Some("0") || plain.zfs.len() > 1;
        let account = Account { user: hello.user.clone(), groups, is_root };
        Self { hello, account, path: value("path"), refused: line("refused") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_tells() {
        let said = "host beta\nuser repl\nuid 7\ngroups repl disk\nclock 1700000000\nzfs \nboot \npath /usr/sbin/zfs\n";
        let Told { hello, account, refused, .. } = Told::read(said, &Plain::default());
        let groups = vec!["repl".to_owned(), "disk".to_owned()];
        assert_eq!((account, refused), (Account { user: "repl".into(), groups, is_root: false }, None));
        assert_eq!(
            (hello.host.as_str(), hello.user.as_str(), hello.boot_id.as_str(), hello.zfs),
            ("beta", "repl", "", None)
        );
        assert_eq!((hello.clock, hello.zfs_path.as_deref()), (Some(1_700_000_000), Some("/usr/sbin/zfs")));
        assert_eq!(Told::read("host x\npath \n", &Plain::default()).hello.zfs_path, None);
    }

    #[test]
    fn a_command_that_is_refused() {
        let of = |program: &str, words: &str| {
            let zfs = [program, "-n", "zfs"].map(ToOwned::to_owned).to_vec();
            let told = Told::read(
                &format!("user u\npath /sbin/zfs\nrefused {words}\n"),
                &Plain { zfs: zfs.clone(), ..Plain::default() },
            );
            passwordless(&zfs, "beta", &told.refused.unwrap(), &told.hello.user, told.path.as_deref())
        };
        assert_eq!(
            of("/usr/bin/sudo", "sudo: a password is required"),
            "\n  no password can be entered there: ask root on beta to add this line to sudoers: u ALL=(root) NOPASSWD: /sbin/zfs"
        );
        assert_eq!(
            of("doas", "doas: Operation not permitted"),
            "\n  it is not allowed there: ask root on beta to add this line to doas.conf: permit nopass u as root cmd zfs"
        );
        assert_eq!(of("pfexec", ""), "");
        assert_eq!(of("sudo", "sh: 1: sudo: not found"), "\n  sudo is not installed on beta (or not in PATH)");
        assert!(of("sudo", "sudo: zfs: command not found").contains("it is not allowed there"));
        assert_eq!(
            passwordless(&["sudo".into()], "beta", "sh: sudo: not found", "root", None),
            "\n  sudo is not installed on beta (or not in PATH): leave out --remote-zfs, as root needs none"
        );
    }

    #[test]
    fn who_says_nothing_has_refused_too() {
        let plain = Plain { zfs: vec!["x".into()], ..Plain::default() };
        assert_eq!(Told::read("host b\nrefused\n", &plain).refused.as_deref(), Some(""));
        assert_eq!(Told::read("host b\n", &plain).refused, None);
    }

    #[test]
    fn nothing_is_destroyed_without_a_helper() {
        let refused = [Allow::Rollback, Allow::Destroy, Allow::Rename, Allow::Snapshot, Allow::Verify];
        assert!(refused.into_iter().all(|allow| !allows(allow)));
        assert!(allows(Allow::Volmode));
    }
}
