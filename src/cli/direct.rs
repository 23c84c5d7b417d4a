//! `--direct`: from one host straight to another, and what is started there for it.

use clap::Args;

/// Which way the data takes between two other hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct Direct {
    /// With SOURCE and TARGET on two other hosts, SOURCE's host sends straight to TARGET's, with its own ssh configuration and keys
    #[arg(long, help_heading = "SSH")]
    pub direct: bool,
    /// With --direct, forward this machine's authentication agent to SOURCE's host; see the caution in ssh(1), -A
    #[arg(long, requires = "direct", help_heading = "SSH")]
    pub forward_agent: bool,
}

/// `zfsync direct`.
#[derive(Debug, Args)]
pub struct DirectStdio {
    /// Read one job from stdin, and report on it on stdout
    #[arg(long, required = true)]
    pub stdio: bool,
}
