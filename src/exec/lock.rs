//! One run of this machine per target at a time; another one can be waited for.

use std::time::{Duration, Instant};

use crate::error::StartError;
use crate::remote::link::Ends;
use crate::remote::target::host_name_here;
use zfs::lock::{self, Lock, LockError};

/// How often a lock that is waited for is tried.
const AGAIN: Duration = Duration::from_millis(200);

/// Who locks a tree, for the message that others get.
pub fn owner(ends: &Ends) -> String {
    format!("zfsync push {} {} on {}, process {}", ends.source, ends.target, host_name_here(), std::process::id())
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
                return Err(StartError::Locked { target: ends.target.to_string(), holder, path });
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
