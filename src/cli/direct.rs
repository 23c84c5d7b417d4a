//! `--direct`: from one host straight to another, and what is started there for it.

use clap::Args;

/// Which way the data takes between two other hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct Direct {
    /// With SOURCE and TARGET on two other hosts: SOURCE's host sends straight to TARGET's, with ssh and keys of its own
    #[arg(long, help_heading = "SSH")]
    pub direct: bool,
    /// Forward the authentication agent of this machine to SOURCE's host for that; see the caution in ssh(1), -A
    #[arg(long, requires = "direct", help_heading = "SSH")]
    pub forward_agent: bool,
}

/// `zfsync direct`.
#[derive(Debug, Args)]
pub struct DirectStdio {
    /// Take one job on stdin, and tell of it on stdout
    #[arg(long, required = true)]
    pub stdio: bool,
}
