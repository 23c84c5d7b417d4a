//! One run of this machine per target at a time; another one can be waited for.

use std::path::Path;
use std::time::{Duration, Instant};

use super::ask::owner;
use crate::config::PushJob;
use crate::error::StartError;
use crate::lock::{self, Lock, LockError};

/// How often a lock that is waited for is tried.
const AGAIN: Duration = Duration::from_millis(200);

/// Takes the lock of the job's target, or says who holds it once the time for waiting is over. Cancellation safe.
pub async fn take(job: &PushJob) -> Result<Lock, StartError> {
    take_in(&lock::directory(), job).await
}

async fn take_in(dir: &Path, job: &PushJob) -> Result<Lock, StartError> {
    let began = Instant::now();
    loop {
        match Lock::take(dir, &job.target.to_string(), job.run, &owner(job)) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { .. }) if began.elapsed() < job.faults.wait_lock => tokio::time::sleep(AGAIN).await,
            Err(LockError::Held { holder, path, .. }) => {
                return Err(StartError::Locked { target: job.target.to_string(), holder, path });
            }
            Err(LockError::Io { path, error }) => return Err(StartError::Lock { path, error }),
        }
    }
}
