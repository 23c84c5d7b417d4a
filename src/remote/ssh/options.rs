//! What ssh is told about a connection: what the connection depends on is ours, then the user's options, then the user's files, and
//! only what all of these leave open is ours again.

use std::fs;
use std::io::{self, Read as _};
use std::iter;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{ConnectError, identity};
use crate::remote::target::Host;

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
    /// Whether programs on the host may use the authentication agent of this machine.
    pub forward_agent: bool,
    /// Whether ssh logs how it has logged in.
    pub verbose: bool,
}

/// What the connection depends on, first on the command line, as ssh takes the first value that it meets. A forwarding of the user's
/// configuration would collide between masters, a `RemoteCommand` would take the helper's place, and without words (`LogLevel QUIET`)
/// nobody would learn why a host can't be reached.
const OURS: [&str; 10] = [
    "ClearAllForwardings=yes",
    // That is none of those, and would join the networks of both hosts.
    "Tunnel=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "LogLevel=INFO",
    "ControlMaster=yes",
    // Should we be killed, the master lives on for so long at most.
    "ControlPersist=60",
];

/// What the user leaves open, as the last lines of the configuration.
///
/// - AES-GCM is about 1.6 times as fast as ssh's first choice. `^` puts it in front of ssh's own list; an unknown name would be an
///   error, so only names that every OpenSSH since 6.2 knows.
/// - Compression would cost a core on streams that are compressed already.
/// - The others bound the wait for a host that does not answer, or not any more.
const DEFAULTS: &str = "Host *
  Ciphers ^aes128-gcm@openssh.com,aes256-gcm@openssh.com
  Compression no
  ConnectTimeout 30
  ServerAliveInterval 15
  ServerAliveCountMax 3
";

/// A file that is longer is no configuration.
const MOST: u64 = 1 << 20;

/// `ssh -G`, which talks to nobody, may take so long.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The key of a `-o`.
fn key(option: &str) -> &str {
    let option = option.trim_start();
    option.split(|ch: char| ch == '=' || ch.is_whitespace()).next().unwrap_or_default()
}

/// The key of a `-o` that is about one host: it can't be meant for two.
#[must_use]
pub fn of_one_host(option: &str) -> Option<&str> {
    const ABOUT_ONE: [&str; 8] =
        ["hostname", "port", "hostkeyalias", "user", "identityfile", "certificatefile", "proxyjump", "proxycommand"];
    Some(key(option)).filter(|key| ABOUT_ONE.contains(&key.to_lowercase().as_str()))
}

impl SshOptions {
    /// Those that decide which host a name leads to, as they would be written.
    #[must_use]
    pub fn ways(&self) -> Vec<String> {
        let leads = |option: &&String| {
            ["port", "hostname", "hostkeyalias", "proxyjump", "proxycommand"]
                .contains(&key(option).to_lowercase().as_str())
        };
        let config = self.config.iter().map(|path| format!("-F {}", path.display()));
        let port = self.port.iter().map(|port| format!("-p {port}"));
        config.chain(port).chain(self.options.iter().filter(leads).map(|option| format!("-o {option}"))).collect()
    }

    /// With the key as ssh finds it.
    pub(super) fn with_key_found(&self, host: &Host) -> Result<Self, ConnectError> {
        let Some(path) = &self.identity else { return Ok(self.clone()) };
        let missing = |reason| ConnectError::Key { host: host.to_string(), path: path.clone(), reason };
        Ok(Self { identity: Some(identity::find(path).map_err(missing)?), ..self.clone() })
    }

    /// A command for the user that connects alike, and does nothing on the host.
    pub(super) fn by_hand(&self, host: &Host) -> String {
        let config = self.config.iter().flat_map(|path| ["-F".into(), path.display().to_string()]);
        let port = self.port.iter().flat_map(|port| ["-p".into(), port.to_string()]);
        let identity = self.identity.iter().flat_map(|path| ["-i".into(), path.display().to_string()]);
        let options = self.options.iter().flat_map(|option| ["-o".into(), option.clone()]);
        let words = iter::once("ssh".to_owned()).chain(config).chain(port).chain(identity).chain(options);
        shell_words::join(words.chain([host.to_string(), "true".into()]))
    }

    /// Adds what the user says on the command line.
    fn add_to(&self, command: &mut Command) {
        if let Some(port) = self.port {
            command.arg("-p").arg(port.to_string());
        }
        if let Some(identity) = &self.identity {
            command.arg("-i").arg(identity);
        }
        for option in &self.options {
            command.arg("-o").arg(option);
        }
    }
}

/// What ssh makes of a host and the user's options (`ssh -G`).
#[derive(Debug, Default)]
pub(super) struct Configuration {
    /// Empty where ssh has not answered.
    text: String,
    /// The file for all users of this machine, where there is one: its place is compiled into ssh.
    system: Option<PathBuf>,
}

impl Configuration {
    /// Asks ssh. One that doesn't answer says why when it is told to connect.
    pub async fn of(host: &Host, options: &SshOptions) -> Self {
        let mut command = Command::new("ssh");
        command.arg("-G").arg("-v");
        if let Some(config) = &options.config {
            command.arg("-F").arg(config);
        }
        options.add_to(&mut command);
        command.arg("--").arg(host.destination());
        command.stdin(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(AT_ONCE, command.output()).await {
            Ok(Ok(output)) => {
                let [text, log] =
                    [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                Self { text, system: system_file(&log) }
            }
            _ => Self::default(),
        }
    }

    /// A value, where ssh tells one.
    fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim);
        values.find(|value| *value != "none")
    }

    /// Whether another program, or another host, is in between.
    pub fn has_proxy(&self) -> bool {
        self.get("proxycommand").is_some() || self.get("proxyjump").is_some()
    }

    /// How the host is reached, as `NAME:PORT`: whichever way it is written, and whatever ssh's configuration makes of that.
    pub fn reached(&self, host: &Host, options: &SshOptions) -> String {
        let port = options.port.map(|port| port.to_string());
        let port = self.get("port").map(ToOwned::to_owned).or(port).unwrap_or_else(|| "22".into());
        format!("{}:{port}", self.get("hostname").unwrap_or(&host.name).to_lowercase())
    }
}

/// The last file of this name that ssh reads is the one for all users.
fn system_file(log: &str) -> Option<PathBuf> {
    let read =
        log.lines().filter_map(|line| line.split_once("Reading configuration data ")).map(|(_, path)| path.trim());
    read.map(PathBuf::from).rfind(|path| path.is_absolute() && path.ends_with("ssh_config"))
}

/// The configuration of a master: the user's, and behind it what that leaves open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum File {
    /// Of this text.
    Text(String),
    /// The user's file, or ssh's own ones, as they are: ssh would not take them as part of another one.
    Theirs,
}

impl File {
    /// Puts it together.
    pub fn new(options: &SshOptions, configuration: &Configuration) -> Self {
        match &options.config {
            // ssh's word for no file.
            Some(config) if config.as_os_str() == "none" => Self::Text(DEFAULTS.to_owned()),
            // A copy: an included file must not be writable for its group, and one that is given with -F may be.
            Some(config) => read(config).map_or(Self::Theirs, |text| Self::Text(format!("{text}\n{DEFAULTS}"))),
            // Nobody knows whether there is a file for all users: to leave it out could lead to another host.
            None if configuration.text.is_empty() => Self::Theirs,
            None => {
                let system = configuration.system.as_deref();
                if system.is_some_and(|system| !may_be_included(system)) {
                    return Self::Theirs;
                }
                let system = system.map(|system| format!("Include {}\n", system.display())).unwrap_or_default();
                Self::Text(format!("Include ~/.ssh/config\n{system}{DEFAULTS}"))
            }
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // Asked before: nobody may ever write into a FIFO.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() || file.take(MOST + 1).read_to_string(&mut text)? as u64 > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(text)
}

/// ssh includes only what nobody but root and its user can have written (`read_config_file_depth` in readconf.c).
fn may_be_included(path: &Path) -> bool {
    let plain =
        path.to_str().is_some_and(|path| path.chars().all(|ch| ch.is_ascii_alphanumeric() || "/._-".contains(ch)));
    let Ok(metadata) = fs::metadata(path) else { return false };
    let own = metadata.uid() == 0 || metadata.uid() == rustix::process::getuid().as_raw();
    plain && own && metadata.mode() & 0o022 == 0 && read(path).is_ok_and(|text| !includes_by_relative_name(&text))
}

/// Whether it has an `Include` of a relative name: of a file that isn't in the place for all users, ssh looks for that in `~/.ssh`.
fn includes_by_relative_name(text: &str) -> bool {
    let names = text.lines().filter_map(|line| {
        let (key, names) = line.trim_start().split_once(|ch: char| ch == '=' || ch.is_whitespace())?;
        key.eq_ignore_ascii_case("include").then_some(names)
    });
    names
        .flat_map(|names| names.split(|ch: char| ch == '=' || ch.is_whitespace()))
        .map(|name| name.trim_start_matches('"'))
        .any(|name| !name.is_empty() && !name.starts_with(['/', '~']))
}

/// The names of what a master keeps in its directory.
pub(super) struct Files<'a> {
    /// The control socket.
    pub socket: &'a Path,
    /// The configuration, where it is written.
    pub config: Option<&'a Path>,
    /// ssh's log.
    pub log: &'a Path,
}

/// The command of a master. `asks`: it may ask at the terminal. With `verbose` ssh keeps stderr open for the program or the other ssh
/// in between, whose words are lost otherwise (`ssh_proxy_connect` in sshconnect.c), and logs more.
pub(super) fn master_command(
    host: &Host,
    options: &SshOptions,
    files: &Files<'_>,
    asks: bool,
    verbose: bool,
) -> Command {
    let mut command = Command::new("ssh");
    // -k is for no delegated credentials: whoever is root there could use them. As an option, an ssh that knows no GSSAPI would complain of it.
    command.arg("-M").arg("-N").arg("-f").arg("-k").arg("-S").arg(files.socket).arg("-E").arg(files.log);
    if let Some(config) = files.config.or(options.config.as_deref()) {
        command.arg("-F").arg(config);
    }
    if verbose {
        command.arg("-v");
    }
    if options.forward_agent {
        command.arg("-o").arg("ForwardAgent=yes");
    }
    for option in OURS {
        command.arg("-o").arg(option);
    }
    if !asks {
        command.arg("-o").arg("BatchMode=yes");
    }
    options.add_to(&mut command);
    command.arg("--").arg(host.destination());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { user: None, name: "h".into() }
    }

    fn configuration(text: &str) -> Configuration {
        Configuration { text: text.into(), system: None }
    }

    #[test]
    fn what_the_connection_depends_on_comes_first() {
        let options = SshOptions { options: vec!["ControlMaster=no".into()], port: Some(22), ..Default::default() };
        let files = Files { socket: Path::new("/d/s"), config: Some(Path::new("/d/config")), log: Path::new("/d/log") };
        let command = master_command(&host(), &options, &files, true, false);
        let args: Vec<String> = command.as_std().get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let at = |what: &str| args.iter().position(|arg| arg == what).unwrap();
        assert!(at("ControlMaster=yes") < at("ControlMaster=no"));
        assert_eq!(args[at("-F") + 1], "/d/config");
        assert!(!args.contains(&"BatchMode=yes".to_owned()) && !args.contains(&"ForwardAgent=yes".to_owned()));
        // Nothing that ssh_config may say is on the command line.
        assert!(!args.iter().any(|arg| arg.starts_with("Ciphers") || arg.starts_with("ConnectTimeout")), "{args:?}");
    }

    #[test]
    fn the_agent_is_forwarded_only_when_that_is_asked_for() {
        let options = SshOptions { forward_agent: true, ..Default::default() };
        let files = Files { socket: Path::new("/d/s"), config: None, log: Path::new("/d/log") };
        let command = master_command(&host(), &options, &files, false, false);
        let args: Vec<String> = command.as_std().get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let at = |what: &str| args.iter().position(|arg| arg == what).unwrap();
        assert!(at("ForwardAgent=yes") < at("ForwardAgent=no"));
    }

    #[test]
    fn the_users_file_comes_before_what_it_leaves_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("theirs");
        std::fs::write(&path, "Host h\n  Compression yes").unwrap();
        let options = SshOptions { config: Some(path.clone()), ..Default::default() };
        let expected = format!("Host h\n  Compression yes\n{DEFAULTS}");
        assert_eq!(File::new(&options, &Configuration::default()), File::Text(expected));
        // What can't be read ssh is to tell of itself.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(File::new(&options, &Configuration::default()), File::Theirs);
        let none = SshOptions { config: Some("none".into()), ..Default::default() };
        assert_eq!(File::new(&none, &Configuration::default()), File::Text(DEFAULTS.into()));
    }

    #[test]
    fn ssh_says_which_file_is_for_all_users() {
        let log = "OpenSSH_9.2p1\ndebug1: Reading configuration data /home/u/.ssh/config\n\
                   debug1: Reading configuration data /etc/ssh/ssh_config\n\
                   debug1: Reading configuration data /etc/ssh/ssh_config.d/10.conf\r\n";
        assert_eq!(system_file(log), Some("/etc/ssh/ssh_config".into()));
        assert_eq!(system_file("debug1: Reading configuration data /home/u/.ssh/config\n"), None);
    }

    #[test]
    fn a_file_that_others_can_write_is_not_included() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ssh_config");
        std::fs::write(&path, "").unwrap();
        let with = Configuration { text: "hostname h\n".into(), system: Some(path.clone()) };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let expected = format!("Include ~/.ssh/config\nInclude {}\n{DEFAULTS}", path.display());
        assert_eq!(File::new(&SshOptions::default(), &with), File::Text(expected));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(File::new(&SshOptions::default(), &with), File::Theirs);
    }

    #[test]
    fn no_file_for_all_users_is_left_out_or_misread() {
        // ssh -G has not answered in time.
        assert_eq!(File::new(&SshOptions::default(), &Configuration::default()), File::Theirs);
        for line in ["Include ssh_config.d/*.conf", "\tinclude \"a.conf\"", "Include=a", "INCLUDE /etc/a b"] {
            assert!(includes_by_relative_name(&format!("Host *\n{line}\n")), "{line}");
        }
        for line in ["Include /etc/ssh/ssh_config.d/*.conf", "# Include a", "Include = \"/a\" ~/b", "Host include a"] {
            assert!(!includes_by_relative_name(&format!("{line}\n")), "{line}");
        }
    }

    #[test]
    fn proxies_and_places() {
        assert!(configuration("hostname h\nproxycommand nc %h %p\n").has_proxy());
        assert!(configuration("proxyjump a,b\n").has_proxy());
        assert!(!configuration("proxycommand none\nproxyusefdpass no\n").has_proxy());
        let at = configuration("hostname Box.Example\nport 2222\n");
        assert_eq!(at.reached(&host(), &SshOptions::default()), "box.example:2222");
        assert_eq!(configuration("").reached(&host(), &SshOptions::default()), "h:22");
    }
}
