//! A restore, checked: a push the other way that makes what can be used.

use super::PushJob;
use crate::cli;
use crate::error::StartError;
use zfs::Allow;
use zfs::name::SnapshotName;

/// What a restore does that a push doesn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// Nothing that is newer than this snapshot comes.
    pub until: Option<SnapshotName>,
    /// Whether NEW may be there.
    pub into_existing: bool,
}

impl PushJob {
    /// Checks a restore's arguments.
    pub fn restore(args: &cli::Restore) -> Result<Self, StartError> {
        let (copy, until) = match args.copy.rsplit_once('@') {
            // What has its only `@` before its `:` names a user, as in TARGET.
            Some((copy, snapshot)) if !snapshot.contains(':') || copy.contains(['/', ':']) => {
                let snapshot =
                    snapshot.parse().map_err(|error| StartError::Usage(format!("COPY@{snapshot}: {error}")))?;
                if let Some((dataset, first)) =
                    copy.rsplit_once('@').filter(|(dataset, _)| dataset.contains(['/', ':']))
                {
                    let words = format!("COPY: \"{dataset}@{first}@{snapshot}\" has two '@': write COPY@SNAPSHOT");
                    return Err(StartError::Usage(words));
                }
                (copy, Some(snapshot))
            }
            _ => (args.copy.as_str(), None),
        };
        let mut job = Self::allowed(&args.push(copy), &[Allow::Mountable])?;
        job.restore = Some(Restore { until, into_existing: args.into_existing });
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(words: &str) -> Result<PushJob, String> {
        let cli =
            Cli::try_parse_from(format!("zfsync restore {words}").split(' ')).map_err(|error| error.to_string())?;
        let Command::Restore(args) = cli.command else { panic!("{cli:?}") };
        PushJob::restore(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_restore_is_a_push_the_other_way() {
        let all = job("q/a b:p/new").unwrap();
        assert_eq!((all.ends.source.dataset.as_str(), all.ends.target.to_string().as_str()), ("q/a", "b:p/new"));
        assert_eq!(all.restore, Some(Restore { until: None, into_existing: false }));
        assert!(!all.bookmarks);
        let helper = all.ends.target.link.helper.to_string();
        assert!(helper.contains("mountable") && helper.contains("volmode"), "{helper}");
        let then = job("--into-existing q/a@mon:day p/new").unwrap().restore.unwrap();
        assert_eq!((then.until.unwrap().as_str(), then.into_existing), ("mon:day", true));
        for (words, user, until) in [
            ("b:q/a p/new", None, None),
            ("me@b:q/a p/new", Some("me"), None),
            ("me@b:q/a@mon:day p/new", Some("me"), Some("mon:day")),
            ("me@b:q@s p/new", Some("me"), Some("s")),
            ("me@[::1]:q p/new", Some("me"), None),
        ] {
            let there = job(words).unwrap();
            assert_eq!(there.ends.source.host().unwrap().user.as_deref(), user, "{words}");
            assert_eq!(there.restore.unwrap().until.as_ref().map(SnapshotName::as_str), until, "{words}");
        }
        for (words, why) in [
            ("q/a@x/y p/new", "COPY@x/y"),
            ("b:q/a@b@c p/new", "\"b:q/a@b@c\" has two '@'"),
            ("q/a q/a/new", "overlap"),
        ] {
            let error = job(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
    }
}
