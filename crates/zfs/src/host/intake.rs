//! Where a receive takes its stream from.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Who gets the pipe back that a whole stream has gone through; none where it was closed.
pub(super) type Back = Box<dyn FnOnce(Option<OwnedFd>) + Send>;

/// The stdin of a receive: dropped, it is closed, so that what has come is kept as partially received state.
pub struct Intake {
    /// There until it is dropped or given back.
    pipe: Option<OwnedFd>,
    back: Option<Back>,
}

impl Intake {
    /// That of a process of its own.
    #[must_use]
    pub fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), back: None }
    }

    /// That of a session in which something else may run afterwards.
    pub(super) fn lent(pipe: OwnedFd, back: Back) -> Self {
        Self { pipe: Some(pipe), back: Some(back) }
    }

    /// It has all of its stream, up to the END record.
    pub fn complete(mut self) {
        if let Some(back) = self.back.take() {
            back(self.pipe.take());
        }
    }
}

impl AsFd for Intake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_ref().expect("there until its end").as_fd()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Some(back) = self.back.take() {
            back(None);
        }
    }
}
