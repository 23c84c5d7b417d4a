//! A comparison of a copy with its source, checked.

use std::sync::Arc;

use super::{Ways, ends, filter, link_to_source, location};
use crate::cli;
use crate::error::StartError;
use crate::plan::Filter;
use crate::remote::link::Ends;
use zfs::Allow;

/// A comparison, checked.
#[derive(Debug, Clone)]
pub struct VerifyJob {
    /// The source and its copy.
    pub ends: Arc<Ends>,
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
        // The source's helper reads too.
        let link = link_to_source(source.host.clone(), &args.ssh, &allow, may_ask)?;
        let mut ends = ends(source, args.target.parse()?, Ways::same(&args.ssh), allow, may_ask)?;
        ends.source.link = link;
        let filter = filter(&args.selection, std::slice::from_ref(&ends.source.dataset))?;
        Ok(Self { ends: Arc::new(ends), filter, content: args.content })
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
        assert_eq!(job("p/a b:q/a").unwrap().ends.target.link.helper.to_string(), "zfsync recv --stdio");
        let content = job("--content p/a b:q/a").unwrap().ends.target.link.clone();
        assert_eq!(content.helper.to_string(), "zfsync recv --stdio --allow verify");
        assert_eq!(content.allow, [Allow::Verify]);
        assert!(job("p/a p/a/b").unwrap_err().contains("overlap"));
    }
}
