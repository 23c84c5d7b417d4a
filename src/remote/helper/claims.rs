//! The trees that a session has claimed for its run. All helpers of a run claim its target; one of them has the lock, and when that one
//! is gone another takes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::host::failure;
use crate::lock::{self, Lock, LockError};
use crate::name::DatasetName;
use crate::remote::wire::Failure;
use crate::zfs::Refusal;

/// A run has one target. Some more, so that nobody has to count.
const MOST: usize = 8;
/// Whoever only looks at a lock does not hold it longer.
const ODD_LOCK: Duration = Duration::from_secs(1);
/// How often a lock that somebody looks at is tried.
const LOCK_AGAIN: Duration = Duration::from_millis(50);
/// How often a lock that another helper of the run has is tried.
const TAKE_OVER: Duration = Duration::from_millis(500);

/// The number of nobody's run.
const NOBODY: u64 = 0;

/// What a session has claimed.
#[derive(Debug, Default)]
pub(super) struct Claims(Arc<Mutex<Vec<Claim>>>);

#[derive(Debug)]
struct Claim {
    dataset: DatasetName,
    run: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// This helper has the lock.
    Locked { _lock: Lock },
    /// Another helper of the same run has it.
    Joined,
    /// There can't be one.
    Unlocked,
    /// Another run has got it meanwhile: this one.
    Lost(String),
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a tree until this process ends. The text says why others can't be kept away.
    pub fn claim(&self, dataset: &DatasetName, run: u64, owner: &str) -> Result<Option<String>, Failure> {
        {
            let claims = self.lock();
            if claims.iter().any(|claim| claim.run == run && dataset.is_within(&claim.dataset)) {
                drop(claims);
                return self.check(dataset).map(|()| None);
            }
            if claims.len() >= MOST {
                return Err(failure(Refusal::Other, &format!("a session may claim {MOST} trees and not more")));
            }
        }
        let (state, odd) = match take(dataset, run, owner) {
            Ok(lock) => (State::Locked { _lock: lock }, None),
            Err(LockError::Held { run: Some(theirs), .. }) if theirs == run && run != NOBODY => {
                self.take_over(dataset, run, owner);
                (State::Joined, None)
            }
            Err(LockError::Held { holder, .. }) => return Err(failure(Refusal::Locked, &holder)),
            Err(error @ LockError::Io { .. }) => (State::Unlocked, Some(error.to_string())),
        };
        self.lock().push(Claim { dataset: dataset.clone(), run, state });
        Ok(odd)
    }

    /// Takes the lock, on a thread, as soon as the helper of the same run that has it is gone.
    fn take_over(&self, dataset: &DatasetName, run: u64, owner: &str) {
        let (claims, dataset, owner) = (Arc::downgrade(&self.0), dataset.clone(), owner.to_owned());
        // Without a thread the run goes on with the lock of the other one.
        let _ = thread::Builder::new().name("claim".into()).spawn(move || {
            loop {
                thread::sleep(TAKE_OVER);
                let state = match take(&dataset, run, &owner) {
                    Err(LockError::Held { run: Some(theirs), .. }) if theirs == run => {
                        if claims.strong_count() == 0 {
                            return;
                        }
                        continue;
                    }
                    Ok(lock) => State::Locked { _lock: lock },
                    Err(LockError::Held { holder, .. }) => State::Lost(holder),
                    Err(LockError::Io { .. }) => State::Unlocked,
                };
                return put(&claims, &dataset, run, state);
            }
        });
    }

    /// Whether something may be received into a dataset: its tree is claimed, or nobody else has claimed it.
    pub fn check(&self, dataset: &DatasetName) -> Result<(), Failure> {
        {
            let claims = self.lock();
            let mut covering = claims.iter().filter(|claim| dataset.is_within(&claim.dataset)).peekable();
            let claimed = covering.peek().is_some();
            let lost = covering.find_map(|claim| match &claim.state {
                State::Lost(holder) => Some(holder),
                _ => None,
            });
            match lost {
                Some(holder) => return Err(failure(Refusal::Locked, holder)),
                None if claimed => return Ok(()),
                None => {}
            }
        }
        match take(dataset, NOBODY, "a session without a claim") {
            Err(LockError::Held { holder, .. }) => Err(failure(Refusal::Locked, &holder)),
            Ok(_) | Err(LockError::Io { .. }) => Ok(()),
        }
    }
}

fn put(claims: &Weak<Mutex<Vec<Claim>>>, dataset: &DatasetName, run: u64, state: State) {
    let Some(claims) = claims.upgrade() else { return };
    let mut claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(claim) = claims.iter_mut().find(|claim| claim.run == run && claim.dataset == *dataset) {
        claim.state = state;
    }
}

/// Takes a lock. Whoever only looks who has it doesn't count.
fn take(dataset: &DatasetName, run: u64, owner: &str) -> Result<Lock, LockError> {
    let dir = lock::directory()?;
    let began = Instant::now();
    loop {
        match Lock::take_tree(&dir, dataset, run, owner) {
            Err(LockError::Held { run: None | Some(NOBODY), .. }) if began.elapsed() < ODD_LOCK => {
                thread::sleep(LOCK_AGAIN);
            }
            done => return done,
        }
    }
}
