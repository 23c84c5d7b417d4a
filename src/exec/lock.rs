//! One run of this machine per target at a time; another one can be waited for.

use std::time::{Duration, Instant};

use super::ask::owner;
use crate::config::PushJob;
use crate::error::StartError;
use zfs::lock::{self, Lock, LockError};

/// How often a lock that is waited for is tried.
const AGAIN: Duration = Duration::from_millis(200);

/// Takes the lock of the job's target, or says who holds it once the time for waiting is over. Where there can't be one the text
/// says so, and the run does without. Cancellation safe.
pub async fn take(job: &PushJob) -> Result<(Option<Lock>, Option<String>), StartError> {
    let began = Instant::now();
    loop {
        let taken = lock::directory().and_then(|dir| Lock::take(&dir, &job.key(), job.run, &owner(job)));
        match taken {
            Ok(lock) => return Ok((Some(lock), None)),
            Err(LockError::Held { .. }) if began.elapsed() < job.faults.wait_lock => tokio::time::sleep(AGAIN).await,
            Err(LockError::Held { holder, path, .. }) => {
                return Err(StartError::Locked { target: job.target.to_string(), holder, path });
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
