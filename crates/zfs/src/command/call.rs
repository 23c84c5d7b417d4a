//! One call of `zfs` or `zpool`: its arguments, and how long it may say nothing.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// When a call is ended that doesn't end by itself.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// It says nothing for so long: the pool may be suspended, and `zfs` waits then for ever.
    pub silence: Option<Duration>,
    /// Nobody waits for it any more, once this is set.
    pub given_up: Option<Arc<AtomicBool>>,
}

impl Limits {
    /// Whether somebody has given the call up.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.given_up.as_ref().is_some_and(|given_up| given_up.load(Ordering::Relaxed))
    }

    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.silence.is_none() && self.given_up.is_none()
    }
}

/// Two are the same if they allow the same time.
impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        self.silence == other.silence
    }
}

impl Eq for Limits {}

/// A command that is ready to run: messages in English (`LC_ALL=C`), nothing on stdin.
#[derive(Debug)]
pub struct Call {
    command: Command,
    limits: Limits,
    input: &'static str,
}

impl Call {
    pub(super) fn new(program: &Path, limits: Limits) -> Self {
        Self::of(Command::new(program), limits)
    }

    /// A command of the system that ends within these limits.
    pub(crate) fn of(mut command: Command, limits: Limits) -> Self {
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Self { command, limits, input: "" }
    }

    /// The same, with this on stdin: short enough for a pipe.
    #[must_use]
    pub(super) fn with_input(mut self, input: &'static str) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = input;
        self
    }

    /// What it gets on stdin.
    #[must_use]
    pub fn input(&self) -> &'static str {
        self.input
    }

    /// How long it may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Deref for Call {
    type Target = Command;

    fn deref(&self) -> &Command {
        &self.command
    }
}

impl DerefMut for Call {
    fn deref_mut(&mut self) -> &mut Command {
        &mut self.command
    }
}
