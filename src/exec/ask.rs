//! Questions to the helper before the run: each kind one batch, and the answers put together again.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedReceiver;

use super::fleet::Fleet;
use crate::config::PushJob;
use crate::error::StartError;
use crate::name::{DatasetName, Guid, ResumeToken, SnapshotName, Txg};
use crate::plan::{TargetDataset, TargetLimits, Versions};
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel, HelperError};
use crate::remote::wire::{Failure, Reply, Request, TargetFacts};

/// So many bytes, and so many names, go into one question: its answer must fit into a frame too.
const QUESTION: (usize, usize) = (256 * 1024, 8000);

/// Listed datasets, each with the token of its cut receive.
pub type Listed = HashMap<DatasetName, (TargetDataset, Option<ResumeToken>)>;

/// The target host for messages.
pub fn host_name(job: &PushJob) -> String {
    job.target.host.as_ref().map_or_else(|| "this machine".into(), ToString::to_string)
}

/// Asks the helper on the first channel, one batch after the other.
pub struct Asker<'a> {
    fleet: &'a mut Fleet,
    events: &'a mut UnboundedReceiver<FromChannel>,
    channel: ChannelId,
    /// What the questions are for.
    pub job: &'a PushJob,
    next: u64,
}

impl<'a> Asker<'a> {
    /// Asks over this channel, whose helper has greeted. While it lives nobody else takes the channels' events.
    pub fn new(
        fleet: &'a mut Fleet,
        events: &'a mut UnboundedReceiver<FromChannel>,
        channel: ChannelId,
        job: &'a PushJob,
    ) -> Self {
        Self { fleet, events, channel, job, next: 1 }
    }

    fn send(&mut self, request: impl FnOnce(u64) -> Request) -> Result<u64, StartError> {
        let id = self.next;
        self.next += 1;
        let lost = || HelperError::Lost { host: host_name(self.job), reason: "the channel is closed".into() };
        self.fleet.channel(self.channel).ok_or_else(lost)?.request(request(id));
        Ok(id)
    }

    async fn reply(&mut self) -> Result<Reply, StartError> {
        loop {
            match self.events.recv().await.map(|from| from.event) {
                Some(ChannelEvent::Reply(reply)) => return Ok(reply),
                Some(ChannelEvent::Closed(error)) => return Err(error.into()),
                Some(_) => {}
                None => {
                    let reason = "the channel is closed".into();
                    return Err(HelperError::Lost { host: host_name(self.job), reason }.into());
                }
            }
        }
    }

    fn failed(&self, failure: Failure) -> StartError {
        StartError::Ask { host: host_name(self.job), dataset: self.job.target.to_string(), words: failure.words }
    }

    /// Which of these datasets and snapshots exist, by their place.
    pub async fn ask(&mut self, names: &[String]) -> Result<Vec<(u32, Guid, Txg)>, StartError> {
        let mut offsets = HashMap::new();
        let mut start = 0;
        while start < names.len() {
            let mut bytes = 0;
            let fits = names[start..].iter().take(QUESTION.1).take_while(|name| {
                bytes += name.len() + 3;
                bytes <= QUESTION.0
            });
            let end = start + fits.count().max(1);
            let some = names[start..end].to_vec();
            offsets.insert(self.send(|id| Request::Ask { id, names: some })?, start);
            start = end;
        }
        let mut all = Vec::new();
        while !offsets.is_empty() {
            match self.reply().await? {
                Reply::Found { id, found } => {
                    let offset = u32::try_from(offsets.remove(&id).unwrap_or(0)).unwrap_or(u32::MAX);
                    all.extend(found.into_iter().map(|(place, guid, txg)| (place.saturating_add(offset), guid, txg)));
                }
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
        Ok(all)
    }

    /// Drops the rest of a cut receive; the failure when zfs refuses.
    pub async fn clear(&mut self, dataset: DatasetName) -> Result<Option<Failure>, StartError> {
        self.send(|id| Request::Clear { id, dataset })?;
        loop {
            if let Reply::Done { failure, .. } = self.reply().await? {
                return Ok(failure);
            }
        }
    }

    /// Lists these datasets in full; one that doesn't exist is left out.
    pub async fn list(&mut self, datasets: Vec<DatasetName>) -> Result<Listed, StartError> {
        let mut open = 0;
        for some in datasets.chunks(1000) {
            let datasets = some.to_vec();
            self.send(|id| Request::List { id, datasets })?;
            open += 1;
        }
        let mut listings = Listings::default();
        while open > 0 {
            match self.reply().await? {
                Reply::Listed { dataset, facts, snapshots, .. } => listings.add(dataset, facts, snapshots),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                Reply::Done { .. } => open -= 1,
                _ => {}
            }
        }
        Ok(listings.finish())
    }

    /// What the target's pool and its nearest dataset allow streams to carry.
    pub async fn probe(&mut self, dataset: DatasetName) -> Result<TargetLimits, StartError> {
        self.send(|id| Request::Probe { id, dataset })?;
        loop {
            match self.reply().await? {
                Reply::Probed { disabled, encrypted, .. } => return Ok(TargetLimits { disabled, encrypted }),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
    }
}

/// Gathers the parts of listings.
#[derive(Debug, Default)]
pub struct Listings(HashMap<DatasetName, (TargetFacts, Versions)>);

impl Listings {
    /// Takes a part.
    pub fn add(&mut self, dataset: DatasetName, facts: TargetFacts, snapshots: Vec<(SnapshotName, Guid, Txg)>) {
        let (_, versions) = self.0.entry(dataset).or_insert_with(|| (facts, Versions::default()));
        for (name, guid, txg) in snapshots {
            versions.push(&name, guid, txg);
        }
    }

    /// All that was listed, each with the token of its cut receive.
    #[must_use]
    pub fn finish(self) -> HashMap<DatasetName, (TargetDataset, Option<ResumeToken>)> {
        let dataset = |(facts, mut snapshots): (TargetFacts, Versions)| {
            snapshots.sort();
            let TargetFacts { kind, partial, token, empty } = facts;
            (TargetDataset { kind, partial, resume: None, empty, snapshots }, token)
        };
        self.0.into_iter().map(|(name, listed)| (name, dataset(listed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Version;

    #[test]
    fn listings_come_in_parts_and_get_sorted() {
        let facts = TargetFacts { kind: crate::plan::Kind::Filesystem, partial: false, token: None, empty: false };
        let mut listings = Listings::default();
        let snapshot = |name: &str, txg| (name.parse().unwrap(), Guid(txg), Txg(txg));
        listings.add("p/a".parse().unwrap(), facts.clone(), vec![snapshot("b", 2)]);
        listings.add("p/a".parse().unwrap(), facts, vec![snapshot("a", 1)]);
        let all = listings.finish();
        let names: Vec<String> =
            all[&"p/a".parse().unwrap()].0.snapshots.iter().map(|v: Version<'_>| v.name.to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
