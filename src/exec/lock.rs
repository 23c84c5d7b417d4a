//! One run of this machine per target at a time; another one can be waited for.

use std::time::{Duration, Instant};

use crate::error::StartError;
use crate::remote::link::Ends;
use crate::remote::target::host_name_here;
use zfs::host::{HELPER_PROCESS, OF_ANOTHER_ACCOUNT};
use zfs::lock::{self, Lock, LockError};

/// How often a lock that is waited for is tried.
const AGAIN: Duration = Duration::from_millis(200);

/// Between who has a lock on this machine, and the number of that process.
const PROCESS: &str = ", process ";

/// Who locks a tree from now on, for the message that others get.
pub fn owner(ends: &Ends) -> String {
    let what = format!("push {} {} on {}", ends.source, ends.target, host_name_here());
    owner_of(&what)
}

/// The same for another command.
pub fn owner_of(what: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("zfsync {what}{PROCESS}{}, since {now}", std::process::id())
}

/// What to do about a lock that somebody has on another host. Only the helper's process is one of that host: an older helper doesn't
/// tell its own.
pub fn advice_there(holder: &str, host: &str) -> String {
    number_behind(HELPER_PROCESS, holder).map_or_else(String::new, |process| advice(process, host, true))
}

/// The number of the process of who has a lock on this machine, by one or the other.
fn process_here(holder: &str) -> Option<u32> {
    number_behind(if holder.contains(HELPER_PROCESS) { HELPER_PROCESS } else { PROCESS }, holder)
}

/// The number of a process, if it can be believed. What lies before the number can be in no dataset's name.
fn number_behind(before: &str, holder: &str) -> Option<u32> {
    // Another account may say anything.
    let (_, rest) = holder.rsplit_once(before).filter(|_| !holder.contains(OF_ANOTHER_ACCOUNT))?;
    rest.split(|ch: char| !ch.is_ascii_digit()).next()?.parse().ok()
}

/// What to do about a process: one that was stopped has its lock for as long as it exists. `can_wait`: whether the command has an
/// option for that.
fn advice(process: u32, host: &str, can_wait: bool) -> String {
    let wait = if can_wait { "--wait-lock TIME waits for it; " } else { "" };
    format!(
        "\n  {wait}if it hangs or was stopped, see ps -o pid,stat,etime,args -p {process} on {host} (state T: \
         stopped): kill -CONT {process} lets it continue, kill -9 {process} ends it"
    )
}

/// Takes the lock of the target for a run, or says who holds it once the time for waiting is over (`None`: the command has no option
/// for it). Where there can't be one, or not everywhere, the text says so, and the run goes on. Cancellation safe.
pub async fn take(ends: &Ends, run: u64, wait: Option<Duration>) -> Result<(Option<Lock>, Option<String>), StartError> {
    let began = Instant::now();
    loop {
        match lock::take(&ends.key(), run, &owner(ends)) {
            Ok(lock) => {
                let doubt = lock.doubt().map(ToOwned::to_owned);
                return Ok((Some(lock), doubt));
            }
            Err(LockError::Held { .. }) if began.elapsed() < wait.unwrap_or_default() => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(LockError::Held { holder, path, .. }) => {
                return Err(held(ends.target.to_string(), &holder, &path, wait.is_some()));
            }
            Err(error @ LockError::Io { .. }) => {
                return Ok((
                    None,
                    Some(format!("{error}: other runs on this machine are not prevented from working on this target")),
                ));
            }
        }
    }
}

/// Another run has the lock of this on this machine. `can_wait`: whether the command has an option for that.
pub fn held(target: String, holder: &str, path: &str, can_wait: bool) -> StartError {
    let advice = process_here(holder).map(|process| advice(process, "this machine", can_wait)).unwrap_or_default();
    StartError::Locked { target, holder: format!("{holder} (lock {path}){advice}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "zfsync push a b on alpha, process 85, since 2026-11-30 01:16:19 UTC";

    #[test]
    fn what_ends_a_process_of_another_host_names_one_of_that_host() {
        let there = |holder: &str| advice_there(holder, "beta");
        let told = there(&format!("{OWN} (helper process 53), for b/process 7"));
        let see = "\n  --wait-lock TIME waits for it; if it hangs or was stopped, see ps -o pid,stat,etime,args -p 53 on beta ";
        assert!(told.starts_with(see) && told.ends_with("kill -9 53 ends it"), "{told}");
        // What an older helper says; process 85 is one of alpha.
        assert_eq!(there(&format!("{OWN}, for b/process 7")), "");
        for nobody in ["unknown", "zfsync push a b on alpha (helper process x), for b", "process 7"] {
            assert_eq!(there(nobody), "", "{nobody}");
        }
        assert_eq!(there(&format!("{OWN} (helper process 1), for b, as user eve (7)")), "");
    }

    #[test]
    fn what_ends_a_process_of_this_machine_says_how_to_wait_where_one_can() {
        let here = |holder: &str, can_wait| held("b".into(), holder, "/l", can_wait).to_string();
        let told = here(OWN, true);
        assert!(told.contains("\n  --wait-lock TIME waits for it; if it hangs"), "{told}");
        assert!(told.contains(" -p 85 on this machine ") && told.ends_with("kill -9 85 ends it"), "{told}");
        let told = here(OWN, false);
        assert!(told.contains("\n  if it hangs or was stopped, see ps") && !told.contains("--wait-lock"), "{told}");
        let told = here(&format!("{OWN} (helper process 53), for b/process 7"), true);
        assert!(told.contains(" -p 53 on this machine "), "{told}");
        assert!(!here("unknown", true).contains("kill"));
    }
}
