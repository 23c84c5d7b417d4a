//! What a connection to one end of a replication needs.

use std::time::Duration;

use super::ssh::SshOptions;
use super::target::Host;

/// How an end is reached.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// `None`: this machine.
    pub host: Option<Host>,
    /// What the user wants of ssh.
    pub ssh: SshOptions,
    /// The command that starts the helper over there.
    pub helper: String,
    /// So long nothing may come from over there; `None` for ever.
    pub silence: Option<Duration>,
}

impl Link {
    /// What the end is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.host.as_ref().map_or_else(|| "this machine".into(), ToString::to_string)
    }
}
