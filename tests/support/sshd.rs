//! A loopback SSH server for one test: its own keys, its own configuration, one `sshd -i` for each connection.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::{Bed, Ended, zfsync};

const SSHD: &str = "/usr/sbin/sshd";

/// Listens until it is dropped.
pub struct Sshd {
    port: u16,
    stop: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    listener: Option<JoinHandle<()>>,
}

/// How a server differs from an ordinary one.
#[derive(Default)]
pub struct Manners {
    /// So many connections are closed without a word, as MaxStartups does it.
    pub refused: usize,
    /// Lines for sshd_config.
    pub config: &'static str,
}

/// Whether there is an sshd; if not, says that the test is skipped.
pub fn available() -> bool {
    let there = Path::new(SSHD).exists() && Command::new("ssh").arg("-V").stderr(Stdio::null()).status().is_ok();
    if !there {
        eprintln!("skipped: needs ssh, ssh-keygen and {SSHD} (package openssh-server)");
    }
    there
}

impl Sshd {
    /// Starts one, and writes into the bed: `ssh_config`, which calls it `beta` and logs in with the right key; `there`,
    /// the zfsync to call over there.
    pub fn start(bed: &Bed, manners: &Manners) -> Self {
        if rustix::process::geteuid().is_root() {
            // sshd wants it, and only a service manager would have made it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        for key in ["host_key", "key"] {
            keygen(bed, key);
        }
        fs::copy(bed.path("key.pub"), bed.path("authorized_keys")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = |name: &str| bed.path(name).display().to_string();
        bed.write(
            "sshd_config",
            &format!(
                "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n\
                 SetEnv XDG_RUNTIME_DIR={2} ZFSYNC_LOCK_DIR={2}/zfsync\n{3}\n",
                here("host_key"),
                here("authorized_keys"),
                // Each bed has its own locks over there too: all of them call their target `d`.
                here("run"),
                manners.config
            ),
        );
        bed.write("known_hosts", &format!("[127.0.0.1]:{port} {}", bed.read("host_key.pub")));
        bed.write(
            "ssh_config",
            &format!(
                "Host beta\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n IdentitiesOnly yes\n IdentityAgent none\n \
                 UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n",
                here("key"),
                here("known_hosts")
            ),
        );
        // Login shells set a PATH of their own.
        let path = format!("PATH={}:/usr/bin:/bin", here("bin"));
        bed.script("there", &format!("#!/bin/sh\n{path}\nexport PATH\nexec {} \"$@\"\n", zfsync().display()));
        let (stop, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (config, log) = (bed.path("sshd_config"), bed.path("sshd.log"));
        let (stopped, counted, refused) = (stop.clone(), connections.clone(), manners.refused);
        let listener = std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if counted.fetch_add(1, Ordering::Relaxed) >= refused {
                    serve(connection, &config, &log);
                }
            }
        });
        Self { port, stop, connections, listener: Some(listener) }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were, refused ones among them.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Makes a key and its `.pub` in the bed.
pub fn keygen(bed: &Bed, name: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(bed.path(name))
        .status();
    assert!(made.unwrap().success());
}

fn serve(connection: TcpStream, config: &Path, log: &Path) {
    let output = OwnedFd::from(connection.try_clone().unwrap());
    let mut sshd = Command::new(SSHD);
    sshd.arg("-i").arg("-E").arg(log).arg("-f").arg(config);
    let spawned = sshd.stdin(OwnedFd::from(connection)).stdout(output).stderr(Stdio::null()).spawn();
    let mut child = spawned.unwrap();
    std::thread::spawn(move || child.wait());
}

/// The bed with an ordinary server; `None` where there is no sshd.
pub fn reached(bed: Bed) -> Option<(Bed, Sshd)> {
    available().then(|| {
        let sshd = Sshd::start(&bed, &Manners::default());
        (bed, sshd)
    })
}

/// `zfsync push` with the bed's ssh_config and the zfsync `there`, not started yet.
pub fn pushing(bed: &Bed, args: &[&str]) -> Command {
    pushing_by(bed, bed.path("there").to_str().unwrap(), args)
}

fn pushing_by(bed: &Bed, there: &str, args: &[&str]) -> Command {
    let config = bed.path("ssh_config");
    bed.command(&[&["push", "-F", config.to_str().unwrap(), "--remote-zfsync", there][..], args].concat())
}

/// Runs it to its end.
pub fn push(bed: &Bed, args: &[&str]) -> Ended {
    Ended::of(pushing(bed, args).spawn().unwrap())
}

/// The same with another zfsync to call over there.
pub fn push_calling(bed: &Bed, there: &str, args: &[&str]) -> Ended {
    Ended::of(pushing_by(bed, there, args).spawn().unwrap())
}

/// A tree with nothing to do.
pub fn in_sync() -> Bed {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s/x", 2, 1), ("s/x@a", 12, 2)]);
    bed.world(&[("d", 3, 1), ("d@a", 11, 5), ("d/x", 4, 1), ("d/x@a", 12, 5)]);
    bed
}

/// Nothing but locks is left: no process of either side, no control socket.
#[track_caller]
pub fn left_clean(bed: &Bed) {
    bed.wait_for_no_process();
    let left: Vec<String> = std::fs::read_dir(bed.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.iter().all(|name| name == "zfsync"), "{left:?}");
}

/// Programs that may be a host's login shell.
pub const LOGIN_SHELLS: [&str; 9] = ["dash", "bash", "zsh", "mksh", "yash", "bsd-csh", "tcsh", "fish", "busybox sh"];

/// Programs that may be a host's `sh`.
pub const POSIX_SHELLS: [&str; 6] = ["dash", "bash", "mksh", "yash", "zsh", "busybox"];

/// Those of the shells that this machine has, with their programs; of the others it says that they are skipped.
pub fn installed<'a>(shells: &'a [&'a str]) -> impl Iterator<Item = (&'a str, PathBuf)> {
    shells.iter().filter_map(|shell| {
        let program = shell.split(' ').next()?;
        let there = ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists());
        if there.is_none() {
            eprintln!("skipped: no {shell}");
        }
        Some((*shell, there?))
    })
}

/// Has sshd start this login shell, as it does with each command; `setup` goes before it. The home directory is the bed's `home`.
pub fn login_shell(bed: &Bed, shell: &str, setup: &str) {
    let (home, bin) = (bed.path("home"), bed.path("bin"));
    let login = format!(
        "#!/bin/sh\nexport HOME={} PATH={}:/usr/bin:/bin\n{setup}\nexec {shell} -c \"$SSH_ORIGINAL_COMMAND\"\n",
        home.display(),
        bin.display(),
    );
    bed.script("login", &login);
    let key = bed.read("key.pub");
    bed.write("authorized_keys", &format!("command=\"{}\" {key}", bed.path("login").display()));
}

/// Makes a shell what is `sh` there.
pub fn make_sh(bed: &Bed, program: &Path) {
    let _ = fs::remove_file(bed.path("bin/sh"));
    symlink(program, bed.path("bin/sh")).unwrap();
}
