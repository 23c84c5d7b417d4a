//! Runs a hook: without a shell, in a process group of its own, for so long at most.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::stop::Stop;
use crate::config::HookCommand;
use crate::format::duration;
use zfs::text::os_words;

/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// So long it may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// So much of what it has said is told.
const QUOTED: u64 = 4096;

/// What a hook finds in its environment: variables that are set, and those that are not.
pub type Env = Vec<(&'static str, Option<String>)>;

/// Runs it with this on its stdin. `Ok` is what it has said; an error tells what went wrong, too. With `stop` given it ends when that says so.
pub async fn run(
    hook: &HookCommand,
    env: Env,
    input: Vec<u8>,
    timeout: Duration,
    stop: Option<&Stop>,
) -> Result<String, String> {
    let (hook, stop) = (hook.clone(), stop.cloned());
    let work = move || run_here(&hook, &env, &input, timeout, stop.as_ref());
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(format!("an internal task failed: {error}")))
}

fn run_here(
    hook: &HookCommand,
    env: &[(&'static str, Option<String>)],
    input: &[u8],
    timeout: Duration,
    stop: Option<&Stop>,
) -> Result<String, String> {
    let cant = |error: io::Error| format!("can't run {hook}: {}", os_words(&error));
    // Where there is no room for what it says, that is lost, and it runs all the same.
    let mut said =
        tempfile::tempfile().or_else(|_| File::options().read(true).write(true).open("/dev/null")).map_err(cant)?;
    let mut command = Command::new(&hook.program);
    command.args(&hook.args).process_group(0).stdin(stdin(input).map_err(cant)?);
    command.stdout(said.try_clone().map_err(cant)?).stderr(said.try_clone().map_err(cant)?);
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command.spawn().map_err(cant)?;
    let ended = wait(&mut child, timeout, stop);
    let said = tail(&mut said).unwrap_or_default();
    let failed = |what: String| if said.is_empty() { what } else { format!("{what}\n{said}") };
    match ended {
        Ok(HookEnd::By(status)) if status.success() => Ok(said),
        Ok(HookEnd::By(status)) => Err(failed(format!("{hook}: {}", how(status)))),
        Ok(HookEnd::Late) => Err(failed(format!("{hook}: killed: it took longer than {}", duration(timeout)))),
        Ok(HookEnd::Stopped) => Err(failed(format!("{hook}: killed: the job was stopped"))),
        Err(error) => Err(failed(format!("can't wait for {hook}: {}", os_words(&error)))),
    }
}

/// A file, so that nobody has to wait for a hook that doesn't read.
fn stdin(input: &[u8]) -> io::Result<Stdio> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    // In memory: a full disk is what a hook may be there to tell of.
    let memory = rustix::fs::memfd_create("zfsync-hook", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = memory.map(File::from).or_else(|_| tempfile::tempfile())?;
    file.write_all(input)?;
    file.rewind()?;
    Ok(file.into())
}

enum HookEnd {
    By(ExitStatus),
    Late,
    Stopped,
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn wait(child: &mut Child, timeout: Duration, stop: Option<&Stop>) -> io::Result<HookEnd> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(HookEnd::By(status));
        }
        let stopped = stop.is_some_and(|stop| stop.check().is_err());
        if stopped || began.elapsed() >= timeout {
            end(child)?;
            return Ok(if stopped { HookEnd::Stopped } else { HookEnd::Late });
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends the whole group: SIGTERM first. The hook is waited for last, so that its number can't be anybody else's meanwhile.
fn end(child: &mut Child) -> io::Result<()> {
    let pid = Pid::from_child(child);
    let _ = kill_process_group(pid, Signal::TERM);
    let began = Instant::now();
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while began.elapsed() < GRACE && matches!(waitid(WaitId::Pid(pid), options), Ok(None)) {
        std::thread::sleep(LOOK);
    }
    let _ = kill_process_group(pid, Signal::KILL);
    child.wait().map(drop)
}

/// The last of what it has said.
fn tail(file: &mut File) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(QUOTED)))?;
    let mut bytes = Vec::new();
    file.take(QUOTED).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok(if length > QUOTED { format!("[...] {text}") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_run(line: &str, timeout: u64) -> Result<String, String> {
        let env = [("ZFSYNC_JOB", Some("data".to_owned())), ("ZFSYNC_SNAPSHOT", None)];
        run_here(&line.parse().unwrap(), &env, b"{}\n", Duration::from_millis(timeout), None)
    }

    #[test]
    fn what_it_says_and_how_it_ends() {
        assert_eq!(try_run("sh -c 'echo job $ZFSYNC_JOB; echo err >&2'", 60_000).unwrap(), "job data\nerr");
        assert_eq!(try_run("cat", 60_000).unwrap(), "{}");
        let error = try_run("sh -c 'echo no disk; exit 7'", 60_000).unwrap_err();
        assert!(error.contains("exit status 7\nno disk"), "{error}");
        assert!(try_run("/nonexistent/hook", 60_000).unwrap_err().contains("can't run"));
        assert!(try_run("sh -c 'kill -9 $$'", 60_000).unwrap_err().contains("signal 9"));
        let long = try_run("sh -c 'yes | head -c 100000'", 60_000).unwrap();
        assert!(long.starts_with("[...]") && long.len() < 5000, "{}", long.len());
    }

    #[test]
    fn a_late_one_is_killed_with_its_group() {
        let began = Instant::now();
        let error = try_run("sh -c 'sleep 1000 & echo $!; wait'", 2000).unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert!(error.contains("took longer than 2.0 s"), "{error}");
        let pid: i32 = error.lines().last().unwrap().parse().unwrap();
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        assert!((0..100).any(|_| gone() || (std::thread::sleep(LOOK), false).1), "{pid} is still there");
    }
}
