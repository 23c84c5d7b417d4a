//! Programs that tests write and run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes an executable file. By a process of its own: what this one has open for writing, another test's child has too
/// between its fork and its exec, and a file that somebody may write can't be executed (`ETXTBSY`).
///
/// # Panics
/// If it can't be written.
pub fn write_script(path: &Path, text: &str) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"cat >"$0" && chmod 755 "$0""#]).arg(path);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("there is a shell");
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("the shell reads all");
    assert!(child.wait().expect("it is our child").success(), "{}", path.display());
}
