//! A terminal for programs that draw and ask.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{Bed, zfsync};

/// A terminal of its own for zfsync, and all that comes onto it.
pub struct Terminal {
    pub master: File,
    pub child: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    pub fn start(bed: &Bed, args: &[&str]) -> Self {
        Self::start_by(bed, &[], args)
    }

    /// As a job in the background; the end of `child` is the job's, also if that is stopped.
    pub fn start_in_background(bed: &Bed, args: &[&str]) -> Self {
        Self::start_by(bed, &["sh", "-mc", "\"$@\" & wait $!", "sh"], args)
    }

    fn start_by(bed: &Bed, by: &[&str], args: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(Path::new(name.to_str().unwrap())).unwrap();
        let inner = bed.command(args);
        // Makes it the controlling terminal of a new session.
        let mut command = Command::new("setsid");
        command.arg("-cw").args(by).arg(zfsync()).args(args).env_clear().env("TERM", "xterm");
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(Stdio::from(slave));
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut input, output) = (master.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = input.read(&mut buffer) {
                output.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self { master, child, shown }
    }

    pub fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
    }

    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    pub fn echoes(&self) -> bool {
        tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ECHO)
    }
}
