//! What is to be listed or forgotten, checked.

use super::{PushJob, source};
use crate::cli;
use crate::error::StartError;
use zfs::name::DatasetName;

/// A target to forget, checked.
#[derive(Debug, Clone)]
pub struct ForgetJob {
    /// What it is noted on.
    pub source: DatasetName,
    /// As it was named.
    pub target: String,
    /// The same, if it is no ID.
    pub link: Option<PushJob>,
    /// Whether only to tell.
    pub dry_run: bool,
}

impl ForgetJob {
    /// Checks the arguments.
    pub fn new(args: &cli::Forget) -> Result<Self, StartError> {
        let source = source(&args.source)?;
        let is_id = args.target.len() == 16 && args.target.bytes().all(|byte| byte.is_ascii_hexdigit());
        let link = || PushJob::link(source.clone(), args.target.parse()?, &args.ssh, Vec::new(), false);
        let link = if is_id { None } else { Some(link()?) };
        Ok(Self { link, target: args.target.clone(), dry_run: args.dry_run, source })
    }
}

/// The dataset whose targets are to be listed.
pub fn targets_of(args: &cli::Targets) -> Result<DatasetName, StartError> {
    source(&args.source)
}
