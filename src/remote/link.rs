//! The two ends of a replication, and what a connection to each needs.

use std::fmt;
use std::time::Duration;

use super::bootstrap::HelperCommand;
use super::ssh::SshOptions;
use super::target::{Host, host_name_here};
use zfs::name::DatasetName;
use zfs::{Allow, Failure, Refusal};

/// What a command may have done by the hosts that it asks: a wall below all that decides, so that a dry run stays one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing that changes anything.
    ReadOnly,
    /// Whatever its flags allow.
    Full,
}

impl Access {
    /// What a dry run may, or a run that isn't one.
    #[must_use]
    pub fn of(dry_run: bool) -> Self {
        if dry_run { Self::ReadOnly } else { Self::Full }
    }

    /// For what is not done then. `what` is a noun phrase.
    pub fn check(self, changes: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
        if self == Self::Full || !changes {
            return Ok(());
        }
        let words = format!("zfsync must not change anything here, and did not ask for this: {}", what());
        Err(Failure::new(Refusal::NotAllowed, &words))
    }
}

/// How an end is reached.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// `None`: this machine.
    pub host: Option<Host>,
    /// What the user wants of ssh.
    pub ssh: SshOptions,
    /// What starts the helper on another host.
    pub helper: HelperCommand,
    /// What the helper must be allowed to do, wherever it is.
    pub allow: Vec<Allow>,
    /// So long nothing may come from the helper; `None` for ever.
    pub silence: Option<Duration>,
}

impl Link {
    /// What the host is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.host.as_ref().map_or_else(|| "this machine".into(), ToString::to_string)
    }
}

/// One end: a dataset, and how its host is reached.
#[derive(Debug, Clone)]
pub struct End {
    /// How its host is reached.
    pub link: Link,
    /// The top of the tree there.
    pub dataset: DatasetName,
}

impl End {
    /// The host, if it is another one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.link.host.as_ref()
    }

    /// Stands for it in the names of locks and state folders, before anybody has reached it: as it was written, and what of the options
    /// decides which host that leads to.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = self.to_string();
        if self.host().is_some() {
            key.extend(self.link.ssh.ways().into_iter().map(|way| format!(" {way}")));
        }
        key
    }

    /// Whether both are written as the same dataset of the same host, whatever account reaches it.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.is_within(other) && other.is_within(self)
    }

    /// Whether this is written as the other one, or as a dataset below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let name = |end: &Self| end.host().map(|host| host.name.clone());
        name(self) == name(other) && self.dataset.is_within(&other.dataset)
    }
}

/// As the user writes it.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link.host {
            Some(host) => write!(f, "{host}:{}", self.dataset),
            None => self.dataset.fmt(f),
        }
    }
}

/// Both ends of a replication: all that it takes to ask them.
#[derive(Debug, Clone)]
pub struct Ends {
    /// SOURCE.
    pub source: End,
    /// TARGET, that SOURCE's own content goes to.
    pub target: End,
}

impl Ends {
    /// Stands for the target in the names of locks and state folders.
    #[must_use]
    pub fn key(&self) -> String {
        self.target.key()
    }

    /// The target's host as older versions have it in the tags of bookmarks: as it was written, without a login name.
    #[must_use]
    pub fn host_in_old_tags(&self) -> String {
        self.target.host().map(|host| host.name.clone()).unwrap_or_default()
    }

    /// TARGET as somebody on the source's host would write it.
    #[must_use]
    pub fn target_seen_from_source(&self) -> String {
        match (self.source.host(), self.target.host()) {
            (Some(_), None) => format!("{}:{}", host_name_here(), self.target.dataset),
            _ => self.target.to_string(),
        }
    }
}
