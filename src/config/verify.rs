//! A comparison of a copy with its source, checked.

use std::sync::Arc;

use super::{PushJob, Ways, filter, link_to_source, location};
use crate::cli;
use crate::error::StartError;
use crate::plan::Filter;
use zfs::Allow;

/// A comparison, checked.
#[derive(Debug, Clone)]
pub struct VerifyJob {
    /// Both sides, as a job that could be pushed.
    pub link: Arc<PushJob>,
    /// Which datasets are compared.
    pub filter: Filter,
    /// Whether it is compared what snapshots hold.
    pub content: bool,
}

impl VerifyJob {
    /// Checks the arguments.
    pub fn new(args: &cli::Verify) -> Result<Self, StartError> {
        let allow = if args.content { vec![Allow::Verify] } else { Vec::new() };
        let may_ask = !args.output.talk.quiet && !args.output.json;
        let source = location(&args.source)?;
        let origin = link_to_source(source.host.clone(), &args.ssh, &allow, may_ask)?;
        let link =
            PushJob { origin, ..PushJob::link(source, args.target.parse()?, Ways::same(&args.ssh), allow, may_ask)? };
        Ok(Self { link: Arc::new(link), filter: filter(&args.selection)?, content: args.content })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(words: &str) -> Result<VerifyJob, String> {
        let cli =
            Cli::try_parse_from(format!("zfsync verify {words}").split(' ')).map_err(|error| error.to_string())?;
        let Command::Verify(args) = cli.command else { panic!("{cli:?}") };
        VerifyJob::new(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn only_to_read_contents_anything_must_be_allowed() {
        assert_eq!(job("p/a b:q/a").unwrap().link.remote_helper, "zfsync recv --stdio");
        let content = job("--content p/a b:q/a").unwrap().link;
        assert_eq!(content.remote_helper, "zfsync recv --stdio --allow verify");
        assert_eq!(content.allow, [Allow::Verify]);
        assert!(job("p/a p/a/b").unwrap_err().contains("overlap"));
    }
}
