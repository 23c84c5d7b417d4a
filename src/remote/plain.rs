//! A host on which no helper can run: the helper runs on this machine, as a thread, and its `zfs` runs there, in sessions of its own.

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
use zfs::{Account, Allow, Away, BootId, Failure, Few, Hello, Lane, Limits, LocalHost, PLAIN, Zfs};

use super::event::HelperError;
use super::examined;
use super::pipes::Pipes;
use super::ssh::Sessions;
use crate::format::count;

/// With its comments and lines.
const SCRIPT: &str = include_str!("plain.sh");

/// What the host tells of itself, a word and its value in each line. In one line, as all arguments are.
const TELL: &str = "set -f; echo host $(uname -n); echo user $(id -un); echo uid $(id -u); echo groups $(id -Gn); \
    echo clock $(date +%s); echo zfs $(cat /sys/module/zfs/version 2>/dev/null); \
    echo boot $(cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -nx kern.boot_id 2>/dev/null); \
    echo path $(command -v zfs); \
    [ $# = 0 ] || said=$(\"$@\" list -H -o name -d 0 2>&1 >/dev/null) || echo refused $said";

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

/// What needs an `--allow` that a host with `zfs` alone doesn't give, as the user asks for it.
#[must_use]
pub fn options(allow: Allow) -> &'static str {
    match allow {
        Allow::Rollback => "--rollback",
        Allow::Rename => "--set-aside and --follow-renames",
        Allow::Destroy => "everything that destroys (--replace, --delete-missing, prune, keep)",
        Allow::Snapshot => "taking snapshots of a source on it (cron, run)",
        Allow::Verify => "verify --content",
        _ => allow.word(),
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
    let lane = if streams { Some(lane(sessions, runtime, host)?) } else { None };
    // A session that is lost takes its helper with it, as the loss of a connection does where the helper is on the host: what is asked
    // afterwards would fail dataset by dataset.
    let output = Arc::new(OnceLock::<UnixStream>::new());
    let given_up = Arc::new(AtomicBool::new(false));
    let (of_lost, gone) = (Arc::clone(&output), Arc::clone(&given_up));
    let lost = move || {
        gone.store(true, Ordering::Relaxed);
        if let Some(output) = of_lost.get() {
            let _ = output.shutdown(Shutdown::Both);
        }
    };
    let words = if plain.zfs.is_empty() { vec!["zfs".into()] } else { plain.zfs.clone() };
    let zfs = Zfs::on(Away::new(sessions.program(&line()), words, sessions.turns(), lost.clone()));
    let within = |silence| zfs.within(Limits { silence: Some(silence), given_up: Some(Arc::clone(&given_up)) });
    let ask = || within(limit).ask(TELL, &plain.zfs, MOST_TOLD).map_err(|failure| no_shell(host, &failure));
    let said = sessions.told().get().map_or_else(ask, |said| Ok(said.clone()))?;
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
fn lane(sessions: &Sessions, runtime: &Handle, host: &str) -> Result<Lane, HelperError> {
    let open = |most| {
        let (tell, told) = mpsc::channel();
        let sessions = sessions.clone();
        runtime.spawn(async move {
            let _ = tell.send(examined::granted(&sessions, most).await);
        });
        // It has limits of its own. The runtime may be about to end.
        told.recv_timeout(examined::SESSION * 3).unwrap_or(0)
    };
    sessions.turns().lane(open).map_err(|Few { sessions, streams, is_news }| {
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

fn no_shell(host: &str, failure: &Failure) -> HelperError {
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
        Some("doas") => ("doas.conf", format!("permit nopass {user} as root cmd {zfs}")),
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

/// The line for the login shell of the other host, whichever that is.
fn line() -> String {
    let script: Vec<&str> =
        SCRIPT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    format!("exec sh -c '{}' zfsync", script.join(" "))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn no_shell_finds_anything_to_do_in_the_line() {
        let line = line();
        let script = line.strip_prefix("exec sh -c '").unwrap().strip_suffix("' zfsync").unwrap();
        assert!(script.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"!\\'".contains(&byte)), "{script}");
    }

    /// What the line says where `sh` is this shell, and how it ends; `None` where there is none.
    fn said(shell: &str, stdin: &[u8]) -> Option<(Vec<u8>, Option<i32>)> {
        let program = ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(shell)).find(|path| path.exists());
        let Some(program) = program else {
            eprintln!("skipped: no {shell}");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(program, dir.path().join("sh")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line()]).env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // It may end without reading.
            scope.spawn(move || input.write_all(stdin));
            let ended = child.wait_with_output().unwrap();
            Some((ended.stdout, ended.status.code()))
        })
    }

    const SHELLS: [&str; 7] = ["dash", "bash", "zsh", "mksh", "yash", "busybox", "ksh"];

    /// As what calls `zfs` sends it.
    fn sent(words: &[&[u8]]) -> Vec<u8> {
        [format!("{}\n\x1f\n", words.len()).into_bytes(), words.join(&0x1f), b"\n".to_vec()].concat()
    }

    /// As a start-up file may have read some of it.
    #[test]
    fn nothing_is_run_without_all_that_is_sent() {
        let whole = sent(&[b"echo", b"ran"]);
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let mut cut = vec![lines[1..].concat(), lines[2..].concat(), Vec::new()];
        cut.extend((1..whole.len()).map(|len| whole[..len].to_vec()));
        // More words than told, fewer, and none.
        for number in ["1", "3", "0", "", "02", "x[$(echo ran >&2)]"] {
            cut.push([number.as_bytes(), b"\n\x1f\necho\x1fran\n"].concat());
        }
        cut.push(b"0\n\x1f\n\n".to_vec());
        cut.push(b"1\n\x1f\n\n".to_vec());
        for shell in SHELLS {
            for stdin in &cut {
                let Some(ended) = said(shell, stdin) else { break };
                assert_eq!(ended, (Vec::new(), Some(1)), "{shell} {:?}", String::from_utf8_lossy(stdin));
            }
        }
    }

    #[test]
    fn words_come_through_as_they_are_and_the_stream_behind_them() {
        let all: Vec<u8> = (1..=127).filter(|byte| ![b'\n', 0x1f].contains(byte)).collect();
        // As ends of UTF-8 characters, and as what shells mark quotes with.
        let high: Vec<u8> = (128..=255).collect();
        for shell in SHELLS {
            let printed: [&[u8]; 10] =
                [b" a  b ", b"$(id)", b"`id`", b"'\"\\n", b"*", b"-n", b"!!", b"\\", &all, b"~ \t"];
            let first: [&[u8]; 4] = [b"sh", b"-c", b"printf '%s,' \"$@\"; cat", b"x"];
            // yash knows no characters beyond ASCII in this locale.
            let high: &[&[u8]] = if shell == "yash" { &[] } else { &[&high] };
            let stdin = [sent(&[&first[..], &printed[..], high].concat()), b"the\nstream".to_vec()].concat();
            let Some(ended) = said(shell, &stdin) else { continue };
            let printed: Vec<u8> = printed.iter().chain(high).flat_map(|word| [*word, b","].concat()).collect();
            let expected = [&b"ZFSYNC-PLAIN\n"[..], &printed, b"the\nstream"].concat();
            assert_eq!(String::from_utf8_lossy(&ended.0), String::from_utf8_lossy(&expected), "{shell}");
        }
    }

    /// What the shell has computed until it became the command, in ticks.
    #[cfg(target_os = "linux")]
    fn ticks(shell: &str, names: usize) -> Option<u64> {
        let mut words: Vec<Vec<u8>> = [&b"sh"[..], b"-c", b"cat /proc/$$/stat", b"x"].map(<[u8]>::to_vec).into();
        words.extend((0..names).map(|number| format!("p/dataset{number:06}@a").into_bytes()));
        let (stat, _) = said(shell, &sent(&words.iter().map(Vec::as_slice).collect::<Vec<_>>()))?;
        let stat = String::from_utf8(stat).unwrap();
        let fields = stat.rsplit_once(')').expect(&stat).1.split_whitespace();
        Some(fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn four_times_as_many_words_take_about_four_times_as_long() {
        for shell in SHELLS {
            let Some(few) = ticks(shell, 10_000) else { continue };
            let many = ticks(shell, 40_000).unwrap();
            eprintln!("{shell}: {few} and {many} ticks");
            assert!(many <= few * 8 + 20, "{shell}: {few} and {many} ticks");
        }
    }

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
            "\n  it is not allowed there: ask root on beta to add this line to doas.conf: permit nopass u as root cmd /sbin/zfs"
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
