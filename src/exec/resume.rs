//! Whether this source can go on with a receive that was cut.

use super::source;
use crate::config::PushJob;
use crate::name::{DatasetName, ResumeToken};
use crate::plan::ResumePoint;
use crate::report::Event;
use crate::zfs::{TokenFacts, Zfs};

/// What a token is good for.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// To go on.
    Resumable(ResumePoint),
    /// Nothing any more; why.
    Useless(String),
}

/// Asks this machine's ZFS about a token, and checks that it stands for `source` sent in the way that is wanted now.
pub async fn judge(zfs: &Zfs, source: &DatasetName, token: ResumeToken, job: &PushJob) -> Judged {
    if !job.resume {
        return Judged::Useless("--no-resume".into());
    }
    let facts = match source::token(zfs.clone(), token.clone()).await {
        Ok(facts) => facts,
        Err(why) => return Judged::Useless(why),
    };
    let encrypted = match source::facts(zfs.clone(), vec![source.clone()]).await {
        Ok(all) => all.get(source).is_some_and(|facts| facts.encrypted),
        Err(error) => return Judged::Useless(error.to_string()),
    };
    match unfit(&facts, source, encrypted, job.decrypt) {
        Some(why) => Judged::Useless(why),
        None => Judged::Resumable(ResumePoint { token, to: facts.to_guid }),
    }
}

fn unfit(facts: &TokenFacts, source: &DatasetName, encrypted: bool, decrypt: bool) -> Option<String> {
    if facts.to_name.split('@').next() != Some(source.as_str()) {
        return Some(format!("it is the rest of {}", facts.to_name));
    }
    match (encrypted, facts.raw, decrypt) {
        // To go on would send plaintext that nobody asked for.
        (true, false, false) => Some("it was sent decrypted, and now raw is wanted".into()),
        (true, true, true) => Some("it was sent raw, and now decrypted is wanted".into()),
        _ => None,
    }
}

/// The line that tells of a cleared one.
pub fn cleared(source: &DatasetName, why: &str) -> Event {
    let text = format!("the target has the rest of a cut receive that can't be resumed ({why}); it is dropped");
    Event::Notice { dataset: Some(source.to_string()), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Guid;

    #[test]
    fn only_what_fits_is_resumed() {
        let facts = |name: &str, raw| TokenFacts { to_guid: Guid(1), to_name: name.into(), raw };
        let source: DatasetName = "p/a".parse().unwrap();
        assert_eq!(unfit(&facts("p/a@s", false), &source, false, false), None);
        assert_eq!(unfit(&facts("p/a@s", true), &source, true, false), None);
        assert_eq!(unfit(&facts("p/a@s", false), &source, true, true), None);
        assert!(unfit(&facts("p/a@s", false), &source, true, false).unwrap().contains("decrypted"));
        assert!(unfit(&facts("p/a@s", true), &source, true, true).unwrap().contains("raw"));
        assert!(unfit(&facts("p/b@s", false), &source, false, false).unwrap().contains("p/b@s"));
    }
}
