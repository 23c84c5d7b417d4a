//! `zfsync restore`: a copy comes back.

use clap::Args;

use super::{Faults, LogTo, Missing, Output, Push, Selection, Ssh, count_parser};
use zfs::Volmode;

/// `zfsync restore`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(after_help = "Examples:
  zfsync restore pool/data alpha:tank/data-restored             all of the copy, to the host that has lost it
  zfsync restore pool/data@241103-010000_H tank/data-old        as it was then, into another pool of this machine
  zfsync restore backup:pool/data tank/data-restored            from the host that has the copy, to this one
  zfsync restore -n --include home pool/data alpha:tank/new     only shows what would be done

NEW must not exist. What arrives is writable, has its device nodes, and is mounted by 'zfs mount -a' or \
at the next boot; not by this command. Copies that were set aside (NAME.zfsync-DATE) are left out. docs/restore.md tells the whole story.

Exit codes: as of zfsync push.")]
pub struct Restore {
    /// The copy, with all below it: DATASET on this machine, or [USER@]HOST:DATASET; with @SNAPSHOT as it was then
    #[arg(value_name = "COPY[@SNAPSHOT]")]
    pub copy: String,
    /// Where to: [USER@]HOST:DATASET, or DATASET on this machine; it is made
    #[arg(value_name = "NEW")]
    pub new: String,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Bring only one snapshot of each dataset: the newest, or that of COPY@SNAPSHOT
    #[arg(long, help_heading = "Selection")]
    pub newest_only: bool,

    /// Go on with a restore that was cut, or bring what NEW lacks; nothing that is there is overwritten
    #[arg(long, help_heading = "Transfer")]
    pub into_existing: bool,
    /// Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)
    #[arg(long, help_heading = "Transfer")]
    pub decrypt: bool,
    /// Show the plan with estimated sizes and change nothing
    #[arg(short = 'n', long, help_heading = "Transfer")]
    pub dry_run: bool,
    /// Streams at the same time
    #[arg(short = 'j', long, value_name = "N", default_value_t = 4, value_parser = count_parser(), help_heading = "Transfer")]
    pub channels: u16,
    /// Faults.
    #[command(flatten)]
    pub faults: Faults,
    /// The way to the other host.
    #[command(flatten)]
    pub ssh: Ssh,

    /// What is said of it.
    #[command(flatten)]
    pub output: Output,
    /// What is written down.
    #[command(flatten)]
    pub log: LogTo,
}

impl Restore {
    /// The push the other way. It leaves no bookmarks on the copy, and what it makes has its device nodes.
    #[must_use]
    pub fn push(&self, copy: &str) -> Push {
        Push {
            source: copy.to_owned(),
            target: self.new.clone(),
            selection: self.selection.clone(),
            newest_only: self.newest_only,
            skip_empty: false,
            decrypt: self.decrypt,
            volmode: Volmode::Inherit,
            allow_unencrypted: true,
            allow_key_mismatch: false,
            allow_rekey: false,
            trust_source: false,
            allow_unproven_bookmarks: false,
            dry_run: self.dry_run,
            channels: self.channels,
            connections: None,
            no_resume: false,
            no_bookmark: true,
            rollback: false,
            set_aside: false,
            replace: Vec::new(),
            missing: Missing::default(),
            faults: self.faults.clone(),
            ssh: self.ssh.clone(),
            output: self.output.clone(),
            log: self.log.clone(),
            state_dir: None,
        }
    }
}
