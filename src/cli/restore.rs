//! `zfsync restore`: a copy comes back.

use clap::Args;

use super::{Faults, LogTo, Missing, Output, Push, Selection, Ssh, count_parser};
use crate::format::Rate;
use zfs::Volmode;

/// `zfsync restore`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(after_help = "Examples:
  zfsync restore pool/data alpha:tank/data-restored             the whole copy, to the host that lost the original
  zfsync restore pool/data@241103-010000_H tank/data-old        its state at a snapshot, to another pool on this machine
  zfsync restore backup:pool/data tank/data-restored            from the host with the copy, to this machine
  zfsync restore -n --include home pool/data alpha:tank/new     show what would be done

NEW must not exist. Restored datasets are writable and volumes have their device nodes. They stay unmounted until 'zfs mount -a' \
or the next boot. Copies that were set aside (NAME.zfsync-DATE) are not restored. See docs/restore.md.

Exit codes are those of zfsync push.")]
pub struct Restore {
    /// The copy, with all datasets below it: DATASET on this machine, or [USER@]HOST:DATASET; with @SNAPSHOT, its state at that snapshot
    #[arg(value_name = "COPY[@SNAPSHOT]")]
    pub copy: String,
    /// The dataset to create: [USER@]HOST:DATASET, or DATASET on this machine
    #[arg(value_name = "NEW")]
    pub new: String,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Restore only one snapshot of each dataset: the newest, or that of COPY@SNAPSHOT
    #[arg(long, help_heading = "Selection")]
    pub newest_only: bool,

    /// Continue an interrupted restore, or add what NEW lacks; nothing that exists is overwritten
    #[arg(long, help_heading = "Transfer")]
    pub into_existing: bool,
    /// Send encrypted datasets decrypted (their keys must be loaded); by default they are sent raw and stay encrypted
    #[arg(long, help_heading = "Transfer")]
    pub decrypt: bool,
    /// Show the plan with estimated sizes and change nothing
    #[arg(short = 'n', long, help_heading = "Transfer")]
    pub dry_run: bool,
    /// Number of streams to send at the same time
    #[arg(short = 'j', long, value_name = "N", default_value_t = 4, value_parser = count_parser(), help_heading = "Transfer")]
    pub channels: u16,
    /// Limit the streams of this run to RATE bytes per second, all together, as in 500K, 50M or 1.5GiB (units of 1024), or 50MB
    #[arg(long, value_name = "RATE", help_heading = "Transfer")]
    pub bwlimit: Option<Rate>,
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
            bwlimit: self.bwlimit,
            no_resume: false,
            no_bookmark: true,
            rollback: false,
            set_aside: false,
            replace: Vec::new(),
            missing: Missing::default(),
            faults: self.faults.clone(),
            ssh: self.ssh.clone(),
            direct: super::Direct::default(),
            output: self.output.clone(),
            log: self.log.clone(),
            state_dir: None,
        }
    }
}
