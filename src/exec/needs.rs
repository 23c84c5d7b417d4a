//! Whom a prune has to heed: the targets that are named, and those that are noted on SOURCE, on datasets above it or below.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::targets::{counterpart, label, noted_around, noted_on, received, seen_from};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Given, Has, Peer, Registered, SourceDataset, TargetDataset};
use crate::remote::link::Ends;
use zfs::name::{DatasetName, Guid};
use zfs::{Tag, Tags};

/// What a target has said of itself: the guids of its pool's root dataset and of TARGET.
#[derive(Debug, Clone, Copy)]
pub struct Met {
    /// The pool's; none where the helper doesn't tell.
    pub pool: Option<Guid>,
    /// TARGET's.
    pub top: Guid,
}

/// What an asked target has said.
pub struct Asked<'a> {
    /// Who it is.
    pub met: Met,
    /// Its counterparts of the source's datasets.
    pub has: &'a HashMap<DatasetName, TargetDataset>,
}

/// A target that is named.
struct Named<'a> {
    ends: Arc<Ends>,
    asked: Option<Asked<'a>>,
    /// How its bookmarks are called: of each target that was there so far, if it wasn't asked. None: nobody knows.
    tags: Vec<Tags>,
}

/// Whether a dataset was put where it is by zfsync, or is noted as a target of one of these.
pub async fn is_copy(
    sender: &Endpoint,
    dataset: &DatasetName,
    sources: impl Iterator<Item = &DatasetName>,
) -> Result<bool, StartError> {
    if received(sender, dataset).await? {
        return Ok(true);
    }
    for source in sources {
        let noted = noted_on(sender, source).await?.own;
        let within = |one: &Registered| dataset.is_within(&one.dataset) || one.dataset.is_within(dataset);
        if noted.iter().any(|one| one.host.is_empty() && within(one)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whom to heed.
pub struct TargetNeeds<'a> {
    named: Vec<Named<'a>>,
    noted: Vec<(DatasetName, Registered)>,
    copies: HashSet<DatasetName>,
    sender: Endpoint,
}

impl<'a> TargetNeeds<'a> {
    /// These targets, each with what it has said if it was asked, and (`others`) those that are noted.
    pub async fn new(
        sender: &Endpoint,
        top: &DatasetName,
        targets: Vec<(Arc<Ends>, Option<Asked<'a>>)>,
        others: bool,
    ) -> Result<Self, StartError> {
        let mut named = Vec::new();
        for (ends, asked) in targets {
            let (noted, host) = (noted_on(sender, &ends.source.dataset).await?, seen_from(&ends).await);
            let tags = match &asked {
                Some(Asked { met: Met { pool: Some(pool), top }, .. }) => {
                    // Which datasets it has counts only where it is noted.
                    vec![noted.identify(&ends, &Given::default(), &host, (*pool, Some(*top))).0.target.tags()]
                }
                Some(_) => Vec::new(),
                None => noted.at(&ends, &host),
            };
            named.push(Named { ends, asked, tags });
        }
        // Also for those that are named: what a copy continues from must stay.
        let mut around = noted_around(sender, top).await?;
        let copies = std::mem::take(&mut around.copies);
        let noted = if others { around.all_read(sender)? } else { Vec::new() };
        Ok(Self { named, noted, copies, sender: sender.clone() })
    }

    /// Whether zfsync has received into this very dataset.
    pub fn is_copy(&self, dataset: &DatasetName) -> bool {
        self.copies.contains(dataset)
    }

    /// Whether that is so of any here.
    pub fn has_copies(&self) -> bool {
        !self.copies.is_empty()
    }

    /// What is known of the counterparts of a dataset of the source.
    pub fn peers(&self, name: &DatasetName, dataset: &SourceDataset) -> Vec<Peer<'_>> {
        let mut peers: Vec<Peer<'_>> = self.named.iter().flat_map(|named| named.peers(dataset)).collect();
        let others = self.noted.iter().filter_map(|(on, target)| {
            let tag = target.tag(&name.below(on)?)?;
            Some(Peer { label: label(&self.sender.full_name(on), target), tag, has: Has::Bookmark })
        });
        let others: Vec<Peer<'_>> = others.filter(|other| !peers.iter().any(|peer| peer.tag.is(&other.tag))).collect();
        peers.extend(others);
        peers
    }
}

impl Named<'_> {
    fn peers(&self, dataset: &SourceDataset) -> Vec<Peer<'_>> {
        let old = Tags::by_name(&self.ends.host_in_old_tags());
        let Ok(target) = self.ends.target.dataset.join(&dataset.path) else {
            // It can't have been sent.
            let label = format!(
                "{} (where its name would be too long)",
                counterpart(&self.ends.target.link, &self.ends.target.dataset)
            );
            return vec![Peer { label, tag: old.of(&self.ends.target.dataset), has: Has::Nothing }];
        };
        let label = counterpart(&self.ends.target.link, &target);
        let Some(asked) = &self.asked else {
            // Before the first run of this version there are but old tags; a target without any bookmark may need all.
            if self.tags.is_empty() {
                let label =
                    format!("{label} (not yet recorded on {}; the next push does that)", self.ends.source.dataset);
                return vec![Peer { label, tag: old.of(&target), has: Has::Bookmark }];
            }
            let peer = |tags: &Tags| Peer { label: label.clone(), tag: tags.of(&target), has: Has::Bookmark };
            return self.tags.iter().map(peer).collect();
        };
        let there = asked.has.get(&target);
        let has = there.map_or(Has::Nothing, |there| Has::Snapshots(&there.snapshots));
        let peer = |tag: Tag| Peer { label: label.clone(), tag, has };
        let mut peers: Vec<Peer<'_>> = self.tags.iter().map(|tags| peer(tags.of(&target))).collect();
        // Bookmarks with old tags are its own where it has what they are of; else another target may need them.
        let old = old.of(&target);
        let is_there = |guid| there.is_some_and(|there| there.snapshots.iter().any(|one| one.guid == guid));
        let own = dataset.bookmarks.iter().any(|mark| old.owns(mark.name) && is_there(mark.guid));
        if own || peers.is_empty() {
            peers.push(peer(old));
        }
        peers
    }
}
