//! The trees that a session has claimed for its run. All helpers of a run claim its target; one of them has the lock, and when that one
//! is gone another takes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::hold::{Hold, LOCK_AGAIN, NOBODY, ODD_LOCK, holder, take, try_take};
use crate::Failure;
use crate::lock::LockError;
use crate::name::DatasetName;
use crate::{Refusal, Zfs};

/// A run has one target. Some more, so that nobody has to count.
const MOST: usize = 8;
/// How often a lock that another helper of the run has is tried.
const TAKE_OVER: Duration = Duration::from_millis(500);

/// What a session has claimed.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Says which accounts may receive.
    zfs: Option<Zfs>,
    /// The trees are on a machine where nothing of ours keeps anybody away.
    away: bool,
    own: Arc<Mutex<Vec<Claim>>>,
    /// What is changed without a claim.
    passing: Mutex<Vec<(DatasetName, Weak<Hold>)>>,
}

/// Others are kept away from a dataset as long as this lives.
#[derive(Debug, Default)]
pub struct Passage {
    /// Where no claim does that already.
    holds: Vec<Arc<Hold>>,
}

#[derive(Debug)]
struct Claim {
    dataset: DatasetName,
    run: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// This helper has the lock.
    Locked { _hold: Hold },
    /// Another helper of the same run has it; who that run is.
    Joined { owner: String },
    /// There can't be one.
    Unlocked,
    /// Another run has got it meanwhile: this one.
    Lost(String),
}

impl State {
    /// What a try to take the lock has made of a claim; `None`: another helper of the run still has it.
    fn of(taken: Result<Hold, LockError>, run: u64) -> Option<Self> {
        match taken {
            Err(LockError::Held { run: Some(theirs), .. }) if theirs == run => None,
            Ok(hold) => Some(Self::Locked { _hold: hold }),
            Err(LockError::Held { holder, .. }) => Some(Self::Lost(holder)),
            Err(LockError::Io { .. }) => Some(Self::Unlocked),
        }
    }
}

impl Claim {
    fn look_again(&mut self, zfs: Option<&Zfs>) {
        if let State::Joined { owner } = &self.state
            && let Some(state) = State::of(try_take(zfs, &self.dataset, self.run, owner), self.run)
        {
            self.state = state;
        }
    }
}

impl Claims {
    /// Nothing is claimed yet.
    pub fn new(zfs: Option<Zfs>) -> Self {
        Self { zfs, ..Self::default() }
    }

    /// Of a machine where nothing of ours runs.
    pub fn of_another_machine() -> Self {
        Self { away: true, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a tree until this process ends. The text says why others can't be kept away.
    pub fn claim(&self, dataset: &DatasetName, run: u64, owner: &str) -> Result<Option<String>, Failure> {
        if self.away {
            return Ok(Some("plain zfs has no lock".into()));
        }
        {
            let claims = self.lock();
            if claims.iter().any(|claim| claim.run == run && dataset.is_within(&claim.dataset)) {
                drop(claims);
                return self.enter([dataset]).map(|_| None);
            }
            if claims.len() >= MOST {
                return Err(Failure::new(Refusal::Other, &format!("a session may lock at most {MOST} trees")));
            }
        }
        let (state, odd) = match take(self.zfs.as_ref(), dataset, run, owner) {
            Ok(mut hold) => {
                let odd = hold.odd.take();
                (State::Locked { _hold: hold }, odd)
            }
            // One that has only a part keeps nobody away from the rest.
            Err(LockError::Held { run: Some(theirs), tree: Some(tree), .. })
                if theirs == run && run != NOBODY && dataset.is_within(&tree) =>
            {
                self.take_over(dataset, run, owner);
                (State::Joined { owner: owner.to_owned() }, None)
            }
            Err(LockError::Held { holder, .. }) => return Err(Failure::new(Refusal::Locked, &holder)),
            Err(error @ LockError::Io { .. }) => (State::Unlocked, Some(error.to_string())),
        };
        self.lock().push(Claim { dataset: dataset.clone(), run, state });
        Ok(odd)
    }

    /// Who has claimed a tree or a part of it; whoever looks holds nobody up.
    pub fn holder(&self, dataset: &DatasetName) -> Option<String> {
        if self.away { None } else { holder(self.zfs.as_ref(), dataset) }
    }

    /// Takes the lock, on a thread, as soon as the helper of the same run that has it is gone.
    fn take_over(&self, dataset: &DatasetName, run: u64, owner: &str) {
        let (claims, zfs) = (Arc::downgrade(&self.own), self.zfs.clone());
        let (dataset, owner) = (dataset.clone(), owner.to_owned());
        // Without a thread the run goes on with the lock of the other one.
        let _ = thread::Builder::new().name("claim".into()).spawn(move || {
            loop {
                thread::sleep(TAKE_OVER);
                if claims.strong_count() == 0 {
                    return;
                }
                let Some(state) = State::of(take(zfs.as_ref(), &dataset, run, &owner), run) else { continue };
                return put(&claims, &dataset, run, state);
            }
        });
    }

    /// Lets something be done to these datasets: their trees are claimed, or nobody has claimed them, and nobody does before the
    /// passage ends.
    pub fn enter<'a>(&self, datasets: impl IntoIterator<Item = &'a DatasetName>) -> Result<Passage, Failure> {
        let mut passage = Passage::default();
        for dataset in datasets {
            if !self.away && !self.is_claimed(dataset)? {
                passage.holds.extend(self.pass(dataset)?);
            }
        }
        Ok(passage)
    }

    /// The same for one that is only made where it is missing: beside a claim below it too, for which it is made.
    pub fn enter_above(&self, dataset: &DatasetName) -> Result<Passage, Failure> {
        if self.lock().iter().any(|claim| claim.dataset.is_within(dataset)) {
            return Ok(Passage::default());
        }
        self.enter([dataset])
    }

    /// Whether this session has claimed what a dataset lies in; an error when it has lost that.
    fn is_claimed(&self, dataset: &DatasetName) -> Result<bool, Failure> {
        let mut claims = self.lock();
        // The helper that has the lock may have ended a moment ago, and somebody else may have come.
        for claim in claims.iter_mut().filter(|claim| dataset.is_within(&claim.dataset)) {
            claim.look_again(self.zfs.as_ref());
        }
        let mut covering = claims.iter().filter(|claim| dataset.is_within(&claim.dataset)).peekable();
        let claimed = covering.peek().is_some();
        let lost = covering.find_map(|claim| match &claim.state {
            State::Lost(holder) => Some(holder),
            _ => None,
        });
        lost.map_or(Ok(claimed), |holder| Err(Failure::new(Refusal::Locked, holder)))
    }

    /// A hold for what isn't claimed; none where there can't be one.
    fn pass(&self, dataset: &DatasetName) -> Result<Option<Arc<Hold>>, Failure> {
        let began = Instant::now();
        loop {
            let mut passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
            passing.retain(|(_, hold)| hold.strong_count() > 0);
            // A receive settles while the next one for the same dataset begins.
            let own = passing.iter().find(|(tree, _)| dataset.is_within(tree)).and_then(|(_, hold)| hold.upgrade());
            if own.is_some() {
                return Ok(own);
            }
            match try_take(self.zfs.as_ref(), dataset, NOBODY, "a session without a claim") {
                Ok(hold) => {
                    let hold = Arc::new(hold);
                    passing.push((dataset.clone(), Arc::downgrade(&hold)));
                    return Ok(Some(hold));
                }
                Err(LockError::Held { run: None | Some(NOBODY), .. }) if began.elapsed() < ODD_LOCK => {}
                Err(LockError::Held { holder, .. }) => return Err(Failure::new(Refusal::Locked, &holder)),
                Err(LockError::Io { .. }) => return Ok(None),
            }
            drop(passing);
            thread::sleep(LOCK_AGAIN);
        }
    }
}

fn put(claims: &Weak<Mutex<Vec<Claim>>>, dataset: &DatasetName, run: u64, state: State) {
    let Some(claims) = claims.upgrade() else { return };
    let mut claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever was asked to do something may have taken it before.
    let joined = |claim: &&mut Claim| matches!(claim.state, State::Joined { .. });
    if let Some(claim) = claims.iter_mut().filter(joined).find(|claim| claim.run == run && claim.dataset == *dataset) {
        claim.state = state;
    }
}
