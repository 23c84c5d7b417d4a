//! `zfsync recv` and `zfsync send`: the ends that are started over ssh, and what they may be allowed to do.

use clap::Args;
use zfs::Allow;
use zfs::name::DatasetName;

use super::value;

/// `zfsync recv`.
#[derive(Debug, Args)]
#[command(after_help = "A line in authorized_keys for a key that can only receive below one dataset:
  restrict,command=\"zfsync recv --stdio --root pool/backup\" ssh-ed25519 AAAA...")]
pub struct Recv {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Access only DATASET and the datasets below it; can be given several times
    #[arg(long, value_name = "DATASET")]
    pub root: Vec<DatasetName>,
    /// What a sender may request besides receiving; by default nothing, so that no snapshot or dataset can be lost
    #[arg(long, value_delimiter = ',', value_name = "WHAT", value_parser = value::allow())]
    pub allow: Vec<Allow>,
}

/// `zfsync send`.
#[derive(Debug, Args)]
#[command(after_help = "A line in authorized_keys for a key that can only send one tree:
  restrict,command=\"zfsync send --stdio --root tank/data\" ssh-ed25519 AAAA...")]
pub struct Send {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
    /// Send and list only DATASET and the datasets below it; can be given several times
    #[arg(long, value_name = "DATASET")]
    pub root: Vec<DatasetName>,
    /// What a receiver may request besides streams and zfsync's own bookmarks and user properties; by default nothing
    #[arg(long, value_delimiter = ',', value_name = "WHAT", value_parser = value::allow_of_a_source())]
    pub allow: Vec<Allow>,
}
