//! The command line: clap types and nothing else. What the words mean is decided in [`crate::config`].

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

/// Replicates trees of ZFS datasets to another host over SSH: fast, safe, agentless.
#[derive(Debug, Parser)]
#[command(name = "zfsync", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 all in sync, 1 some dataset failed or is in conflict, 2 usage error, 3 could not \
    start, 4 another run holds the lock, 130/143 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings a tree of datasets on another host (or pool) in sync with SOURCE
    Push(Box<Push>),
    /// The receiving end, started over ssh by a sender; not for use by hand
    Recv(Recv),
    /// Writes the shell completions and man pages
    #[command(hide = true)]
    Generate {
        /// The directory that has (or gets) completions/ and man/
        dir: PathBuf,
    },
}

/// `zfsync push`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(after_help = "Examples:
  zfsync push tank/data backup:pool/data            the tree tank/data, over ssh
  zfsync push -n tank/data root@[fd00::2]:pool/data  only shows what would be done
  zfsync push --exclude '**/tmp' tank usb/tank       to another pool of this machine

Nothing on the target is rolled back, overwritten, renamed or destroyed. A dataset that can't be brought in sync without \
that is reported as a conflict, the others go on, and the exit code is 1.")]
pub struct Push {
    /// The dataset to replicate, with all below it
    pub source: String,
    /// Where to: [USER@]HOST:DATASET, or a DATASET on this machine; SOURCE's own content goes to DATASET itself
    pub target: String,

    /// Go at most N levels below SOURCE; 0 is SOURCE alone
    #[arg(long, value_name = "N", conflicts_with = "no_recursive", help_heading = "Selection")]
    pub depth: Option<usize>,
    /// SOURCE alone, without the datasets below it
    #[arg(long, help_heading = "Selection")]
    pub no_recursive: bool,
    /// Only datasets that match, and all below them; relative to SOURCE, '*' within a component, '**' across
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    pub include: Vec<String>,
    /// Not the datasets that match, nor any below them; wins over --include
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    pub exclude: Vec<String>,
    /// Send only the newest snapshot of each dataset, leaving out those between
    #[arg(long, help_heading = "Selection")]
    pub newest_only: bool,

    /// Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)
    #[arg(long, help_heading = "Transfer")]
    pub decrypt: bool,
    /// Show the plan with estimated sizes and change nothing
    #[arg(short = 'n', long, help_heading = "Transfer")]
    pub dry_run: bool,
    /// Streams at the same time
    #[arg(short = 'j', long, value_name = "N", default_value_t = 4, value_parser = count_parser(), help_heading = "Transfer")]
    pub channels: u16,
    /// SSH connections to spread them over; by default as many as the amount of data deserves
    #[arg(long, value_name = "N", value_parser = count_parser(), help_heading = "Transfer")]
    pub connections: Option<u16>,

    /// Port of the SSH server
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..), help_heading = "SSH")]
    pub port: Option<u16>,
    /// Private key for ssh
    #[arg(short, long, value_name = "FILE", help_heading = "SSH")]
    pub identity: Option<PathBuf>,
    /// Use FILE in place of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "SSH")]
    pub ssh_config: Option<PathBuf>,
    /// An option for ssh, as in ssh_config; can be given several times
    #[arg(short = 'o', long, value_name = "OPTION", help_heading = "SSH")]
    pub ssh_option: Vec<String>,
    /// How to call zfsync on the target host
    #[arg(long, value_name = "COMMAND", help_heading = "SSH")]
    pub remote_zfsync: Option<String>,

    /// Say more; twice or three times for still more
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Say nothing unless something is wrong
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// One JSON object a line on stdout for whatever happens
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Plain lines, no progress bars
    #[arg(long, help_heading = "Output")]
    pub no_progress: bool,
}

/// `zfsync recv`.
#[derive(Debug, Args)]
pub struct Recv {
    /// Speak the protocol on stdin and stdout
    #[arg(long, required = true)]
    pub stdio: bool,
}

fn count_parser() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=64)
}
