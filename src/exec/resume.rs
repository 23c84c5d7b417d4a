//! Whether this source can go on with a receive that was cut. The target's host chooses the token, so nothing in it is
//! believed: it must stand for a snapshot of the very dataset, sent as this run would send it, and `zfs send -t` gets a token
//! that was built here.

use super::{proof, source};
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::Proof;
use crate::plan::{ResumePoint, SourceDataset};
use crate::report::Event;
use zfs::name::{DatasetName, Guid, RelPath, ResumeToken};
use zfs::{Token, TokenError};

/// What a token is good for.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// To go on.
    Resumable(ResumePoint),
    /// Nothing any more; why. What was received can be dropped.
    Useless(String),
    /// Nobody here knows; why. What was received stays.
    Unclear(String),
}

/// Reads a token, and checks that it stands for `source` sent in the way that is wanted now. `newest` is the target's newest snapshot
/// when ZFS has just refused to go on and not said why.
pub async fn judge(
    sender: &Endpoint,
    source: &DatasetName,
    token: ResumeToken,
    newest: Option<Guid>,
    job: &PushJob,
) -> Judged {
    if !job.resume {
        return Judged::Useless("--no-resume".into());
    }
    let token = match Token::decode(&token) {
        Ok(token) => token,
        Err(error @ TokenError::Damaged(_)) => return Judged::Useless(error.to_string()),
        Err(error @ TokenError::Unknown(_)) => return Judged::Unclear(error.to_string()),
    };
    if is_overtaken(&token, newest) {
        return Judged::Useless("a snapshot was added to the target since then".into());
    }
    match here(sender, source, job).await {
        Ok(Some((dataset, encrypted))) => match fit(&token, source, &dataset, encrypted, job.decrypt) {
            Judged::Resumable(point) => proven(sender, source, &token, &dataset, point, job).await,
            other => other,
        },
        Ok(None) => Judged::Unclear(format!("{source} no longer exists")),
        Err(error) => Judged::Unclear(error.to_string()),
    }
}

/// The dataset as it is now, with all its snapshots and bookmarks, and whether it is encrypted.
async fn here(
    sender: &Endpoint,
    source: &DatasetName,
    job: &PushJob,
) -> Result<Option<(SourceDataset, bool)>, StartError> {
    let listed = source::list(sender, source.clone(), Some(0), job.faults.stall_timeout).await?;
    let dataset = listed.into_iter().find(|dataset| dataset.path == RelPath::default());
    let facts = source::facts(sender, std::slice::from_ref(source), job.faults.stall_timeout).await?;
    Ok(dataset.zip(facts.get(source).map(|facts| facts.encrypted)))
}

/// Whether a snapshot was taken of the target since the receive began: ZFS takes all that comes, and refuses at the very end.
fn is_overtaken(token: &Token, newest: Option<Guid>) -> bool {
    newest.is_some() && token.from_guid.is_some() && newest != token.from_guid
}

/// `zfs send -t` takes a bookmark for the base when its snapshot is gone.
async fn proven(
    sender: &Endpoint,
    source: &DatasetName,
    token: &Token,
    dataset: &SourceDataset,
    point: ResumePoint,
    job: &PushJob,
) -> Judged {
    let Some(base) = token.from_guid else { return Judged::Resumable(point) };
    let Some(proof) = proof::of_one(sender, source, dataset, base, job.faults.stall_timeout).await else {
        return Judged::Resumable(point);
    };
    if let Proof::WentBack(_) = proof {
        return Judged::Useless("its incremental source is no longer part of the source's history".into());
    }
    match proof.objection(job.allow_unproven_bookmarks) {
        Some(sign) => Judged::Unclear(format!(
            "nothing proves that its incremental source, a bookmark, is still part of the source's history ({}): root can check it with zpool \
             history -i, and --allow-unproven-bookmarks continues anyway",
            sign.describe()
        )),
        None => Judged::Resumable(point),
    }
}

fn fit(token: &Token, source: &DatasetName, dataset: &SourceDataset, encrypted: bool, decrypt: bool) -> Judged {
    let useless = |why: &str| Judged::Useless(why.to_owned());
    let Some(to) = dataset.snapshots.iter().find(|version| version.guid == token.to_guid) else {
        return Judged::Useless(format!("it is of {:?}, which is not a snapshot of {source}", token.to_name));
    };
    let mut versions = dataset.snapshots.iter().chain(dataset.bookmarks.iter());
    if token.from_guid.is_some_and(|from| !versions.any(|version| version.guid == from)) {
        return Judged::Useless(format!("its incremental source is no longer a snapshot or bookmark of {source}"));
    }
    match (encrypted, token.raw, decrypt) {
        // To go on would send plaintext that nobody asked for.
        (true, false, false) => return useless("it was sent decrypted, but is to be sent raw now"),
        (true, true, true) => return useless("it was sent raw, but is to be sent decrypted now"),
        (false, true, _) => return useless("it was sent raw, but the source is not encrypted"),
        (true, true, false) | (true, false, true) | (false, false, _) => {}
    }
    let token = token.encode(&source.at(to.name));
    Judged::Resumable(ResumePoint { token, to: to.guid })
}

/// The line that tells of one that a run would clear.
pub fn to_clear(source: &DatasetName, why: &str) -> Event {
    let text = format!("the target has partially received state that can't be resumed ({why}); a run discards it");
    Event::Notice { dataset: Some(source.to_string()), text }
}

/// The line that tells of a cleared one.
pub fn cleared(source: &DatasetName, why: &str) -> Event {
    let text = format!("the target has partially received state that can't be resumed ({why}); it is discarded");
    Event::Notice { dataset: Some(source.to_string()), text }
}

/// The line that tells of one that stays.
pub fn kept(source: &DatasetName, why: &str) -> Event {
    let text = format!(
        "the target has partially received state, and it is unclear whether it can be resumed ({why}); it is kept"
    );
    Event::Notice { dataset: Some(source.to_string()), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::name::Txg;

    fn source() -> (DatasetName, SourceDataset) {
        let mut dataset = SourceDataset::default();
        dataset.snapshots.push(&"s".parse().unwrap(), Guid(1), Txg(1));
        dataset.bookmarks.push(&"b".parse().unwrap(), Guid(2), Txg(1));
        ("p/a".parse().unwrap(), dataset)
    }

    fn token(raw: bool, from_guid: Option<u64>) -> Token {
        Token {
            to_guid: Guid(1),
            to_name: "other/name@x".into(),
            from_guid: from_guid.map(Guid),
            object: 3,
            offset: 4,
            bytes: 5,
            large_blocks: false,
            embedded: false,
            compressed: true,
            raw,
        }
    }

    fn judged(token: &Token, encrypted: bool, decrypt: bool) -> Result<Token, String> {
        let (name, dataset) = source();
        match fit(token, &name, &dataset, encrypted, decrypt) {
            Judged::Resumable(point) => {
                assert_eq!(point.to, token.to_guid);
                Ok(Token::decode(&point.token).unwrap())
            }
            Judged::Useless(why) => Err(why),
            Judged::Unclear(why) => panic!("{why}"),
        }
    }

    #[test]
    fn only_what_was_sent_as_this_run_would_is_resumed() {
        assert!(!judged(&token(false, None), false, false).unwrap().raw);
        assert!(!judged(&token(false, None), false, true).unwrap().raw);
        assert!(judged(&token(true, None), true, false).unwrap().raw);
        assert!(!judged(&token(false, None), true, true).unwrap().raw);
        assert!(judged(&token(false, None), true, false).unwrap_err().contains("decrypted"));
        assert!(judged(&token(true, None), true, true).unwrap_err().contains("raw"));
        assert!(judged(&token(true, None), false, false).unwrap_err().contains("raw"));
    }

    #[test]
    fn what_a_snapshot_has_overtaken_is_not_resumed() {
        // Older snapshots of the target's own do no harm, so only a refusal says that this one does.
        assert!(!is_overtaken(&token(false, Some(2)), None));
        assert!(is_overtaken(&token(false, Some(2)), Some(Guid(7))));
        assert!(!is_overtaken(&token(false, Some(2)), Some(Guid(2))));
        assert!(!is_overtaken(&token(false, None), Some(Guid(7))));
    }

    #[test]
    fn only_a_snapshot_of_this_dataset_is_resumed() {
        // The name in the token is the other host's affair; the GUID is not.
        assert_eq!(judged(&token(false, Some(2)), false, false).unwrap().to_name, "p/a@s");
        assert!(judged(&token(false, Some(3)), false, false).unwrap_err().contains("incremental source"));
        let other = Token { to_guid: Guid(9), to_name: "p/a@s\n  forged".into(), ..token(false, None) };
        let why = judged(&other, false, false).unwrap_err();
        assert!(why.contains("not a snapshot of p/a") && !why.contains('\n'), "{why}");
        // A bookmark has no data.
        assert!(judged(&Token { to_guid: Guid(2), ..token(false, None) }, false, false).is_err());
    }
}
