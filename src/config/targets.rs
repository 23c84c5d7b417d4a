//! What is to be listed or forgotten, checked.

use super::{Ways, ends, link_to_source, location};
use crate::cli;
use crate::error::StartError;
use crate::remote::link::{Ends, Link};
use zfs::name::DatasetName;

/// A target to forget, checked.
#[derive(Debug, Clone)]
pub struct ForgetJob {
    /// How the source's host is reached.
    pub origin: Link,
    /// What it is noted on.
    pub source: DatasetName,
    /// As it was named.
    pub target: String,
    /// The same with the source, if it is no ID.
    pub ends: Option<Ends>,
    /// Whether only to tell.
    pub dry_run: bool,
}

impl ForgetJob {
    /// Checks the arguments.
    pub fn new(args: &cli::Forget) -> Result<Self, StartError> {
        let source = location(&args.source)?;
        let is_id = args.target.len() == 16 && args.target.bytes().all(|byte| byte.is_ascii_hexdigit());
        let ends = || ends(source.clone(), args.target.parse()?, Ways::same(&args.ssh), Vec::new(), false);
        let ends = if is_id { None } else { Some(ends()?) };
        let origin = link_to_source(source.host, &args.ssh, &[], !args.quiet)?;
        Ok(Self { origin, ends, target: args.target.clone(), dry_run: args.dry_run, source: source.dataset })
    }
}

/// The dataset whose targets are to be listed, and how its host is reached.
pub fn targets_of(args: &cli::Targets) -> Result<(Link, DatasetName), StartError> {
    let source = location(&args.source)?;
    Ok((link_to_source(source.host, &args.ssh, &[], !args.json)?, source.dataset))
}
