//! `zfsync recv` and `zfsync send`: the ends that are started over ssh, and what they may be allowed to do.

use clap::Args;
use zfs::Allow;
use zfs::name::DatasetName;

use super::value;

/// `zfsync recv`.
#[derive(Debug, Args)]
#[command(after_help = "A line of authorized_keys for a key that can only add to one tree:
  restrict,command=\"zfsync recv --stdio --root pool/backup\" ssh-ed25519 AAAA...")]
pub struct Recv {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Touch only DATASET and those below it; can be given several times
    #[arg(long, value_name = "DATASET")]
    pub root: Vec<DatasetName>,
    /// What a sender may ask for beside receiving; nothing by default, so that no snapshot and no dataset can be lost
    #[arg(long, value_delimiter = ',', value_name = "WHAT", value_parser = value::allow())]
    pub allow: Vec<Allow>,
}

/// `zfsync send`.
#[derive(Debug, Args)]
#[command(after_help = "A line of authorized_keys for a key that can only read one tree:
  restrict,command=\"zfsync send --stdio --root tank/data\" ssh-ed25519 AAAA...")]
pub struct Send {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Send, and tell of, only DATASET and those below it; can be given several times
    #[arg(long, value_name = "DATASET")]
    pub root: Vec<DatasetName>,
    /// What may be asked for beside streams and zfsync's own bookmarks and user properties; nothing by default
    #[arg(long, value_delimiter = ',', value_name = "WHAT", value_parser = value::allow_of_a_source())]
    pub allow: Vec<Allow>,
}
