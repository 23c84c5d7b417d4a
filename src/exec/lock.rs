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

/// What to do about a lock that somebody has on this host: who was stopped has it for as long as the process exists. What lies before
/// the number can be in no dataset's name.
pub fn advice(holder: &str, host: &str) -> String {
    let behind = |before: &str| {
        let (_, rest) = holder.rsplit_once(before)?;
        rest.split(|ch: char| !ch.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    // On another host only the helper's process is one of that host.
    let process = behind(HELPER_PROCESS).or_else(|| behind(PROCESS).filter(|_| !holder.contains(HELPER_PROCESS)));
    let Some(process) = process.filter(|_| !holder.contains(OF_ANOTHER_ACCOUNT)) else { return String::new() };
    format!(
        "\n  --wait-lock TIME waits for it; if it hangs or was stopped, see ps -o pid,stat,etime,args -p {process} on {host} (state T: \
         stopped): kill -CONT {process} lets it continue, kill -9 {process} ends it"
    )
}

/// Takes the lock of the target for a run, or says who holds it once the time for waiting is over. Where there can't be
/// one, or not everywhere, the text says so, and the run goes on. Cancellation safe.
pub async fn take(ends: &Ends, run: u64, wait: Duration) -> Result<(Option<Lock>, Option<String>), StartError> {
    let began = Instant::now();
    loop {
        match lock::take(&ends.key(), run, &owner(ends)) {
            Ok(lock) => {
                let doubt = lock.doubt().map(ToOwned::to_owned);
                return Ok((Some(lock), doubt));
            }
            Err(LockError::Held { .. }) if began.elapsed() < wait => tokio::time::sleep(AGAIN).await,
            Err(LockError::Held { holder, path, .. }) => {
                return Err(held(ends.target.to_string(), &holder, &path));
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

/// Another run has the lock of this on this machine.
pub fn held(target: String, holder: &str, path: &str) -> StartError {
    StartError::Locked { target, holder: format!("{holder} (lock {path}){}", advice(holder, "this machine")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_process_names_the_right_one() {
        let own = "zfsync push a b on alpha, process 85, since 2026-11-30 01:16:19 UTC";
        let there = |holder: &str| advice(holder, "beta").split(" on beta").next().map(str::to_owned);
        let see = |pid| {
            let words =
                "\n  --wait-lock TIME waits for it; if it hangs or was stopped, see ps -o pid,stat,etime,args -p ";
            Some(format!("{words}{pid}"))
        };
        assert_eq!(there(&format!("{own} (helper process 53), for b/process 7")), see(53));
        assert_eq!(there(&format!("{own}, for b/process 7")), see(85));
        for nobody in ["unknown", "zfsync push a b on alpha (helper process x), for b", "process 7"] {
            assert_eq!(advice(nobody, "beta"), "", "{nobody}");
        }
        // Another account may say anything.
        assert_eq!(advice(&format!("{own} (helper process 1), for b, as user eve (7)"), "beta"), "");
    }
}
